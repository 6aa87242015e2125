//! What becomes of an answer on its way down.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{
    body::Body,
    guard::Admitted,
    headers::{self, CROSS_ORIGIN_RESOURCE_POLICY},
    route::Route,
    upstream::UpstreamBody,
};
/// A gateway's refusal is a line or two; what is longer is not looked into further.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// What pages of allowed origins may read of an answer besides the usual headers.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-amzn-requestid, x-amzn-errortype, x-amz-apigw-id, proxy-status, retry-after");

/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");

/// The time of an answer that no cache kept.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(header::DATE).filter(|_| !headers.contains_key(header::AGE))?;
    httpdate::parse_http_date(date.to_str().ok()?).ok()
}

/// Reads the beginning of a refusal; the response that is given back is still whole.
pub(super) async fn look_into(response: Response<UpstreamBody>, idle: Duration) -> (Bytes, Response<Body>) {
    let (parts, mut body) = response.into_parts();
    let mut text = BytesMut::new();
    let mut broken = None;
    while text.len() < LONGEST_REFUSAL {
        match timeout(idle, body.frame()).await {
            Ok(Some(Ok(frame))) => text.extend(frame.into_data().unwrap_or_default()),
            Ok(None) => {
                let text = text.freeze();
                return (text.clone(), Response::from_parts(parts, Body::from(text)));
            }
            Ok(Some(Err(error))) => {
                broken = Some(error);
                break;
            }
            Err(_) => break,
        }
    }
    let text = text.freeze();
    (text.clone(), Response::from_parts(parts, Body::stream_after(text, broken, body, idle)))
}

/// Makes an answer of the upstream one of the proxy's origin.
pub(super) fn rewrite(
    mut response: Response<Body>,
    route: &Route,
    client_host: Option<&HeaderValue>,
) -> Response<Body> {
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    headers::downward(headers);
    if let Some(location) =
        headers.get(header::LOCATION).and_then(|location| at_proxy(location, route, client_host))
    {
        headers.insert(header::LOCATION, location);
    }
    if headers.contains_key(header::SET_COOKIE) {
        let cookies: Vec<HeaderValue> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .map(|cookie| without_domain(cookie, &route.origin))
            .collect();
        headers.remove(header::SET_COOKIE);
        for cookie in cookies {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// A `Location` below the route's upstream, as the client reaches it; `None` for any other.
fn at_proxy(location: &HeaderValue, route: &Route, client_host: Option<&HeaderValue>) -> Option<HeaderValue> {
    let location = location.to_str().ok()?;
    let absolute =
        location.get(..route.origin.len()).filter(|origin| origin.eq_ignore_ascii_case(&route.origin));
    let path = if absolute.is_some() { &location[route.origin.len()..] } else { location };
    // Without an origin only the base path shows that the upstream is meant; "//" starts another authority.
    if absolute.is_none() && (route.base().is_empty() || !path.starts_with('/') || path.starts_with("//")) {
        return None;
    }
    let rest = path.strip_prefix(route.base())?;
    if !rest.is_empty() && !rest.starts_with(['/', '?', '#']) {
        return None;
    }
    let slash = if rest.starts_with('/') || !route.prefix().is_empty() { "" } else { "/" };
    let host = client_host.filter(|_| absolute.is_some()).and_then(|host| host.to_str().ok());
    let origin = host.map(|host| format!("http://{host}")).unwrap_or_default();
    HeaderValue::from_str(&format!("{origin}{}{slash}{rest}", route.prefix())).ok()
}

/// Drops a `Domain` that covers the upstream: to the browser the cookie comes from the proxy.
fn without_domain(cookie: &HeaderValue, origin: &str) -> HeaderValue {
    let host = origin.split("://").nth(1).unwrap_or_default().split(':').next().unwrap_or_default();
    let covers = |attribute: &[u8]| {
        let text = String::from_utf8_lossy(attribute).trim().to_ascii_lowercase();
        text.strip_prefix("domain").and_then(|rest| rest.trim_start().strip_prefix('=')).is_some_and(
            |domain| {
                let domain = domain.trim().trim_start_matches('.');
                host.eq_ignore_ascii_case(domain)
                    || host.to_ascii_lowercase().ends_with(&format!(".{domain}"))
            },
        )
    };
    let kept: Vec<&[u8]> = cookie
        .as_bytes()
        .split(|&byte| byte == b';')
        .enumerate()
        .filter(|(at, part)| *at == 0 || !covers(part))
        .map(|(_, part)| part)
        .collect();
    HeaderValue::from_bytes(&kept.join(&b';')).unwrap_or_else(|_| cookie.clone())
}

/// The answer to a CORS preflight of an allowed origin, which is never forwarded.
pub(super) fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (asked, allowed) in [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = request.get(asked) {
            headers.insert(allowed, value.clone());
        }
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    response
}

/// What browsers are told about every answer, the proxy's own included.
pub(super) fn protect(response: &mut Response<Body>, admitted: Option<&Admitted>, trust_documents: bool) {
    let preflight = admitted.is_some_and(|admitted| admitted.preflight);
    let origin = admitted.and_then(|admitted| admitted.origin.as_ref());
    let headers = response.headers_mut();
    let policy = if origin.is_some() { "cross-origin" } else { "same-origin" };
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if admitted.is_some_and(|admitted| admitted.document) && !trust_documents {
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    let Some(origin) = origin else { return };
    if !preflight {
        let upstreams: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
        for name in upstreams {
            headers.remove(name);
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
