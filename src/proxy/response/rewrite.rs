//! Makes an answer of the upstream one of the proxy's origin, and marks all answers for browsers.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, Version,
    header::{self, Entry},
};

use super::{active_content, body::Body, cookie, cors, location};
use crate::proxy::{
    admission::{Audience, BrowserPolicy},
    headers::{self, CROSS_ORIGIN_RESOURCE_POLICY},
    request::route::Route,
};

/// Makes an answer of the upstream one of the proxy's origin.
pub(in crate::proxy) fn rewrite(
    mut response: Response<Body>,
    route: &Route,
    client_host: Option<&HeaderValue>,
) -> Response<Body> {
    // The upstream may speak HTTP/2 or HTTP/1.0; clients of the proxy get HTTP/1.1.
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    headers::downward(headers);
    replace_each(headers, header::LOCATION, |location| {
        location::at_proxy(location, &route.mount, client_host)
    });
    replace_each(headers, header::SET_COOKIE, |cookie| cookie::at_proxy(cookie, &route.mount));
    response
}

/// Replaces those values of a header for which there is another.
fn replace_each(
    headers: &mut HeaderMap,
    name: HeaderName,
    replacement: impl Fn(&HeaderValue) -> Option<HeaderValue>,
) {
    // Most answers have none, and `entry` would allocate for one.
    if !headers.contains_key(&name) {
        return;
    }
    if let Entry::Occupied(mut values) = headers.entry(name) {
        for value in values.iter_mut() {
            if let Some(new) = replacement(value) {
                *value = new;
            }
        }
    }
}

/// Adds the headers by which browsers restrict the use of every answer, the proxy's own included.
pub(in crate::proxy) fn protect(response: &mut Response<Body>, audience: &Audience, policy: BrowserPolicy) {
    let origin = audience.origin.as_ref();
    let headers = response.headers_mut();
    let resource_policy = if origin.is_some() { "cross-origin" } else { "same-origin" };
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static(resource_policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Appended: several policies apply together, so that the upstream's own stays in force.
    if !policy.trust_documents && (audience.document || active_content::may_have_scripts(headers)) {
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    match origin {
        Some(origin) if audience.preflight => cors::allow(headers, origin),
        Some(origin) => cors::share(headers, origin),
        None => {}
    }
    if policy.varies_by_origin {
        cors::vary(headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_the_upstream_stays_beside_the_proxys() {
        let mut response = Response::new(Body::empty());
        let theirs = HeaderValue::from_static("default-src 'self'");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, theirs);
        let policy = BrowserPolicy { trust_documents: false, varies_by_origin: false };
        protect(&mut response, &Audience::default(), policy);
        let policies: Vec<_> = response.headers().get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, ["default-src 'self'", "sandbox"]);
    }
}
