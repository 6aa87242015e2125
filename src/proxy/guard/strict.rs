//! What a sound head may not ask for: the meaning of a request, where the server has checked its form.

use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};

use super::{Refusal, host::Authority};
use crate::{proxy::headers::SEC_FETCH_SITE, server::Violation};

/// Checks the head; the authority under which the proxy is addressed, when there is one.
pub(super) fn check(parts: &Parts) -> Result<Option<Authority>, Refusal> {
    if let Some(violation) = parts.extensions.get::<Violation>() {
        return Err(violation.clone().into());
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    check_target(parts)?;
    check_body(parts)?;
    check_expectation(&parts.headers)?;
    check_upgrade(&parts.headers)?;
    authority(parts)
}

fn check_target(parts: &Parts) -> Result<(), Refusal> {
    let Some(target) = parts.uri.path_and_query() else {
        return malformed("The request target is not a path");
    };
    if !target.as_str().starts_with('/') {
        return malformed("The request target is not a path");
    }
    Ok(())
}

/// RFC 9110 section 9.3.1 warns of such bodies; OpenSearch takes searches in them, with a plain length.
fn check_body(parts: &Parts) -> Result<(), Refusal> {
    let rarely_has_one = parts.method == Method::GET || parts.method == Method::HEAD;
    if rarely_has_one && parts.headers.contains_key(header::TRANSFER_ENCODING) {
        return malformed("A GET or HEAD request has a chunked body");
    }
    Ok(())
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(header::EXPECT).iter().all(known) { Ok(()) } else { Err(Refusal::Expectation) }
}

/// An offer of HTTP/2 may be ignored, as RFC 9110 section 7.8 allows; clients that offer it go on without.
fn check_upgrade(headers: &HeaderMap) -> Result<(), Refusal> {
    let harmless = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"h2c");
    if headers.get_all(header::UPGRADE).iter().all(harmless) { Ok(()) } else { Err(Refusal::Upgrade) }
}

fn authority(parts: &Parts) -> Result<Option<Authority>, Refusal> {
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
