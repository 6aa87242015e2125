//! The service and region behind the host name of an upstream.

use super::{
    is_region,
    table::{REGIONAL, SIGV4A_ONLY, WHOLE},
};

/// The service and region that a signature is scoped to, as far as a host name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The signing name, `execute-api` or `lambda` for example.
    pub service: String,
    /// The region, `eu-west-1` for example.
    pub region: String,
}

/// What a host name says about the scope of signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostScope {
    /// The name of a known service.
    Known(Inferred),
    /// A name of AWS, but none that the rules know.
    UnknownService,
    /// The name of a service that accepts SigV4A signatures only.
    SigV4aOnly {
        /// The signing name, `s3` for example.
        service: &'static str,
        /// The regions that SDKs sign for, `*`.
        region_set: &'static str,
    },
    /// Not a name of AWS: a custom domain, an address or `localhost`.
    NotAws,
}

impl HostScope {
    /// The scope, if the host is that of a known service.
    #[must_use]
    pub fn known(self) -> Option<Inferred> {
        match self {
            Self::Known(inferred) => Some(inferred),
            Self::SigV4aOnly { .. } | Self::UnknownService | Self::NotAws => None,
        }
    }
}

/// The suffixes of AWS host names, longer ones before those that they end in.
pub(super) const SUFFIXES: &[&str] = &[
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
    ".on.aws.ic.gov",
    ".api.aws.scloud",
    ".on.aws.scloud",
    ".api.cloud-aws.adc-e.uk",
    ".on.cloud-aws.adc-e.uk",
    ".api.aws.hci.ic.gov",
    ".on.aws.hci.ic.gov",
];

/// The signing names of hosts that no SDK resolves, since a customer's resource or an older name is part of them.
/// The patterns are those of the generated table. An empty signing name: requests to this host are not signed by SigV4.
const RESOURCES: &[(&str, &str)] = &[
    ("*.aos.{region}", "es"),
    ("*.appsync-api.{region}", "appsync"),
    ("*.appsync-realtime-api.{region}", "appsync"),
    ("*.aps-workspaces.{region}", "aps"),
    ("*.bedrock-agentcore.{region}", "bedrock-agentcore"),
    ("*.credentials.iot.{region}", ""),
    ("*.data.mediastore.{region}", "mediastore"),
    ("*.deviceadvisor.iot.{region}", ""),
    ("*.execute-api.{region}", "execute-api"),
    ("*.iot.{region}", "iotdata"),
    ("*.jobs.iot.{region}", "iot-jobs-data"),
    ("*.kinesisvideo.{region}", "kinesisvideo"),
    ("*.lambda-url.{region}", "lambda"),
    ("*.mediapackagev2.{region}", "mediapackagev2"),
    ("*.timestream.{region}", "timestream"),
    ("*.vpc-lattice-svcs.{region}", "vpc-lattice-svcs"),
    ("*.{region}.aoss", "aoss"),
    ("*.{region}.cloudsearch", "cloudsearch"),
    ("*.{region}.es", "es"),
    ("*.{region}.neptune", "neptune-db"),
    ("*.{region}.opensearch", "opensearch"),
    ("*.{region}.osis", "osis"),
    ("aps-workspaces.{region}", "aps"),
    ("credentials.iot.{region}", ""),
    ("data.tunneling.iot.{region}", ""),
    ("git-codecommit.{region}", "codecommit"),
    ("greengrass-ats.iot.{region}", ""),
    ("transcribestreaming.{region}", "transcribe"),
    ("{region}.queue", "sqs"),
];

/// Older names of global services that the table does not have.
const OLDER_GLOBAL: &[(&str, &str, &str)] = &[
    ("ce.amazonaws.com", "ce", "us-east-1"),
    ("organizations.amazonaws.com", "organizations", "us-east-1"),
    ("queue.amazonaws.com", "sqs", "us-east-1"),
    ("s3-external-1.amazonaws.com", "s3", "us-east-1"),
    ("*.s3-external-1.amazonaws.com", "s3", "us-east-1"),
];

/// What an upstream's host name says about service and region.
///
/// The answer depends on the name alone. A port, a dot at the end and the case of letters do not matter.
#[must_use]
pub fn infer(host: &str) -> HostScope {
    let host = host.to_ascii_lowercase();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some(inferred) = whole(host) {
        return HostScope::Known(inferred);
    }
    let Some(before) = SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix)) else {
        return if is_console(host) { HostScope::UnknownService } else { HostScope::NotAws };
    };
    let labels: Vec<&str> = before.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return HostScope::UnknownService;
    }
    let name = Pattern::of(&labels);
    if let Some((service, region_set)) = sigv4a_only(&name) {
        return HostScope::SigV4aOnly { service, region_set };
    }
    regional(&name).or_else(|| old_s3(&labels)).map_or(HostScope::UnknownService, HostScope::Known)
}

