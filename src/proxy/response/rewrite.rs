//! Makes an answer of the upstream one of the proxy's origin, and marks all answers for browsers.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, Version,
    header::{self, Entry},
};

use super::{active_content, body::Body, cookie, cors, location};
use crate::proxy::{
    admission::{Audience, BrowserPolicy},
    headers::{self, CROSS_ORIGIN_RESOURCE_POLICY},
    request::{bucket_host, plan::Ready},
};

/// Makes an answer of the upstream one of the proxy's origin.
pub(in crate::proxy) fn rewrite(
    mut response: Response<Body>,
    ready: &Ready<'_>,
    client_host: Option<&HeaderValue>,
) -> Response<Body> {
    // The upstream may speak HTTP/2 or HTTP/1.0; clients of the proxy get HTTP/1.1.
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    headers::downward(headers);
    let mount = ready.bucket_mount.as_deref().unwrap_or(&ready.route.mount);
    replace_each(headers, header::LOCATION, |location| {
        location::at_proxy(location, mount, client_host)
            .or_else(|| outside_bucket(location, ready, client_host))
    });
    replace_each(headers, header::SET_COOKIE, |cookie| cookie::at_proxy(cookie, mount));
    response
}

/// A `Location` in another bucket than the one that the client's host names: an absolute URL in path style, since a
/// path would be taken for a key in the client's bucket.
fn outside_bucket(
    location: &HeaderValue,
    ready: &Ready<'_>,
    client_host: Option<&HeaderValue>,
) -> Option<HeaderValue> {
    ready.bucket_mount.as_ref()?;
    let mount = &ready.route.mount;
    let endpoint = bucket_host::endpoint(client_host?)?;
    let absolute = location::is_plain_path(location.as_bytes())
        .then(|| HeaderValue::from_bytes(&[mount.origin.as_bytes(), location.as_bytes()].concat()).ok());
    location::at_proxy(absolute.flatten().as_ref().unwrap_or(location), mount, Some(&endpoint))
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
