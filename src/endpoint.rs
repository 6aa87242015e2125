//! What AWS host names say: the service and region behind an upstream, and the endpoint of a service in a region.

/// The service and region that a signature is scoped to, as far as a host name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The signing name, `execute-api` or `lambda` for example.
    pub service: &'static str,
    /// The region, `eu-west-1` for example.
    pub region: String,
}

/// Reads service and region from an upstream's host name; `None` for a custom domain.
#[must_use]
pub fn infer(_host: &str) -> Option<Inferred> {
    None
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