/// A host name in the form of the table's patterns.
struct Pattern<'a> {
    labels: Vec<&'a str>,
    region: Option<&'a str>,
}

impl<'a> Pattern<'a> {
    fn of(labels: &[&'a str]) -> Self {
        // In `….SERVICE.REGION.vpce` what stands before the service names the VPC endpoint.
        let labels = match labels {
            [before @ .., "vpce"] => {
                let endpoint = before.iter().rposition(|label| label.starts_with("vpce-"));
                &before[endpoint.map_or(0, |at| at + 1)..]
            }
            all => all,
        };
        let at = labels.iter().rposition(|label| is_region(label));
        let dual_stack = at.and_then(|at| at.checked_sub(1)).filter(|&before| labels[before] == "dualstack");
        let labels_of_pattern = labels
            .iter()
            .enumerate()
            .filter(|&(number, &label)| label != "fips" && Some(number) != dual_stack)
            .map(|(number, &label)| if Some(number) == at { "{region}" } else { general(label) });
        Self { labels: labels_of_pattern.collect(), region: at.map(|at| labels[at]) }
    }

    /// The patterns that may stand for this name, the most exact one first.
    fn candidates(&self) -> impl Iterator<Item = String> {
        let with_prefix = (1..self.labels.len()).map(|from| format!("*.{}", self.labels[from..].join(".")));
        std::iter::once(self.labels.join(".")).chain(with_prefix)
    }
}

/// `label` without what FIPS adds, and with `{zone}` in place of an availability zone.
fn general(label: &str) -> &str {
    let label = label.strip_suffix("-fips").unwrap_or(label);
    let label = label.strip_prefix("fips-").unwrap_or(label);
    if label.starts_with("s3express-") && label != "s3express-control" { "s3express-{zone}" } else { label }
}

/// A name that only one region signs for, or that has a suffix of its own.
fn whole(host: &str) -> Option<Inferred> {
    let labels: Vec<&str> = host.split('.').collect();
    // `a.eu-west-1.s3.amazonaws.com` is a bucket with the name of a region in its own name.
    let plain = Pattern { labels: labels.iter().map(|label| general(label)).collect(), region: None };
    let general = Pattern::of(&labels);
    let scope_of = |pattern: &Pattern<'_>| {
        pattern.candidates().find_map(|candidate| {
            let row = WHOLE.iter().chain(OLDER_GLOBAL).find(|(name, _, _)| *name == candidate)?;
            let region = if row.2 == "{region}" { pattern.region? } else { row.2 };
            Some(scope(row.1, region))
        })
    };
    scope_of(&plain).or_else(|| scope_of(&general))
}

/// The signing name and the regions of a name that many regions serve.
fn sigv4a_only(name: &Pattern<'_>) -> Option<(&'static str, &'static str)> {
    name.candidates().find_map(|candidate| {
        let (_, service, region_set) = SIGV4A_ONLY.iter().find(|(pattern, _, _)| *pattern == candidate)?;
        Some((*service, *region_set))
    })
}

fn regional(name: &Pattern<'_>) -> Option<Inferred> {
    let region = name.region?;
    let service = name
        .candidates()
        .find_map(|candidate| find(REGIONAL, &candidate).or_else(|| find(RESOURCES, &candidate)))?;
    (!service.is_empty()).then(|| scope(service, region))
}

