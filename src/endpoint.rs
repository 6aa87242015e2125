//! What AWS host names say: the service and region behind an upstream, and the endpoint of a service in a region.

/// The service and region that a signature is scoped to, as a host name gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The signing name, `execute-api` or `lambda` for example.
    pub service: String,
    /// The region, `eu-west-1` for example.
    pub region: String,
}

/// The suffixes of AWS host names, longer ones before those that they end in.
const SUFFIXES: &[&str] = &[
    ".amazonaws.com.cn",
    ".amazonaws.com",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
    ".api.aws",
    ".on.aws",
    ".api.amazonwebservices.com.cn",
    ".on.amazonwebservices.com.cn",
    ".api.amazonwebservices.eu",
    ".on.amazonwebservices.eu",
    ".api.aws.ic.gov",
    ".api.aws.scloud",
    ".api.cloud-aws.adc-e.uk",
    ".api.aws.hci.ic.gov",
];

/// Services that have the region before the service in their host names: `NAME.eu-west-1.es.amazonaws.com`.
const REGION_FIRST: &[(&str, &str)] = &[
    ("es", "es"),
    ("aoss", "aoss"),
    ("cloudsearch", "cloudsearch"),
    ("neptune", "neptune-db"),
    ("queue", "sqs"),
];

/// Services with one endpoint for the whole partition, and the region that signs for it.
const GLOBAL: &[(&str, &str, &str)] = &[
    ("budgets", "budgets", "us-east-1"),
    ("ce", "ce", "us-east-1"),
    ("cloudfront", "cloudfront", "us-east-1"),
    ("iam", "iam", "us-east-1"),
    ("organizations", "organizations", "us-east-1"),
    ("queue", "sqs", "us-east-1"),
    ("route53", "route53", "us-east-1"),
    ("s3", "s3", "us-east-1"),
    ("s3-external-1", "s3", "us-east-1"),
    ("sdb", "sdb", "us-east-1"),
    ("sts", "sts", "us-east-1"),
    ("waf", "waf", "us-east-1"),
];

/// Signing names that differ from the label that stands before the region.
const SIGNING_NAMES: &[(&str, &str)] = &[
    ("agreement-marketplace", "aws-marketplace"),
    ("aos", "es"),
    ("appsync-api", "appsync"),
    ("appsync-realtime-api", "appsync"),
    ("aps-workspaces", "aps"),
    ("bedrock-agent", "bedrock"),
    ("bedrock-agent-runtime", "bedrock"),
    ("bedrock-agentcore-control", "bedrock-agentcore"),
    ("bedrock-data-automation", "bedrock"),
    ("bedrock-data-automation-runtime", "bedrock"),
    ("bedrock-runtime", "bedrock"),
    ("cloudhsmv2", "cloudhsm"),
    ("contact-lens", "connect"),
    ("email", "ses"),
    ("forecastquery", "forecast"),
    ("git-codecommit", "codecommit"),
    ("identity-chime", "chime"),
    ("lambda-url", "lambda"),
    ("marketplace", "aws-marketplace"),
    ("media-pipelines-chime", "chime"),
    ("meetings-chime", "chime"),
    ("memory-db", "memorydb"),
    ("messaging-chime", "chime"),
    ("models-v2-lex", "lex"),
    ("oidc", "sso-oauth"),
    ("personalize-events", "personalize"),
    ("personalize-runtime", "personalize"),
    ("pinpoint", "mobiletargeting"),
    ("runtime-medical-imaging", "medical-imaging"),
    ("runtime-v2-lex", "lex"),
    ("s3-accesspoint", "s3"),
    ("s3-control", "s3"),
    ("servicecatalog-appregistry", "servicecatalog"),
    ("sync-states", "states"),
    ("transcribestreaming", "transcribe"),
    ("voice-chime", "chime"),
];

/// Signing names that depend on two labels before the region.
const TWO_LABELS: &[(&str, &str, &str)] = &[
    ("data", "iot", "iotdata"),
    ("data-ats", "iot", "iotdata"),
    ("participant", "connect", "execute-api"),
    ("portal", "sso", "awsssoportal"),
    ("sms-voice", "pinpoint", "sms-voice"),
];

/// Labels that name a way to S3 that is not signed, or not for one region.
const NEVER_SIGNED: &[&str] = &["s3-website", "s3-accelerate", "s3-global"];

/// The regions of AWS by name, all partitions together (AWS General Reference, "Regions and zones").
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

/// The word before the number of every region: AWS opens regions, but no new points of the compass.
const DIRECTIONS: &[&str] =
    &["central", "east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west"];

