//! What the host name of an S3 upstream addresses: an endpoint for all buckets, or one bucket, access point or account.

use super::{host::SUFFIXES, is_region};

/// What the host name of an S3 upstream addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Host {
    /// An endpoint of AWS that reads the bucket from the path.
    Endpoint,
    /// The bucket, access point or account of this name, in lower case.
    Resource(String),
    /// A host of AWS that does not read the bucket from the path, without the name of a resource.
    Other,
    /// Not a host of AWS.
    NotAws,
}

/// What `host` addresses. A port, a dot at the end and the case of letters do not matter.
#[must_use]
pub fn s3_host(host: &str) -> S3Host {
    let host = host.to_ascii_lowercase();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let host = host.strip_suffix('.').unwrap_or(host);
    let Some(before) = SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix)) else {
        return S3Host::NotAws;
    };
    let labels: Vec<&str> = before.split('.').collect();
    // The last one: the name of a bucket may begin with "s3", too.
    let Some(at) = labels.iter().rposition(|label| label.starts_with("s3")) else { return S3Host::Other };
    let is_location = |label: &&str| is_region(label) || matches!(*label, "dualstack" | "vpce");
    if !labels[at + 1..].iter().all(is_location) {
        return S3Host::Other;
    }
    let (resource, knows_all_buckets) = match &labels[..at] {
        // The names of an interface endpoint: `bucket.vpce-…`, `accesspoint.vpce-…` and `control.vpce-…`.
        [resource @ .., kind, endpoint] if endpoint.starts_with("vpce-") => (resource, *kind == "bucket"),
        resource => (resource, true),
    };
    match resource.join(".") {
        resource if !resource.is_empty() => S3Host::Resource(resource),
        _ if knows_all_buckets && is_endpoint(labels[at]) => S3Host::Endpoint,
        _ => S3Host::Other,
    }
}

/// Whether `label` is what a regional or global endpoint of S3 has before its region.
fn is_endpoint(label: &str) -> bool {
    let region = label.strip_prefix("s3-").map(|rest| rest.strip_prefix("fips-").unwrap_or(rest));
    matches!(label, "s3" | "s3-fips" | "s3-external-1")
        // `s3-website-eu-west-1` serves web pages, and `website-eu-west-1` has the form of a region.
        || region.is_some_and(|region| is_region(region) && !region.starts_with("website-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_told_from_hosts_of_one_resource() {
        let resource = |name: &str| S3Host::Resource(name.to_owned());
        for (host, expected) in [
            ("s3.eu-west-1.amazonaws.com", S3Host::Endpoint),
            ("S3.eu-west-1.amazonaws.com.:443", S3Host::Endpoint),
            ("s3.amazonaws.com", S3Host::Endpoint),
            ("s3.cn-north-1.amazonaws.com.cn", S3Host::Endpoint),
            ("s3.dualstack.eu-west-1.amazonaws.com", S3Host::Endpoint),
            ("s3-fips.dualstack.us-east-1.amazonaws.com", S3Host::Endpoint),
            ("s3-eu-west-1.amazonaws.com", S3Host::Endpoint),
            ("s3-fips-us-gov-west-1.amazonaws.com", S3Host::Endpoint),
            ("s3-external-1.amazonaws.com", S3Host::Endpoint),
            ("bucket.vpce-0a1b-xyz.s3.us-east-1.vpce.amazonaws.com", S3Host::Endpoint),
            ("photos.bucket.vpce-0a1b.s3.us-east-1.vpce.amazonaws.com", resource("photos")),
            ("accesspoint.vpce-0a1b.s3.us-east-1.vpce.amazonaws.com", S3Host::Other),
            ("control.vpce-0a1b.s3.us-east-1.vpce.amazonaws.com", S3Host::Other),
            ("photos.s3.eu-west-1.amazonaws.com", resource("photos")),
            ("Photos.s3.amazonaws.com", resource("photos")),
            ("my.photos.s3.eu-west-1.amazonaws.com", resource("my.photos")),
            ("a.s3.b.s3.eu-west-1.amazonaws.com", resource("a.s3.b")),
            ("a.eu-west-1.s3.amazonaws.com", resource("a.eu-west-1")),
            ("s3photos.s3-eu-west-1.amazonaws.com", resource("s3photos")),
            ("ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", resource("ap-123456789012")),
            ("ap-1.op-1.s3-outposts.us-east-1.amazonaws.com", resource("ap-1.op-1")),
            ("123456789012.s3-control.eu-west-1.amazonaws.com", resource("123456789012")),
            ("b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com", resource("b--use1-az4--x-s3")),
            ("s3express-use1-az4.us-east-1.amazonaws.com", S3Host::Other),
            ("s3express-control.us-east-1.amazonaws.com", S3Host::Other),
            ("s3-control.eu-west-1.amazonaws.com", S3Host::Other),
            ("s3-accelerate.amazonaws.com", S3Host::Other),
            ("s3-website-eu-west-1.amazonaws.com", S3Host::Other),
            ("s3tables.eu-west-1.amazonaws.com", S3Host::Other),
            ("s3.execute-api.eu-west-1.amazonaws.com", S3Host::Other),
            ("dynamodb.eu-west-1.amazonaws.com", S3Host::Other),
            ("minio.example.com", S3Host::NotAws),
            ("127.0.0.1:9000", S3Host::NotAws),
            ("s3.example.com", S3Host::NotAws),
        ] {
            assert_eq!(s3_host(host), expected, "{host}");
        }
    }
}
