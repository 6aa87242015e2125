//! What AWS host names say: the service and region behind an upstream, and the endpoint of a service in a region.

mod host;
mod protocol;
mod protocol_table;
mod s3_host;
mod table;

pub use host::{HostScope, Inferred, infer};
pub use protocol::{Protocol, protocol};
pub use s3_host::{S3Host, s3_host};

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

/// Whether AWS had a region when this version was made that `pattern` matches, in which `*` stands for any characters.
#[must_use]
pub fn matches_known_region(pattern: &str) -> bool {
    REGIONS.iter().any(|region| matches(pattern, region))
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(last)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_told_from_zones_and_other_words() {
        for region in ["eu-west-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-12", "us-isob-east-1"] {
            assert!(is_region(region), "{region}");
        }
        for text in ["", "eu-west-1a", "EU-WEST-1", "eu-1", "eu--1", "-west-1", "eu-west", "eu west-1"] {
            assert!(!is_region(text), "{text}");
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
    fn patterns_match_known_regions() {
        for pattern in
            ["*", "**", "us-*", "*-1", "us-*-2", "eu-*", "e*t*1", "us-east-1", "us-east-1*", "*us-gov*"]
        {
            assert!(matches_known_region(pattern), "{pattern}");
        }
        for pattern in ["", "us", "us-", "eu-wset-*", "*-9", "us-east-1*1", "us*us*us", "-*"] {
            assert!(!matches_known_region(pattern), "{pattern}");
        }
        assert!(!matches_known_region(&"*a".repeat(10_000)));
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
}