/// Reads service and region from an upstream's host name; `None` for a custom domain.
///
/// The answer depends on the name alone. A port and the case of letters do not matter.
#[must_use]
pub fn infer(host: &str) -> Option<Inferred> {
    let host = host.to_ascii_lowercase();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let suffix = SUFFIXES.iter().find(|suffix| host.ends_with(*suffix))?;
    let labels: Vec<&str> = host[..host.len() - suffix.len()].split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    match labels.as_slice() {
        [.., service, region, "vpce"] if is_region(region) => Some(scope(signing_name(&[service]), region)),
        [before @ .., region] if is_region(region) => regional(before, region),
        [.., region, service] if is_region(region) && lookup(REGION_FIRST, service).is_some() => {
            lookup(REGION_FIRST, service).map(|name| scope(name, region))
        }
        [.., label] => old_s3(label).or_else(|| global(label, suffix)),
        [] => None,
    }
}

/// Whether `text` has the form of a region's name: `eu-west-1`, `us-gov-west-1`, `eusc-de-east-1`.
#[must_use]
pub fn is_region(text: &str) -> bool {
    let mut parts = text.rsplit('-');
    let number = parts.next().unwrap_or("");
    let words: Vec<&str> = parts.collect();
    !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}

/// Whether AWS had a region of this name when this version was made.
#[must_use]
pub fn is_known_region(text: &str) -> bool {
    REGIONS.contains(&text)
}

/// Whether `text` can be the name of a region, perhaps of one that is newer than this version.
#[must_use]
pub fn can_be_region(text: &str) -> bool {
    is_region(text) && text.rsplit('-').nth(1).is_some_and(|word| DIRECTIONS.contains(&word))
}

/// The region whose name is nearest to `text`, if one is near enough to be meant.
#[must_use]
pub fn nearest_region(text: &str) -> Option<&'static str> {
    const MAX_DISTANCE: usize = 3;
    // Only what is about as long as a region's name is compared, since the comparison takes quadratic time.
    if text.chars().count() > 24 {
        return None;
    }
    let text = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    let distances = REGIONS.iter().map(|region| (strsim::damerau_levenshtein(&text, region), *region));
    distances
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, region)| region)
}

/// The host name of an API that `host` was probably meant to be, if it has `execute-api` in it and no domain of AWS.
#[must_use]
pub fn meant_api_host(host: &str) -> Option<String> {
    let labels: Vec<&str> = host.split('.').collect();
    let at = labels.iter().position(|label| *label == "execute-api")?;
    let region = labels.get(at + 1).filter(|region| can_be_region(region))?;
    let meant = format!("{}.{region}.{}", labels[..=at].join("."), dns_suffix(region));
    (at == 1 && meant != host).then_some(meant)
}

/// The DNS suffix of the partition that `region` belongs to: `amazonaws.com` for most.
#[must_use]
pub fn dns_suffix(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        region if region.starts_with("us-iso-") => "c2s.ic.gov",
        region if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        region if region.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        region if region.starts_with("us-isof-") => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

/// The HTTPS endpoint of `service` (`cognito-idp`, `cognito-identity`, `sts`) in `region`.
#[must_use]
pub fn service_endpoint(service: &str, region: &str) -> String {
    format!("https://{service}.{region}.{}", dns_suffix(region))
}

fn scope(service: &str, region: &str) -> Inferred {
    Inferred { service: service.to_owned(), region: region.to_owned() }
}

/// `….SERVICE.REGION`, with `dualstack` in between for S3.
fn regional(before: &[&str], region: &str) -> Option<Inferred> {
    let before = match before {
        [rest @ .., "dualstack"] => rest,
        other => other,
    };
    if before.last().is_none_or(|label| NEVER_SIGNED.contains(label)) {
        return None;
    }
    Some(scope(signing_name(before), region))
}

/// The signing name that the labels before the region stand for.
fn signing_name<'a>(labels: &[&'a str]) -> &'a str {
    let (parent, label) = match labels {
        [.., parent, label] => (*parent, *label),
        [label] => ("", *label),
        [] => return "",
    };
    let label = label.strip_suffix("-fips").unwrap_or(label);
    TWO_LABELS
        .iter()
        .find(|(first, second, _)| *first == parent && *second == label)
        .map(|(_, _, name)| *name)
        .or_else(|| lookup(SIGNING_NAMES, label))
        .unwrap_or(label)
}

/// `s3-REGION` and `s3-fips-REGION`, which older S3 names have.
fn old_s3(label: &str) -> Option<Inferred> {
    let rest = label.strip_prefix("s3-")?;
    let region = rest.strip_prefix("fips-").unwrap_or(rest);
    // `website-eu-west-1` has the form of a region too.
    (is_region(region) && !region.starts_with("website-")).then(|| scope("s3", region))
}

