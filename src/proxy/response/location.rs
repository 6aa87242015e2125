//! An upstream's `Location`, as the client of the proxy reaches it.

use http::HeaderValue;

use crate::proxy::request::route::Mount;

/// A `Location` below the route's upstream, as the client reaches it; `None` for any other, which goes down
/// as it came.
///
/// What is given begins with the proxy's origin, or with one slash that neither a slash, a backslash nor a
/// control character follows: browsers take what comes after two slashes for a host, read a backslash as a
/// slash, and drop tabs and line feeds (URL Standard, "relative slash state").
pub(super) fn at_proxy(
    location: &HeaderValue,
    mount: &Mount,
    client_host: Option<&HeaderValue>,
) -> Option<HeaderValue> {
    let location = location.as_bytes();
    let absolute = [&mount.origin, &mount.address].iter().find_map(|origin| below(location, origin));
    let path = absolute.or_else(|| is_plain_path(location).then_some(location))?;
    let rest = path.strip_prefix(mount.base.as_bytes())?;
    if !matches!(rest.first(), None | Some(b'/' | b'?' | b'#')) {
        return None;
    }
    let slash: &[u8] = if rest.starts_with(b"/") || !mount.prefix.is_empty() { b"" } else { b"/" };
    let path = [mount.prefix.as_bytes(), slash, rest].concat();
    let needs_origin = absolute.is_some() || !is_plain_path(&path);
    let location = match client_host.filter(|_| needs_origin) {
        Some(host) => [b"http://", host.as_bytes(), &path].concat(),
        None if is_plain_path(&path) => path,
        None => return None,
    };
    HeaderValue::from_bytes(&location).ok()
}

/// What follows `origin` in an absolute or scheme-relative `location`, from the path on.
fn below<'a>(location: &'a [u8], origin: &str) -> Option<&'a [u8]> {
    let (scheme, authority) = origin.split_once("://")?;
    let rest = if location.starts_with(b"//") {
        location
    } else {
        without_prefix(location, scheme.as_bytes())?.strip_prefix(b":")?
    };
    let rest = without_prefix(rest.strip_prefix(b"//")?, authority.as_bytes())?;
    let default_port: &[u8] = if scheme == "http" { b":80" } else { b":443" };
    let path = rest.strip_prefix(default_port).unwrap_or(rest);
    // Otherwise the upstream's name is only the beginning of a longer one, a user name, or has another port.
    matches!(path.first(), None | Some(b'/' | b'?' | b'#')).then_some(path)
}

