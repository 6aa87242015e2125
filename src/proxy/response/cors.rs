//! CORS (Fetch standard, section 3.3) for pages of allowed origins.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::body::Body;
use super::proxy_status::PROXY_STATUS;

/// Headers that pages of allowed origins may read, besides the usual ones and those that the API exposes.
const EXPOSED: [HeaderName; 5] = [
    HeaderName::from_static("x-amzn-requestid"),
    HeaderName::from_static("x-amzn-errortype"),
    HeaderName::from_static("x-amz-apigw-id"),
    PROXY_STATUS,
    header::RETRY_AFTER,
];

/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");

/// The answer to a CORS preflight of an allowed origin, which is never forwarded.
///
/// It repeats the requested method and headers: `*` does not work for requests with credentials.
pub(in crate::proxy) fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (asked, allowed) in [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        for value in request.get_all(asked) {
            headers.append(&allowed, value.clone());
        }
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    response
}

/// Lets pages of `origin`, and no others, read an answer to a request other than a preflight.
pub(super) fn share(headers: &mut HeaderMap, origin: &HeaderValue) {
    let exposed = exposed(headers);
    let upstreams: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in &upstreams {
        headers.remove(name);
    }
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    allow(headers, origin);
}

/// Names the `origin` that may read an answer, with cookies and other credentials.
pub(super) fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
}

/// Adds `Origin` to `Vary`, so that no cache serves one origin the answer to another.
pub(super) fn vary(headers: &mut HeaderMap) {
    let names = headers.get_all(header::VARY);
    let mut names = names.iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    if !names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"origin")) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

/// The names that pages may read: the proxy's and the API's, each once.
///
/// For requests with credentials `*` is an ordinary header name, so it is replaced by the names of all headers.
fn exposed(headers: &HeaderMap) -> HeaderValue {
    let mut names: Vec<HeaderName> = EXPOSED.to_vec();
    let lists = headers.get_all(header::ACCESS_CONTROL_EXPOSE_HEADERS);
    for name in
        lists.iter().flat_map(|list| list.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
    {
        if name == b"*" {
            names.extend(headers.keys().filter(|name| is_readable(name)).cloned());
        } else {
            names.extend(HeaderName::from_bytes(name));
        }
    }
    let (mut text, mut seen) = (String::new(), HashSet::new());
    for name in names.iter().filter(|name| seen.insert(*name)) {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(name.as_str());
    }
    HeaderValue::from_str(&text).expect("header names are visible ASCII")
}

fn is_readable(name: &HeaderName) -> bool {
    *name != header::SET_COOKIE && !name.as_str().starts_with("access-control-")
}