fn global(label: &str, suffix: &str) -> Option<Inferred> {
    if suffix != ".amazonaws.com" {
        return None;
    }
    GLOBAL.iter().find(|(name, _, _)| *name == label).map(|(_, service, region)| scope(service, region))
}

fn lookup(table: &[(&str, &'static str)], label: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == label).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_and_region_are_read_from_every_shape_of_host() {
        let table = [
            ("abc123.execute-api.eu-west-1.amazonaws.com", "execute-api", "eu-west-1"),
            ("ABC123.Execute-Api.eu-west-1.amazonaws.com:443", "execute-api", "eu-west-1"),
            ("abc123-vpce-0a1b2c3d.execute-api.us-east-2.amazonaws.com", "execute-api", "us-east-2"),
            ("vpce-0a1b-xyz-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com", "execute-api", "us-east-1"),
            ("vpce-0a1b-xyz.execute-api.us-east-1.vpce.amazonaws.com", "execute-api", "us-east-1"),
            ("abc.execute-api.cn-north-1.amazonaws.com.cn", "execute-api", "cn-north-1"),
            ("abc.execute-api.us-gov-west-1.amazonaws.com", "execute-api", "us-gov-west-1"),
            ("abc.execute-api.eusc-de-east-1.amazonaws.eu", "execute-api", "eusc-de-east-1"),
            ("abc.execute-api.us-iso-east-1.c2s.ic.gov", "execute-api", "us-iso-east-1"),
            ("abc.execute-api.us-isob-east-1.sc2s.sgov.gov", "execute-api", "us-isob-east-1"),
            ("abc.execute-api.eu-isoe-west-1.cloud.adc-e.uk", "execute-api", "eu-isoe-west-1"),
            ("abc.execute-api.us-isof-south-1.csp.hci.ic.gov", "execute-api", "us-isof-south-1"),
            ("id.lambda-url.eu-central-1.on.aws", "lambda", "eu-central-1"),
            ("id.appsync-api.ap-southeast-2.amazonaws.com", "appsync", "ap-southeast-2"),
            ("search-logs-abc.eu-west-1.es.amazonaws.com", "es", "eu-west-1"),
            ("vpc-logs-abc.cn-north-1.es.amazonaws.com.cn", "es", "cn-north-1"),
            ("aos.us-east-1.api.aws", "es", "us-east-1"),
            ("search-logs-abc.aos.us-east-1.on.aws", "es", "us-east-1"),
            ("id.us-west-2.aoss.amazonaws.com", "aoss", "us-west-2"),
            ("doc-x.eu-west-1.cloudsearch.amazonaws.com", "cloudsearch", "eu-west-1"),
            ("db.cluster-x.eu-west-1.neptune.amazonaws.com", "neptune-db", "eu-west-1"),
            ("s3.amazonaws.com", "s3", "us-east-1"),
            ("bucket.s3.amazonaws.com", "s3", "us-east-1"),
            ("a.eu-west-1.s3.amazonaws.com", "s3", "us-east-1"),
            ("s3-external-1.amazonaws.com", "s3", "us-east-1"),
            ("s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("s3-eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("s3-fips-us-gov-west-1.amazonaws.com", "s3", "us-gov-west-1"),
            ("bucket.s3-eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("my.bucket.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("bucket.s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("bucket.s3-fips.us-east-1.amazonaws.com", "s3", "us-east-1"),
            ("bucket.s3-fips.dualstack.us-east-1.amazonaws.com", "s3", "us-east-1"),
            ("ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("ap-123456789012.s3-accesspoint.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("ap-123456789012.s3-accesspoint-fips.us-east-1.amazonaws.com", "s3", "us-east-1"),
            ("123456789012.s3-control.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("b.bucket.vpce-0a1b.s3.us-east-1.vpce.amazonaws.com", "s3", "us-east-1"),
            ("ap-1.op-1.s3-outposts.us-east-1.amazonaws.com", "s3-outposts", "us-east-1"),
            ("ol-1.s3-object-lambda.us-east-1.amazonaws.com", "s3-object-lambda", "us-east-1"),
            ("s3.cn-north-1.amazonaws.com.cn", "s3", "cn-north-1"),
            ("dynamodb.eu-west-1.amazonaws.com", "dynamodb", "eu-west-1"),
            ("dynamodb.eu-west-1.api.aws", "dynamodb", "eu-west-1"),
            ("dynamodb-fips.us-east-1.amazonaws.com", "dynamodb", "us-east-1"),
            ("streams.dynamodb.us-east-1.amazonaws.com", "dynamodb", "us-east-1"),
            ("fips.batch.us-east-1.amazonaws.com", "batch", "us-east-1"),
            ("email.eu-west-1.amazonaws.com", "ses", "eu-west-1"),
            ("email-fips.us-east-1.amazonaws.com", "ses", "us-east-1"),
            ("bedrock-runtime.us-east-1.amazonaws.com", "bedrock", "us-east-1"),
            ("runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker", "us-east-1"),
            ("api.ecr.us-east-1.amazonaws.com", "ecr", "us-east-1"),
            ("data-ats.iot.eu-west-1.amazonaws.com", "iotdata", "eu-west-1"),
            ("participant.connect.eu-west-2.amazonaws.com", "execute-api", "eu-west-2"),
            ("aps-workspaces.eu-west-1.amazonaws.com", "aps", "eu-west-1"),
            ("kms.cn-northwest-1.amazonaws.com.cn", "kms", "cn-northwest-1"),
            ("lambda.cn-north-1.api.amazonwebservices.com.cn", "lambda", "cn-north-1"),
            ("eu-west-1.queue.amazonaws.com", "sqs", "eu-west-1"),
            ("sts.amazonaws.com", "sts", "us-east-1"),
            ("iam.amazonaws.com", "iam", "us-east-1"),
        ];
        for (host, service, region) in table {
            assert_eq!(infer(host), Some(scope(service, region)), "{host}");
        }
    }

    #[test]
    fn other_hosts_tell_nothing() {
        for host in [
            "",
            "api.example.com",
            "localhost",
            "127.0.0.1:8080",
            "[::1]:8080",
            "amazonaws.com",
            ".amazonaws.com",
            "execute-api.amazonaws.com",
            "abc.execute-api..amazonaws.com",
            "abc..eu-west-1.amazonaws.com",
            "abc.execute-api.eu-west-1.amazonaws.com.example.com",
            "abc.execute-api.eu-west-1.notamazonaws.com",
            "eu-west-1.amazonaws.com",
            "bucket.s3-website-eu-west-1.amazonaws.com",
            "bucket.s3-website.eu-central-1.amazonaws.com",
            "bucket.s3-accelerate.amazonaws.com",
            "x.accesspoint.s3-global.amazonaws.com",
            "s3.amazonaws.com.cn",
            "name.auth.eu-west-1.amazoncognito.com",
        ] {
            assert_eq!(infer(host), None, "{host}");
        }
    }

    #[test]
    fn regions_are_distinguished_from_zones_and_other_words() {
        for region in ["eu-west-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-12", "us-isob-east-1"] {
            assert!(is_region(region), "{region}");
        }
        for text in ["", "eu-west-1a", "EU-WEST-1", "eu-1", "eu--1", "-west-1", "eu-west", "eu west-1"] {
            assert!(!is_region(text), "{text}");
        }
    }

    #[test]
    fn a_mistyped_region_is_told_from_one_that_is_new() {
        for region in ["eu-west-1", "us-isof-south-1", "eu-west-9", "nz-north-1"] {
            assert!(can_be_region(region), "{region}");
        }
        for (text, meant) in [
            ("eu-wset-1", Some("eu-west-1")),
            ("us-esat-2", Some("us-east-2")),
            ("eu-west1", Some("eu-west-1")),
            ("EU-WEST-1", Some("eu-west-1")),
            ("us-east-1a", Some("us-east-1")),
            ("ireland", None),
            ("eu", None),
        ] {
            assert!(!can_be_region(text), "{text}");
            assert_eq!(nearest_region(text), meant, "{text}");
        }
        assert!(REGIONS.iter().all(|region| can_be_region(region) && is_known_region(region)));
    }

    #[test]
    fn a_mistyped_domain_of_an_api_is_recognised() {
        let meant = "abc123.execute-api.eu-west-1.amazonaws.com";
        for host in ["abc123.execute-api.eu-west-1.amazonws.com", "abc123.execute-api.eu-west-1"] {
            assert_eq!(meant_api_host(host).as_deref(), Some(meant), "{host}");
        }
        for host in [meant, "api.example.com", "execute-api.eu-west-1.example.com"] {
            assert_eq!(meant_api_host(host), None, "{host}");
        }
    }

    #[test]
    fn endpoints_carry_the_suffix_of_their_partition() {
        assert_eq!(service_endpoint("sts", "eu-west-1"), "https://sts.eu-west-1.amazonaws.com");
        assert_eq!(
            service_endpoint("cognito-idp", "cn-north-1"),
            "https://cognito-idp.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(service_endpoint("sts", "eusc-de-east-1"), "https://sts.eusc-de-east-1.amazonaws.eu");
    }
}
