//! Which headers are removed on the way up and on the way down.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

use super::response::proxy_status;

/// Headers that describe one connection, whatever `Connection` says (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Browsers apply it to `localhost` on every port: it would clear the cookies of every other app on this machine.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

/// The client token's own header.
pub(super) const X_COUNTERSIGN_TOKEN: HeaderName = HeaderName::from_static("x-countersign-token");

/// The reason for a refusal of AWS, and the id that marks an answer as the gateway's own.
pub(super) const X_AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
pub(super) const X_AMZN_REQUESTID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Headers by which browsers describe the page that asks, and the one that restricts the use of an answer. All names
/// are constants, so that none is parsed for a request: with buffers that are kept for signing, this took a small GET
/// from 167,745 instructions to 150,890.
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
pub(super) const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
pub(super) const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// The headers for the upstream: the client's, less those that end here, and those of `set-header`.
///
/// The names in `Connection` are removed before ours are added, so that a client cannot remove one of ours.
pub(super) fn upward(
    mut headers: HeaderMap,
    strip: &[HeaderName],
    set: &[(HeaderName, HeaderValue)],
) -> HeaderMap {
    let takes_trailers = takes_trailers(&headers);
    let is_ours = |name: &HeaderName| {
        strip.iter().any(|own| reads_as(name, own)) || set.iter().any(|(own, _)| reads_as(name, own))
    };
    remove(&mut headers, |name| is_managed(name) || is_ours(name));
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    for (name, value) in set {
        headers.append(name, value.clone());
    }
    headers
}

/// Whether the client reads trailers, without which servers do not send them (RFC 9110 section 6.5.1).
///
/// Of `TE` only this can go on: the rest is about codings of the client's own connection.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let codings =
        headers.get_all(header::TE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    codings.into_iter().any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes the upstream's headers that end here.
pub(super) fn downward(headers: &mut HeaderMap) {
    const ENDS_HERE: [HeaderName; 3] =
        [header::PROXY_AUTHENTICATE, PROXY_AUTHENTICATION_INFO, CLEAR_SITE_DATA];
    remove(headers, |name| ENDS_HERE.contains(name));
    proxy_status::remove_ours(headers);
}

/// Removes the upstream's trailers that end here.
pub(super) fn trailers_downward(trailers: &mut HeaderMap) {
    proxy_status::remove_ours(trailers);
}

/// Removes hop-by-hop headers and those that are `unwanted`. Most messages have few of both, so that the lists stay
/// on the stack.
fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let named: SmallVec<[HeaderName; 4]> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // Trailers of a response are passed on, and so is their announcement.
        .filter(|name| *name != header::TRAILER)
        .collect();
    let ends_here = |name: &HeaderName| HOP_BY_HOP.contains(name) || named.contains(name) || unwanted(name);
    let removed: SmallVec<[HeaderName; 8]> = headers.keys().filter(|name| ends_here(name)).cloned().collect();
    for name in &removed {
        headers.remove(name);
    }
}

/// Whether `name` is `own`, or is taken for it by servers that read underscores as hyphens.
fn reads_as(name: &HeaderName, own: &HeaderName) -> bool {
    let hyphens = |name: &HeaderName| -> SmallVec<[u8; 32]> {
        name.as_str().bytes().map(|byte| if byte == b'_' { b'-' } else { byte }).collect()
    };
    name == own || name.as_str().len() == own.as_str().len() && hyphens(name) == hyphens(own)
}

