//! URLs, origins and host names: what may be forwarded to, and who may ask.

use std::net::{IpAddr, Ipv6Addr};

use http::{Uri, uri::Scheme};

use super::value::Parsed;

/// A base URL: https, or http to loopback; host in lower case, no default port, no slash at the end.
pub(super) fn base_url(text: &str) -> Parsed<Uri> {
    url("https://abc123.execute-api.eu-west-1.amazonaws.com/prod", is_loopback, text)
}

/// The base URL of an API. WebSocket APIs have URLs with schemes of their own for the same ports and the same TLS (RFC
/// 6455 section 3).
pub(super) fn upstream(text: &str) -> Parsed<Uri> {
    let scheme = text.split("://").next().unwrap_or_default();
    let http = match scheme.to_ascii_lowercase().as_str() {
        "wss" => "https",
        "ws" => "http",
        _ => return base_url(text),
    };
    base_url(&format!("{http}{}", &text[scheme.len()..]))
}

/// A hook of the sandbox: as a base URL, and http to everywhere.
pub(super) fn hook(text: &str) -> Parsed<Uri> {
    url("http://localhost:9000/pre-sign-up", |_| true, text)
}

/// A collector of OpenTelemetry's: as a base URL, and http to everywhere.
#[cfg(feature = "otlp")]
pub(super) fn collector(text: &str) -> Parsed<Uri> {
    url("http://localhost:4318", |_| true, text)
}

