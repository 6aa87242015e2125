//! What was signed, as far as the meaning of the answer depends on it.

use std::{fmt, net::Ipv4Addr, time::SystemTime};

use http::Method;

use crate::signing::Scope;

/// The facts of a signed request.
#[derive(Clone)]
pub struct SignedFacts {
    /// What the signature is for.
    pub scope: Scope,
    /// The Host that was signed.
    pub host: String,
    /// The method.
    pub method: Method,
    /// The path that was sent, base path included, without the query.
    pub path: String,
    /// Whether the upstream has a base path, which begins with a stage at API Gateway's own hosts.
    pub has_base_path: bool,
    /// Whether an `x-api-key` header was sent.
    pub has_api_key: bool,
    /// The canonical request, session token included.
    pub canonical_request: String,
    /// When it was signed, in AWS's time.
    pub signed_at: SystemTime,
}

impl fmt::Debug for SignedFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, host, method, path, .. } = self;
        f.debug_struct("SignedFacts")
            .field("scope", scope)
            .field("host", host)
            .field("method", method)
            .field("path", path)
            .finish_non_exhaustive()
    }
}

/// What a host name tells about an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostKind {
    /// `{api}.execute-api.{region}.amazonaws.com`
    Endpoint,
    /// A name of a VPC endpoint.
    VpcEndpoint,
    /// A name of AWS's that tells nothing about API Gateway.
    OtherService,
    /// An address or a name of this machine: another process stands between.
    Local,
    /// A domain of the API's owner.
    CustomDomain,
}

impl SignedFacts {
    pub(super) fn host_kind(&self) -> HostKind {
        let name = self.host_name();
        let first = name.split('.').next().unwrap_or_default();
        if name.contains(".vpce.amazonaws.com") || first.contains("-vpce-") {
            HostKind::VpcEndpoint
        } else if name.split('.').nth(1) == Some("execute-api") && is_of_aws(name) {
            HostKind::Endpoint
        } else if is_of_aws(name) {
            HostKind::OtherService
        } else if !name.contains('.')
            || name.starts_with('[')
            || is_ip_address(name)
            || name.ends_with(".localhost")
        {
            HostKind::Local
        } else {
            HostKind::CustomDomain
        }
    }

    /// The host without its port.
    pub(super) fn host_name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }

    /// The id of the API, where the host has it.
    pub(super) fn api_id(&self) -> Option<&str> {
        let first = self.host_name().split('.').next()?;
        match self.host_kind() {
            HostKind::Endpoint => Some(first),
            HostKind::VpcEndpoint => first.split_once("-vpce-").map(|(api, _)| api),
            _ => None,
        }
    }

    /// The region that the host names, if it is one of AWS's.
    pub(super) fn region_of_host(&self) -> Option<&str> {
        let name = self.host_name();
        name.split('.').find(|label| is_region(label)).filter(|_| is_of_aws(name))
    }

    /// The partition of the region that was signed for.
    pub(super) fn partition(&self) -> &'static str {
        let region = self.scope.region.as_str();
        if region.starts_with("cn-") {
            "aws-cn"
        } else if region.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        }
    }

    /// The first segment of the path.
    pub(super) fn first_segment(&self) -> &str {
        self.path.split('/').find(|segment| !segment.is_empty()).unwrap_or_default()
    }
}

fn is_of_aws(name: &str) -> bool {
    [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".on.aws", ".api.aws"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

fn is_ip_address(name: &str) -> bool {
    name.parse::<Ipv4Addr>().is_ok()
}

/// `eu-west-1`, `us-gov-east-1`
fn is_region(label: &str) -> bool {
    let mut parts = label.split('-').rev();
    let is_number = parts.next().is_some_and(|last| last.len() == 1 && last.as_bytes()[0].is_ascii_digit());
    let words: Vec<&str> = parts.collect();
    let is_word = |word: &&str| word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_number && words.len() >= 2 && words.iter().all(is_word)
}