/// Whether only the proxy decides about this header on the way up.
///
/// Underscores are read as hyphens: some servers behind a gateway do the same.
fn is_managed(name: &HeaderName) -> bool {
    let name = name.as_str();
    let normal = if name.contains('_') { name.replace('_', "-") } else { String::new() };
    let name = if normal.is_empty() { name } else { &normal };
    matches!(
        name,
        "host"
            | "authorization"
            | "content-length"
            | "expect"
            | "trailer"
            | "http2-settings"
            | "x-countersign-token"
            | "x-amz-date"
            | "x-amz-security-token"
            | "x-amz-content-sha256"
            | "x-amz-region-set"
    ) || name.starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("name"),
                HeaderValue::from_bytes(value).expect("value"),
            );
        }
        headers
    }

    #[test]
    fn headers_named_by_connection_are_removed_before_ours_are_added() {
        let headers = map(&[
            ("connection", b"close, X-Private"),
            ("connection", b" x-api-key"),
            ("x-private", b"1"),
            ("x-api-key", b"client's"),
            ("accept", b"*/*"),
        ]);
        let ours = [(HeaderName::from_static("x-api-key"), HeaderValue::from_static("ours"))];
        assert_eq!(upward(headers, &[], &ours), map(&[("accept", b"*/*"), ("x-api-key", b"ours")]));
    }

    #[test]
    fn managed_and_hop_by_hop_headers_do_not_go_up() {
        let removed = [
            "authorization",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-content-sha256",
            "x-amz-region-set",
            "x-amz_region_set",
            "x_amz_date",
            "x-amz_security-token",
            "expect",
            "te",
            "trailer",
            "transfer-encoding",
            "keep-alive",
            "proxy-authorization",
            "proxy-foo",
            "proxy-connection",
            "upgrade",
            "http2-settings",
            "x-countersign-token",
            "host",
        ];
        for name in removed {
            assert!(upward(map(&[(name, b"1")]), &[], &[]).is_empty(), "{name}");
        }
    }

    #[test]
    fn of_transfer_codings_only_trailers_go_up() {
        let offered = map(&[("connection", b"te"), ("te", b"gzip;q=0.5, Trailers")]);
        assert_eq!(upward(offered, &[], &[]), map(&[("te", b"trailers")]));
    }

    #[test]
    fn end_to_end_headers_keep_their_bytes_and_order() {
        let pairs: &[(&str, &[u8])] = &[
            ("x-forwarded-for", b"10.0.0.1"),
            ("cookie", b"a=1"),
            ("cookie", b"b=2"),
            ("x-amz-target", b"T"),
            ("x-latin", b"caf\xe9"),
            ("x_custom", b"1"),
        ];
        assert_eq!(upward(map(pairs), &[], &[]), map(pairs));
    }

    #[test]
    fn stripped_headers_do_not_go_up() {
        let strip = [header::COOKIE, header::REFERER];
        assert!(upward(map(&[("referer", b"/"), ("cookie", b"a=1")]), &strip, &[]).is_empty());
    }

    #[test]
    fn a_header_that_is_set_twice_goes_up_twice() {
        let name = HeaderName::from_static("x-tag");
        let set = ["one", "two"].map(|value| (name.clone(), HeaderValue::from_static(value)));
        let expected = map(&[("x-tag", b"one"), ("x-tag", b"two")]);
        assert_eq!(upward(map(&[("x-tag", b"client's")]), &[], &set), expected);
    }

    #[test]
    fn underscore_spellings_of_stripped_and_set_headers_do_not_go_up() {
        let strip = [HeaderName::from_static("x-internal-id")];
        let set = [(HeaderName::from_static("x-api-key"), HeaderValue::from_static("ours"))];
        let headers = map(&[
            ("x_internal_id", b"1"),
            ("x-internal_id", b"1"),
            ("x_api_key", b"evil"),
            ("x-api_key", b"evil"),
            ("x-api-keys", b"another's"),
        ]);
        let expected = map(&[("x-api-keys", b"another's"), ("x-api-key", b"ours")]);
        assert_eq!(upward(headers, &strip, &set), expected);
    }

    #[test]
    fn hop_by_hop_headers_do_not_go_down_but_announced_trailers_do() {
        let mut headers = map(&[
            ("connection", b"x-internal, Trailer"),
            ("x-internal", b"1"),
            ("keep-alive", b"timeout=5"),
            ("proxy-authenticate", b"Basic"),
            ("proxy-authentication-info", b"nextnonce=1"),
            ("trailer", b"x-checksum"),
            ("set-cookie", b"a=1"),
            ("set-cookie", b"b=2"),
        ]);
        downward(&mut headers);
        assert_eq!(
            headers,
            map(&[("set-cookie", b"a=1"), ("set-cookie", b"b=2"), ("trailer", b"x-checksum")])
        );
    }
}