fn find(table: &[(&str, &'static str)], pattern: &str) -> Option<&'static str> {
    let at = table.binary_search_by_key(&pattern, |(known, _)| *known).ok()?;
    Some(table[at].1)
}

/// `s3-REGION` and `s3-fips-REGION`, which older S3 names have.
fn old_s3(labels: &[&str]) -> Option<Inferred> {
    let rest = labels.last()?.strip_prefix("s3-")?;
    let region = rest.strip_prefix("fips-").unwrap_or(rest);
    // `website-eu-west-1` has the form of a region too.
    (is_region(region) && !region.starts_with("website-")).then(|| scope("s3", region))
}

/// Names of AWS outside the suffixes of its partitions; `signin` is the service that has some.
fn is_console(host: &str) -> bool {
    [".aws", ".aws.amazon.com", ".amazonaws.cn", ".amazonaws-us-gov.com", ".amazonaws-eusc.eu"]
        .iter()
        .any(|suffix| host.ends_with(suffix))
}

fn scope(service: &str, region: &str) -> Inferred {
    Inferred { service: service.to_owned(), region: region.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
            ("application-logs-1a2b.us-west-2.opensearch.amazonaws.com", "opensearch", "us-west-2"),
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
            ("data.ats.iot.cn-north-1.amazonaws.com.cn", "iotdata", "cn-north-1"),
            ("a1b2c3-ats.iot.eu-west-1.amazonaws.com", "iotdata", "eu-west-1"),
            ("a1b2c3.iot-fips.us-east-1.amazonaws.com", "iotdata", "us-east-1"),
            ("vpce-0a1b-xyz.data.iot.us-east-1.vpce.amazonaws.com", "iotdata", "us-east-1"),
            ("a1b2c3.jobs.iot.us-east-1.amazonaws.com", "iot-jobs-data", "us-east-1"),
            ("api.tunneling.iot.us-east-1.amazonaws.com", "IoTSecuredTunneling", "us-east-1"),
            ("b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com", "s3express", "us-east-1"),
            (
                "b--use1-az4--x-s3.s3express-fips-use1-az4.dualstack.us-east-1.amazonaws.com",
                "s3express",
                "us-east-1",
            ),
            ("s3express-control.us-east-1.amazonaws.com", "s3express", "us-east-1"),
            ("123456789012.ddb.us-east-1.amazonaws.com", "dynamodb", "us-east-1"),
            ("123456789012.data-kinesis.us-east-1.amazonaws.com", "kinesis", "us-east-1"),
            ("pipeline-abc.eu-west-1.osis.amazonaws.com", "osis", "eu-west-1"),
            ("g-abc123.us-east-1.neptune-graph.amazonaws.com", "neptune-graph", "us-east-1"),
            ("api.sustainability.eu-west-1.api.aws", "sustainability", "us-east-1"),
            ("iam.us-gov.amazonaws.com", "iam", "us-gov-west-1"),
            ("iam-fips.global.api.aws", "iam", "us-east-1"),
            ("global.health.amazonaws.com", "health", "us-east-1"),
            ("maps.geo.eu-west-1.amazonaws.com", "geo", "eu-west-1"),
            ("a-b-1.eu-west-1.s3.eu-west-2.amazonaws.com", "s3", "eu-west-2"),
            ("STS.amazonaws.com.", "sts", "us-east-1"),
        ];
        for (host, service, region) in table {
            assert_eq!(infer(host), HostScope::Known(scope(service, region)), "{host}");
        }
    }

    #[test]
    fn names_of_aws_without_a_rule_are_unknown_services() {
        for host in [
            ".amazonaws.com",
            "execute-api.amazonaws.com",
            "abc.execute-api..amazonaws.com",
            "eu-west-1.amazonaws.com",
            "service-of-tomorrow.eu-west-1.amazonaws.com",
            "service-of-tomorrow.eu-west-1.api.aws",
            "abc.dynamodb.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "abc.credentials.iot.eu-west-1.amazonaws.com",
            "bucket.s3-website-eu-west-1.amazonaws.com",
            "bucket.s3-website.eu-central-1.amazonaws.com",
            "bucket.s3-accelerate.amazonaws.com",
            "s3.amazonaws.com.cn",
            "abc.eu-west-1.experiments.sagemaker.aws",
        ] {
            assert_eq!(infer(host), HostScope::UnknownService, "{host}");
        }
    }

    #[test]
    fn names_that_many_regions_serve_need_sigv4a() {
        for (host, service) in [
            ("x.accesspoint.s3-global.amazonaws.com", "s3"),
            ("x.mrap.accesspoint.s3-global.amazonaws.com:443", "s3"),
            ("abc.def.endpoint.events.amazonaws.com", "events"),
            ("123456789012.cloudfront-kvs.global.api.aws", "cloudfront-keyvaluestore"),
            ("abc.def.endpoints.email.amazonaws.com", "ses"),
        ] {
            assert_eq!(infer(host), HostScope::SigV4aOnly { service, region_set: "*" }, "{host}");
        }
    }

    #[test]
    fn names_of_others_say_nothing() {
        for host in [
            "",
            "api.example.com",
            "localhost",
            "127.0.0.1:8080",
            "[::1]:8080",
            "amazonaws.com",
            "abc.execute-api.eu-west-1.amazonaws.com.example.com",
            "abc.execute-api.eu-west-1.notamazonaws.com",
            "name.auth.eu-west-1.amazoncognito.com",
        ] {
            assert_eq!(infer(host), HostScope::NotAws, "{host}");
        }
    }

    #[test]
    fn every_pattern_has_one_rule_where_the_search_finds_it() {
        for table in [REGIONAL, RESOURCES] {
            assert!(table.is_sorted(), "{:?}", table.first());
        }
        let mut seen = HashSet::new();
        for (pattern, _) in REGIONAL.iter().chain(RESOURCES) {
            assert!(seen.insert(*pattern), "{pattern}");
        }
        for (pattern, _, _) in WHOLE.iter().chain(OLDER_GLOBAL).chain(SIGV4A_ONLY) {
            assert!(seen.insert(*pattern), "{pattern}");
        }
    }
}
