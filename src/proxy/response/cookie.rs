//! An upstream's `Set-Cookie`, as a cookie of the proxy.

use std::borrow::Cow;

use http::HeaderValue;

use crate::proxy::request::route::Mount;

/// The cookie without a `Domain` that covers the upstream, and with its `Path` as the proxy has it; `None` when
/// nothing changes. Everything else keeps its bytes.
pub(super) fn at_proxy(cookie: &HeaderValue, mount: &Mount) -> Option<HeaderValue> {
    let mut parts = cookie.as_bytes().split(|&byte| byte == b';');
    let pair = parts.next()?;
    // Browsers use the last of several attributes with one name (RFC 6265 section 5.3).
    let domain = parts.clone().filter_map(|part| value_of(part, b"domain")).next_back();
    let drops_domain = domain.is_some_and(|domain| covers_upstream(domain, mount));
    // Browsers drop a `__Host-` cookie whose path is not "/" (RFC 6265bis section 4.1.3.2).
    let keeps_path = pair.trim_ascii().get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"__Host-"));
    let mut changed = false;
    let mut kept: Vec<Cow<'_, [u8]>> = vec![Cow::Borrowed(pair)];
    for part in parts {
        if drops_domain && value_of(part, b"domain").is_some() {
            changed = true;
            continue;
        }
        let path =
            value_of(part, b"path").filter(|_| !keeps_path).and_then(|path| path_at_proxy(path, mount));
        changed |= path.is_some();
        kept.push(path.map_or(Cow::Borrowed(part), |path| Cow::Owned([b" Path=", &path[..]].concat())));
    }
    changed.then(|| HeaderValue::from_bytes(&kept.join(&b';')).ok()).flatten()
}

/// The value of an attribute with this name. Quotes around it are removed: servers send them, and browsers keep them.
fn value_of<'a>(attribute: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let equals = attribute.iter().position(|&byte| byte == b'=')?;
    let value = attribute[equals + 1..].trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    attribute[..equals].trim_ascii().eq_ignore_ascii_case(name).then_some(unquoted.trim_ascii())
}

/// Whether a cookie of this domain is sent to the upstream.
fn covers_upstream(domain: &[u8], mount: &Mount) -> bool {
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    [&mount.origin, &mount.address].iter().any(|origin| {
        let host = host_of(origin).as_bytes();
        let Some(start) = host.len().checked_sub(domain.len()) else { return false };
        let ends_so = host[start..].eq_ignore_ascii_case(domain);
        ends_so && (start == 0 || host[start - 1] == b'.')
    })
}

/// The host of `scheme://host[:port]`.
fn host_of(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    }
}

/// Which requests to the proxy reach `path` at the upstream; `None` when the same path says it.
///
/// A path above the upstream's base path covers all that the route reaches.
fn path_at_proxy(path: &[u8], mount: &Mount) -> Option<Vec<u8>> {
    let (base, prefix) = (mount.base.as_bytes(), mount.prefix.as_bytes());
    let rest = match below(path, base) {
        Some(rest) => rest,
        None if below(base, path.strip_suffix(b"/").unwrap_or(path)).is_some() => b"",
        None => return None,
    };
    // "/orders/" would not cover "/orders".
    let rest = if rest == b"/" { b"" } else { rest };
    let at_proxy = [prefix, rest].concat();
    let at_proxy = if at_proxy.is_empty() { b"/".to_vec() } else { at_proxy };
    (path.first() == Some(&b'/') && at_proxy != path).then_some(at_proxy)
}

/// What follows `prefix`, when it ends where a segment ends.
fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(prefix).filter(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(base: &str, prefix: &str) -> Mount {
        Mount {
            origin: "https://api.example.com".into(),
            address: "https://vpce-1.example.net:8443".into(),
            base: base.into(),
            prefix: prefix.into(),
        }
    }

    fn rewritten(cookie: &str, base: &str, prefix: &str) -> String {
        let value = HeaderValue::from_bytes(cookie.as_bytes()).expect("a value");
        let rewritten = at_proxy(&value, &mount(base, prefix)).unwrap_or(value);
        String::from_utf8(rewritten.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn domains_of_the_upstream_are_dropped_in_every_spelling() {
        for domain in [
            "Domain=api.example.com",
            "domain=API.Example.COM",
            "Domain=.example.com",
            "Domain = example.com ",
            "Domain=\"api.example.com\"",
            "Domain=\" .example.com \"",
            "Domain=api.example.com.",
            "DOMAIN=vpce-1.example.net",
            "Domain=evil.test; Domain=api.example.com",
        ] {
            assert_eq!(rewritten(&format!("a=1; {domain}; Secure"), "", ""), "a=1; Secure", "{domain}");
        }
        for domain in [
            "Domain=other.example",
            "Domain=pi.example.com",
            "Domain=x.api.example.com",
            "Domain=localhost",
            "Domain=",
            "Domain",
            "Domain=.",
            "Domain=\"",
            "Domain=example.com; Domain=other.example",
        ] {
            let cookie = format!("a=1; {domain}; Secure");
            assert_eq!(rewritten(&cookie, "", ""), cookie);
        }
    }

    #[test]
    fn paths_lose_the_base_path_and_get_the_stripped_prefix() {
        for (base, prefix, path, expected) in [
            ("/prod", "", "/prod", "/"),
            ("/prod", "", "/prod/", "/"),
            ("/prod", "", "/prod/x", "/x"),
            ("/prod", "", "/prod/x/", "/x/"),
            ("/prod", "", "\"/prod/x\"", "/x"),
            ("/prod", "", "/production", "/production"),
            ("/prod", "", "/", "/"),
            ("/prod/v1", "", "/prod", "/"),
            ("/prod", "", "prod", "prod"),
            ("/prod", "", "", ""),
            ("", "", "/x", "/x"),
            ("", "", "\"/x\"", "\"/x\""),
            ("/prod", "/orders", "/prod", "/orders"),
            ("/prod", "/orders", "/prod/", "/orders"),
            ("/prod", "/orders", "/prod/x", "/orders/x"),
            ("/prod", "/orders", "/", "/orders"),
            ("", "/orders", "/", "/orders"),
            ("", "/orders", "/x", "/orders/x"),
        ] {
            let cookie = format!("a=1; Path={path}; HttpOnly");
            assert_eq!(
                rewritten(&cookie, base, prefix),
                format!("a=1; Path={expected}; HttpOnly"),
                "{base} {prefix}"
            );
        }
    }

    #[test]
    fn everything_else_of_a_cookie_keeps_its_bytes() {
        for cookie in [
            "a=1",
            "",
            ";",
            "domain=api.example.com",
            "path=/prod; Secure",
            "a=\"x,y\";Secure;  Partitioned;SameSite=None",
            "a=caf\u{e9}; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=1; Unknown=/prod",
            "__Host-a=1; Path=/; Secure",
        ] {
            assert_eq!(rewritten(cookie, "/prod", "/orders"), cookie);
        }
        assert_eq!(
            rewritten("__Secure-a=1;Path=/prod;Secure;Partitioned", "/prod", ""),
            "__Secure-a=1; Path=/;Secure;Partitioned"
        );
    }
}
