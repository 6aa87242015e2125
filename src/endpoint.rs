//! What AWS host names say: the service and region behind an upstream, and the endpoint of a service in a region.

mod host;
mod table;

pub use host::{HostScope, Inferred, infer};

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
}
