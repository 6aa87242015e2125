//! Checks of a head that is well formed: targets, expectations and hosts that are not forwarded.

use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};

use super::{Refusal, host::Authority};
use crate::{downstream::RefusedHead, proxy::headers::SEC_FETCH_SITE};

/// Checks the head; the authority under which the proxy is addressed, when there is one.
pub(super) fn check(parts: &Parts) -> Result<Option<Authority<'_>>, Refusal> {
    if let Some(head) = parts.extensions.get::<RefusedHead>() {
        return Err(head.error.clone().into());
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    check_target(parts)?;
    check_expectation(&parts.headers)?;
    authority(parts)
}

fn check_target(parts: &Parts) -> Result<(), Refusal> {
    let Some(target) = parts.uri.path_and_query() else {
        return malformed("The request target is not a path");
    };
    if target == "*" {
        return malformed(
            "The request target \"*\" asks about the server as a whole, and an API answers for its paths only; send a path",
        );
    }
    if !target.as_str().starts_with('/') {
        return malformed("The request target is not a path");
    }
    Ok(())
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(header::EXPECT).iter().all(known) { Ok(()) } else { Err(Refusal::Expectation) }
}

fn authority(parts: &Parts) -> Result<Option<Authority<'_>>, Refusal> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::parse(host.as_bytes())
            .map(Some)
            .ok_or(Refusal::Malformed("The Host header is not a host name and a port".into()))?,
        (None, _) if parts.version == Version::HTTP_10 => None,
        (None, _) => return malformed("There is no Host header"),
        (Some(_), Some(_)) => return malformed("There are several Host headers"),
    };
    if host.is_none() && speaks_like_a_browser(&parts.headers) {
        return malformed("There is no Host header");
    }
    let Some(authority) = parts.uri.authority() else { return Ok(host) };
    let absolute = Authority::parse(authority.as_str().as_bytes());
    if parts.uri.scheme_str() != Some("http") || absolute.is_none() || (host.is_some() && absolute != host) {
        return malformed("The authority of the request target is not that of the Host header");
    }
    Ok(absolute)
}

fn speaks_like_a_browser(headers: &HeaderMap) -> bool {
    [header::ORIGIN, header::REFERER].iter().any(|name| headers.contains_key(name))
        || headers.contains_key(SEC_FETCH_SITE)
}

fn malformed<T>(what: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Malformed(what.into()))
}