fn without_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether no reader takes this for anything but a path on the same host.
pub(super) fn is_plain_path(location: &[u8]) -> bool {
    location.first() == Some(&b'/')
        && location.get(1).is_none_or(|byte| !matches!(byte, b'/' | b'\\') && !byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(address: &str, base: &str, prefix: &str) -> Mount {
        Mount {
            origin: "https://api.example".into(),
            address: address.into(),
            base: base.into(),
            prefix: prefix.into(),
        }
    }

    fn rewritten(location: &str, mount: &Mount, host: Option<&'static str>) -> Option<String> {
        let location = HeaderValue::from_bytes(location.as_bytes()).expect("a value");
        let rewritten = at_proxy(&location, mount, host.map(HeaderValue::from_static).as_ref())?;
        Some(String::from_utf8(rewritten.as_bytes().to_vec()).expect("UTF-8"))
    }

    #[test]
    fn urls_of_the_upstream_become_the_proxys_in_every_spelling() {
        let mount = mount("https://vpce-1.example:8443", "/prod", "");
        for (location, expected) in [
            ("https://api.example/prod/a?b#c", "http://localhost:1/a?b#c"),
            ("HTTPS://API.Example/prod/a", "http://localhost:1/a"),
            ("https://api.example:443/prod/a", "http://localhost:1/a"),
            ("//api.example/prod/a", "http://localhost:1/a"),
            ("https://vpce-1.example:8443/prod/a", "http://localhost:1/a"),
            ("https://api.example/prod", "http://localhost:1/"),
            ("https://api.example/prod?a", "http://localhost:1/?a"),
            ("https://api.example/prod/caf\u{e9}", "http://localhost:1/caf\u{e9}"),
            ("/prod/a", "/a"),
            ("/prod", "/"),
            ("/prod/", "/"),
            ("/prod?a=//b", "/?a=//b"),
            ("/prod#a", "/#a"),
        ] {
            assert_eq!(
                rewritten(location, &mount, Some("localhost:1")).as_deref(),
                Some(expected),
                "{location}"
            );
        }
    }

    #[test]
    fn other_urls_stay_as_they_are() {
        let mount = mount("https://api.example", "/prod", "");
        for location in [
            "",
            "a",
            "../a",
            "?a",
            "/",
            "/production/a",
            "//evil.test/prod/a",
            "/\\evil.test/prod",
            "/\t/evil.test/prod",
            "https://evil.test/prod/a",
            "https://api.example.evil.test/prod/a",
            "https://api.example@evil.test/prod/a",
            "https://user@api.example/prod/a",
            "https://api.example:8443/prod/a",
            "https://api.example:443@evil.test/prod",
            "https://api.example\\prod/a",
            "https://api.example/production",
            "http://api.example/prod/a",
            "https:api.example/prod/a",
            "https:/api.example/prod/a",
            " https://api.example/prod/a",
        ] {
            assert_eq!(rewritten(location, &mount, Some("localhost:1")), None, "{location:?}");
        }
    }

    #[test]
    fn an_address_may_begin_like_the_origin() {
        let mount = mount("https://api.example.net", "/prod", "");
        for (location, expected) in [
            ("https://api.example.net/prod/a", Some("http://localhost:1/a")),
            ("https://api.example/prod/a", Some("http://localhost:1/a")),
            ("https://api.example.new/prod/a", None),
        ] {
            assert_eq!(rewritten(location, &mount, Some("localhost:1")).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn no_path_of_an_upstream_becomes_another_host() {
        for (base, prefix) in [("/prod", ""), ("", ""), ("/prod", "/orders"), ("", "/orders")] {
            let mount = mount("https://api.example", base, prefix);
            for path in [
                "//evil.test/",
                "/\\evil.test/",
                "\\evil.test/",
                "/\t/evil.test/",
                "///evil.test/",
                "/\t\\evil.test/",
                "/./evil.test",
                "/..//evil.test",
                "?//evil.test",
                "#//evil.test",
                "@evil.test",
                ".evil.test",
                ":80/evil.test",
            ] {
                for start in ["", "https://api.example", "//api.example", "https://api.example:443"] {
                    for host in [Some("localhost:1"), None] {
                        let location = format!("{start}{base}{path}");
                        let Some(rewritten) = rewritten(&location, &mount, host) else { continue };
                        let path = rewritten.strip_prefix("http://localhost:1").unwrap_or(&rewritten);
                        let absolute = path != rewritten;
                        assert!(path.starts_with('/'), "{location:?} {rewritten:?}");
                        let second = path.as_bytes().get(1).copied().unwrap_or(b'a');
                        assert!(
                            absolute || !(matches!(second, b'/' | b'\\') || second.is_ascii_control()),
                            "{location:?} {rewritten:?}"
                        );
                    }
                }
            }
        }
        let mount = mount("https://api.example", "/prod", "");
        let at_proxy = rewritten("/prod//evil.test/", &mount, Some("localhost:1"));
        assert_eq!(at_proxy.as_deref(), Some("http://localhost:1//evil.test/"));
        assert_eq!(rewritten("/prod//evil.test/", &mount, None), None);
        assert_eq!(rewritten("https://api.example/prod//evil.test/", &mount, None), None);
    }

    #[test]
    fn the_prefix_that_is_stripped_on_the_way_up_is_put_in_front() {
        for (base, location, expected) in [
            ("/prod", "/prod/7", Some("/orders/7")),
            ("/prod", "/prod", Some("/orders")),
            ("/prod", "/prod?a", Some("/orders?a")),
            ("/prod", "/prod//evil.test", Some("/orders//evil.test")),
            ("/prod", "/7", None),
            ("", "/7", Some("/orders/7")),
            ("", "/", Some("/orders/")),
            ("", "//evil.test", None),
            ("", "https://api.example/7", Some("http://localhost:1/orders/7")),
            ("", "https://api.example", Some("http://localhost:1/orders")),
        ] {
            let mount = mount("https://api.example", base, "/orders");
            assert_eq!(
                rewritten(location, &mount, Some("localhost:1")).as_deref(),
                expected,
                "{base} {location}"
            );
        }
    }
}