/// A URL that is like `example`; http only to hosts that may be reached without TLS.
fn url(example: &str, without_tls: fn(&str) -> bool, text: &str) -> Parsed<Uri> {
    // A mistaken URL may carry a password, so that it is not quoted.
    if text.contains('#') {
        return Err("has a fragment; a base URL ends with its path".to_owned());
    }
    if let Some(meant) = with_scheme(text, without_tls) {
        let scheme = meant.split_once("//").map_or("https:", |(scheme, _)| scheme);
        return Err(format!("{text:?} lacks {scheme}//; write {meant}"));
    }
    let uri: Uri = text.parse().map_err(|_| format!("is not a URL such as {example}"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(format!("is not a URL such as {example}"));
    };
    if authority.as_str().contains('@') {
        return Err("has a user name in it; credentials do not belong in a URL".to_owned());
    }
    if uri.query().is_some() {
        return Err("has a query; a base URL ends with its path".to_owned());
    }
    let host = host_name(authority.host())?;
    match scheme.as_str() {
        "https" => {}
        "http" if without_tls(&host) => {}
        "http" => {
            return Err(format!(
                "is plain http to {host}; write https{}, since only loopback may be reached without TLS",
                text.get("http".len()..).unwrap_or_default()
            ));
        }
        other => {
            return Err(format!("has the scheme {other}; write https://{host}, or http:// for this machine"));
        }
    }
    let port =
        port_after(authority.as_str(), authority.host())?.filter(|port| !is_default_port(scheme, *port));
    let authority = port.map_or(host.clone(), |port| format!("{host}:{port}"));
    let path = path(uri.path().trim_end_matches('/'))?;
    Uri::builder()
        .scheme(scheme.clone())
        .authority(authority)
        .path_and_query(if path.is_empty() { "/" } else { path })
        .build()
        .map_err(|error| format!("is not a URL: {error}"))
}

/// A URL that was written without its scheme, with the scheme.
fn with_scheme(text: &str, without_tls: fn(&str) -> bool) -> Option<String> {
    let host = text.split(['/', ':']).next().unwrap_or_default();
    if text.contains("://") || text.contains('@') || host_name(host).is_err() {
        return None;
    }
    let scheme = if without_tls(host) { "http" } else { "https" };
    let is_named = host.contains('.') || without_tls(host);
    let meant = format!("{scheme}://{text}");
    (is_named && meant.parse::<Uri>().is_ok()).then_some(meant)
}

/// The endpoint of an AWS service, without a slash at the end.
pub(super) fn endpoint_url(text: &str) -> Parsed<String> {
    base_url(text).map(|url| url.to_string().trim_end_matches('/').to_owned())
}

/// The endpoint of a service on this machine: a file may come with a project, and must not send passwords elsewhere.
pub(super) fn loopback_endpoint(text: &str) -> Parsed<String> {
    let url = base_url(text)?;
    if url.host().is_some_and(is_loopback) {
        return endpoint_url(text);
    }
    let host = url.host().unwrap_or_default();
    Err(format!(
        "is on {host}, and must be on this machine; the SDKs' AWS_ENDPOINT_URL_... variables may name others"
    ))
}

/// `scheme://host[:port]` in lower case, as browsers send it.
pub(super) fn origin(text: &str) -> Parsed<String> {
    match text {
        "*" => {
            return Err(
                "* would allow every page; write each origin, such as http://localhost:5173".to_owned()
            );
        }
        "null" => return Err("null is the origin of every sandboxed page and is never allowed".to_owned()),
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    let not_origin = || match with_scheme(text, is_loopback) {
        Some(meant) if !text.contains('/') => format!("{text:?} lacks its scheme; did you mean {meant}?"),
        _ => format!("{text:?} is not an origin such as http://localhost:5173"),
    };
    let (scheme, authority) = lower.split_once("://").ok_or_else(not_origin)?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(legal) {
        return Err(not_origin());
    }
    if authority.contains('@') {
        return Err("has a user name in it; an origin is scheme, host and port".to_owned());
    }
    if let Some((origin, _)) = authority.split_once(['/', '?', '#']) {
        return Err(format!("has a path; write {scheme}://{origin}"));
    }
    let (host, port) = split_port(authority)?;
    let host = host_name(host).map_err(|_| not_origin())?;
    match port.filter(|port| !matches!((scheme, port), ("http", 80) | ("https", 443))) {
        Some(port) => Ok(format!("{scheme}://{host}:{port}")),
        None => Ok(format!("{scheme}://{host}")),
    }
}

/// A DNS name or an IP address (IPv6 in brackets) in lower case, without a port.
pub(super) fn host_name(text: &str) -> Parsed<String> {
    let lower = text.to_ascii_lowercase();
    if let Some(address) = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let parsed: Result<Ipv6Addr, _> = address.parse();
        return parsed
            .map(|address| format!("[{address}]"))
            .map_err(|_| format!("{text:?} is not a host name"));
    }
    if lower.contains("://") {
        return Err(format!("{text:?} is a URL; write the host name alone"));
    }
    if matches!(lower.rsplit_once(':'), Some((_, port)) if port.parse::<u16>().is_ok()) {
        return Err(format!("{text:?} has a port; write the host name alone"));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    if lower.len() <= 253 && lower.split('.').all(is_label) {
        return Ok(lower);
    }
    Err(format!("{text:?} is not a host name"))
}

/// A Host header: a host name and perhaps a port.
pub(super) fn host_and_port(text: &str) -> Parsed<String> {
    if text.contains("://") {
        return host_name(text);
    }
    let (host, port) = split_port(text)?;
    let host = host_name(host)?;
    Ok(port.map_or(host.clone(), |port| format!("{host}:{port}")))
}

/// The managed-login domain; `https://` in front of it does no harm.
pub(super) fn login_domain(text: &str) -> Parsed<String> {
    if text.starts_with("http://") {
        return endpoint_url(text);
    }
    let host = host_and_port(text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/'))?;
    if host.contains('.') {
        return Ok(host);
    }
    Err(format!("{text:?} is not a domain such as NAME.auth.eu-west-1.amazoncognito.com"))
}

/// A path prefix that selects a route: `/` or `/orders`.
pub(super) fn route_path(text: &str) -> Parsed<String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} does not start with a slash"));
    }
    if text.contains(['?', '#']) {
        return Err(format!("{text:?} is more than a path"));
    }
    match path(text.trim_end_matches('/'))? {
        "" => Ok("/".to_owned()),
        path => Ok(path.to_owned()),
    }
}

/// A path as it goes over the wire.
fn path(text: &str) -> Parsed<&str> {
    if let Some(bad) = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'))
    {
        return Err(format!("has {bad:?} in its path, which must be percent-encoded"));
    }
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return Err("has a % in its path without two hexadecimal digits; write %25 for the character itself"
            .to_owned());
    }
    if text.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("has an empty segment, . or .. in its path".to_owned());
    }
    Ok(text)
}

pub(super) fn split_port(authority: &str) -> Parsed<(&str, Option<u16>)> {
    let end = authority.rfind(']').unwrap_or(0);
    let host = match authority[end..].rfind(':') {
        Some(colon) => &authority[..end + colon],
        None => authority,
    };
    Ok((host, port_after(authority, host)?))
}

fn port_after(authority: &str, host: &str) -> Parsed<Option<u16>> {
    match authority[host.len()..].strip_prefix(':') {
        None => Ok(None),
        Some(port) => match port.parse() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(number)),
            _ => Err(format!("has the port {port:?}, which is not a number from 1 to 65535")),
        },
    }
}

fn is_default_port(scheme: &Scheme, port: u16) -> bool {
    matches!((scheme.as_str(), port), ("http", 80) | ("https", 443))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_come_out_with_one_spelling() {
        for (text, expected) in [
            ("https://api.example.com", "https://api.example.com/"),
            ("https://API.Example.com/", "https://api.example.com/"),
            ("https://api.example.com:443/prod/", "https://api.example.com/prod"),
            ("https://api.example.com:8443/a%2Fb", "https://api.example.com:8443/a%2Fb"),
            ("http://localhost:3000/x", "http://localhost:3000/x"),
            ("http://127.0.0.2:80", "http://127.0.0.2/"),
            ("http://[::1]:9", "http://[::1]:9/"),
            ("http://[::ffff:127.0.0.1]:9", "http://[::ffff:127.0.0.1]:9/"),
        ] {
            assert_eq!(base_url(text).map(|url| url.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn base_urls_that_could_be_misunderstood_are_refused() {
        for text in [
            "",
            "api.example.com",
            "/prod",
            "https://",
            "https:///prod",
            "ftp://api.example.com",
            "wss://api.example.com",
            "http://api.example.com",
            "http://localhost.example.com",
            "http://evillocalhost",
            "http://evil.localhost",
            "http://10.0.0.1/",
            "https://user:secret@api.example.com",
            "https://api.example.com/?stage=prod",
            "https://api.example.com/#prod",
            "https://api.example.com/a%zz",
            "https://api.example.com/a%",
            "https://api.example.com/a//b",
            "https://api.example.com/a/../b",
            "https://api.example.com/ä",
            "https://api..example.com/",
            "https://api.example.com:0/",
            "https://api.example.com:/",
            "https://api.example.com:65536/",
            "https://api.example.com:+80/",
            "https://api.example.com/a{b",
            "https://api.example.com/a%2",
            "https://api.example.com/a%2z",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
        let message = base_url("https://user:secret@api.example.com").expect_err("refused");
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn origins_come_out_as_browsers_send_them() {
        for (text, expected) in [
            ("http://localhost:5173", "http://localhost:5173"),
            ("HTTPS://App.Example.com", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("https://a.example:443", "https://a.example"),
            ("https://a.example:80", "https://a.example:80"),
            ("http://[::1]:5173", "http://[::1]:5173"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(origin(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn origins_that_are_more_or_less_than_one_are_refused() {
        for text in [
            "",
            "*",
            "null",
            "localhost:5173",
            "http://",
            "http://localhost:5173/",
            "http://localhost/app",
            "http://*.example.com",
            "http://a b",
            "http://u@localhost",
            "http://localhost:x",
            "://localhost",
            "9p://localhost",
            "http://localhost?x",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_names_are_names_alone() {
        assert_eq!(host_name("Proxy_1.Local"), Ok("proxy_1.local".to_owned()));
        assert_eq!(host_name("[::1]"), Ok("[::1]".to_owned()));
        assert_eq!(host_name("10.0.0.1"), Ok("10.0.0.1".to_owned()));
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
        assert_eq!(host_name(&longest), Ok(longest.clone()));
        for text in [format!("{label}a"), format!("{longest}a")] {
            assert!(host_name(&text).is_err(), "{text}");
        }
        for text in
            ["", ".", "a..b", "a.", "proxy:8181", "http://proxy", "*", "*.example.com", "a/b", "ä", "[x]"]
        {
            assert!(host_name(text).is_err(), "{text}");
        }
        assert_eq!(host_and_port("API.example.com:8443"), Ok("api.example.com:8443".to_owned()));
        assert_eq!(host_and_port("api.example.com"), Ok("api.example.com".to_owned()));
        assert!(host_and_port("https://api.example.com").is_err());
        assert!(host_and_port("api.example.com:x").is_err());
    }

    #[test]
    fn login_domains_are_whole_hosts() {
        for (text, expected) in [
            ("x.auth.eu-west-1.amazoncognito.com", "x.auth.eu-west-1.amazoncognito.com"),
            ("https://login.example.com/", "login.example.com"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ] {
            assert_eq!(login_domain(text), Ok(expected.to_owned()), "{text}");
        }
        for text in ["x", "https://a.example/path", "http://login.example.com"] {
            assert!(login_domain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn route_paths_are_prefixes_without_a_slash_at_the_end() {
        for (text, expected) in
            [("/", "/"), ("/orders", "/orders"), ("/orders/", "/orders"), ("/a%2Fb", "/a%2Fb")]
        {
            assert_eq!(route_path(text), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "orders", "/a?b", "/a#b", "/a//b", "/a/./b", "/a b", "/%g0"] {
            assert!(route_path(text).is_err(), "{text}");
        }
    }
}
