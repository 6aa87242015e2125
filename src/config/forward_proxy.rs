//! The variables that name a forward proxy: `HTTPS_PROXY` or `ALL_PROXY`, and `NO_PROXY` for what is reached directly.

use std::net::IpAddr;

use http::Uri;
use secrecy::SecretString;

use super::{environment::Environment, problem::Problem, url, value::Parsed};
use crate::forward_proxy::{Exception, ForwardProxies, ForwardProxy, Hosts};

/// Where a proxy is named, in the order in which they are looked at.
const PROXY: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy"];

/// Stands for a user name and a password.
const SET: &str = "[set]";

/// The variables that are in effect, as they may be shown.
pub(super) fn shown(environment: &Environment) -> Vec<(&'static str, String)> {
    let proxy = first(environment, PROXY).map(|(name, value)| (name, redacted(value)));
    let exceptions = first(environment, NO_PROXY).map(|(name, value)| (name, value.to_owned()));
    proxy.into_iter().chain(exceptions).collect()
}

/// The forward proxy that the variables name. What is wrong with its URL is a mistake; a rule of `NO_PROXY` that is not
/// understood was perhaps written for another program, and draws a warning.
pub(super) fn read(environment: &Environment) -> (ForwardProxies, Option<Problem>, Vec<String>) {
    let Some((variable, text)) = first(environment, PROXY) else { return Default::default() };
    let proxy = match proxy(variable, text.trim()) {
        Ok(proxy) => proxy,
        Err(why) => {
            let problem = Problem::new(variable, format!("{:?} {why}", redacted(text)));
            return (ForwardProxies::default(), Some(problem), Vec::new());
        }
    };
    let (mut exceptions, mut warnings) = (Vec::new(), Vec::new());
    if let Some((variable, text)) = first(environment, NO_PROXY) {
        for rule in text.split([',', ' ', '\t']).filter(|rule| !rule.is_empty()) {
            match exception(rule) {
                Some(exception) => exceptions.push(exception),
                None => warnings.push(format!(
                    "{variable}: {rule:?} is neither a host name, an address nor a network and is ignored"
                )),
            }
        }
    }
    (ForwardProxies::new(proxy, exceptions), None, warnings)
}

fn first<'a>(environment: &'a Environment, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
    names.iter().find_map(|name| Some((*name, environment.variable(name)?)))
}

/// `http://[user:password@]host:port`, or `https` in its place. Without a scheme, curl and others take it for `http`.
fn proxy(variable: &'static str, text: &str) -> Parsed<ForwardProxy> {
    const EXAMPLE: &str = "http://proxy.example.com:3128";
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        "socks4" | "socks4a" | "socks5" | "socks5h" => {
            return Err(format!(
                "is a SOCKS proxy, which is not supported; name an HTTP proxy such as {EXAMPLE}"
            ));
        }
        _ => return Err(format!("is not the URL of an HTTP proxy such as {EXAMPLE}")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(format!("has more than a host and a port; write it as {EXAMPLE}"));
    }
    let (user_info, address) = match authority.rsplit_once('@') {
        Some((user_info, address)) => (Some(user_info), address),
        None => (None, authority),
    };
    if user_info.is_some_and(|user_info| !is_user_info(user_info)) {
        return Err(
            "has characters in its user name or password that must be percent-encoded (@ is %40)".to_owned()
        );
    }
    let (host, port) = url::split_port(address).map_err(|why| format!("{why}; write it as {EXAMPLE}"))?;
    let host = url::host_name(host).map_err(|_| format!("names no host; write it as {EXAMPLE}"))?;
    let port = port.ok_or_else(|| format!("names no port; write it as {EXAMPLE}"))?;
    // The parser of the way to AWS must take the same URL.
    let parsed: Result<Uri, _> = text.parse();
    parsed.map_err(|_| format!("is not a URL such as {EXAMPLE}"))?;
    let user_info = user_info.map(SecretString::from);
    Ok(ForwardProxy { variable, secure, host, port, user_info })
}

/// What RFC 3986 section 3.2.1 lets stand in front of the host, with whole escapes.
fn is_user_info(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%".contains(&b);
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    text.bytes().all(legal) && text.split('%').skip(1).all(is_escape)
}

/// A rule of `NO_PROXY`: `*`, a domain (also as `.example.com` and `*.example.com`), an address or a network, each but
/// the last perhaps with a port.
fn exception(rule: &str) -> Option<Exception> {
    let of_all = |hosts| Some(Exception { hosts, port: None });
    if rule == "*" {
        return of_all(Hosts::All);
    }
    if let Some((network, prefix)) = rule.split_once('/') {
        let network: IpAddr = network.trim_matches(['[', ']']).parse().ok()?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= width)?;
        return of_all(Hosts::Network(network, prefix));
    }
    // Without brackets, an IPv6 address has colons but no port.
    if let Ok(address) = rule.parse::<IpAddr>() {
        return of_all(one(address));
    }
    let (host, port) = url::split_port(rule).ok()?;
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(Exception { hosts: one(address), port });
    }
    let domain = host.strip_prefix('*').unwrap_or(host);
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let domain = url::host_name(domain.strip_suffix('.').unwrap_or(domain)).ok()?;
    let wildcard_alone = host.starts_with('*') && !host.starts_with("*.");
    (!wildcard_alone).then_some(Exception { hosts: Hosts::Domain(domain), port })
}

fn one(address: IpAddr) -> Hosts {
    Hosts::Network(address, if address.is_ipv4() { 32 } else { 128 })
}

/// The text without what may be a user name and a password.
fn redacted(text: &str) -> String {
    let start = text.find("://").map_or(0, |colon| colon + 3);
    match text.rfind('@') {
        Some(end) if end >= start => format!("{}{SET}{}", &text[..start], &text[end..]),
        Some(end) => format!("{SET}{}", &text[end..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), *value)), "")
    }

    fn url_of(text: &str) -> Result<String, String> {
        proxy("HTTPS_PROXY", text).map(|proxy| proxy.to_string())
    }

    #[test]
    fn proxies_are_http_or_https_with_a_host_and_a_port() {
        for (text, expected) in [
            ("http://proxy.example.com:3128", "http://proxy.example.com:3128"),
            ("http://Proxy.Example.com:3128/", "http://proxy.example.com:3128"),
            ("HTTPS://proxy:443", "https://proxy:443"),
            ("proxy:8080", "http://proxy:8080"),
            ("10.0.0.1:8080", "http://10.0.0.1:8080"),
            ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
            ("http://me:p%40w@proxy:8080", "http://[set]@proxy:8080"),
            ("me:pw@proxy:8080", "http://[set]@proxy:8080"),
        ] {
            assert_eq!(url_of(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn proxy_urls_other_than_http_are_refused_with_the_cause() {
        for (text, cause) in [
            ("socks5://proxy:1080", "SOCKS"),
            ("socks5h://me:pw@proxy:1080", "SOCKS"),
            ("ftp://proxy:21", "not the URL of an HTTP proxy"),
            ("://proxy:3128", "not the URL of an HTTP proxy"),
            ("http://proxy", "no port"),
            ("http://:3128", "no host"),
            ("http://", "no host"),
            ("http://proxy:port", "\"port\""),
            ("http://proxy:0", "\"0\""),
            ("http://proxy:99999", "\"99999\""),
            ("http://proxy:3128/path", "more than a host"),
            ("http://proxy:3128?x", "more than a host"),
            ("http://pro xy:3128", "no host"),
            ("http://me:p@w@proxy:3128", "percent-encoded"),
            ("http://me:p%zz@proxy:3128", "percent-encoded"),
            ("nonsense", "no port"),
            ("http://ü:1", "no host"),
        ] {
            let error = url_of(text).expect_err(text);
            assert!(error.contains(cause), "{text}: {error}");
        }
    }

    #[test]
    fn user_names_and_passwords_are_removed_from_any_value() {
        for (text, shown) in [
            ("http://me:secret@proxy:3128", "http://[set]@proxy:3128"),
            ("http://me:sec@ret@proxy", "http://[set]@proxy"),
            ("me:secret@proxy:3128", "[set]@proxy:3128"),
            ("me:sec://ret@proxy", "me:sec://[set]@proxy"),
            ("me@secret://proxy", "[set]@secret://proxy"),
            ("http://proxy:3128", "http://proxy:3128"),
        ] {
            assert_eq!(redacted(text), shown, "{text}");
        }
    }

    #[test]
    fn upper_case_wins_and_an_empty_variable_is_not_set() {
        for (variables, expected) in [
            (
                &[("HTTPS_PROXY", "a:1"), ("https_proxy", "b:1"), ("ALL_PROXY", "c:1")][..],
                Some("HTTPS_PROXY"),
            ),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "b:1"), ("ALL_PROXY", "c:1")], Some("https_proxy")),
            (&[("ALL_PROXY", "c:1"), ("all_proxy", "d:1")], Some("ALL_PROXY")),
            (&[("all_proxy", "d:1")], Some("all_proxy")),
            (&[("HTTP_PROXY", "e:1"), ("http_proxy", "f:1"), ("NO_PROXY", "*")], None),
        ] {
            let (proxies, problem, warnings) = read(&environment(variables));
            assert_eq!(proxies.proxy().map(|proxy| proxy.variable), expected);
            assert_eq!((problem, warnings), (None, Vec::new()));
        }
    }

    #[test]
    fn rules_of_no_proxy_cover_what_they_name() {
        for (rules, covered, others) in [
            ("*", &["https://a.example", "https://10.0.0.1:8443"][..], &[][..]),
            (
                "example.com",
                &["https://example.com", "https://API.Example.com", "https://a.b.example.com:8443"],
                &["https://notexample.com", "https://example.com.evil.test", "https://com"],
            ),
            (".example.com", &["https://example.com", "https://a.example.com"], &["https://notexample.com"]),
            ("*.example.com", &["https://example.com", "https://a.example.com"], &["https://notexample.com"]),
            (
                "example.com:8443",
                &["https://a.example.com:8443"],
                &["https://example.com", "https://example.com:443"],
            ),
            (
                "example.com:443",
                &["https://example.com", "https://example.com:443"],
                &["https://example.com:1"],
            ),
            ("10.0.0.1", &["https://10.0.0.1"], &["https://10.0.0.10", "https://10.0.0.1.example.com"]),
            ("10.0.0.1:443", &["https://10.0.0.1"], &["https://10.0.0.1:8443"]),
            ("10.0.0.0/8", &["https://10.1.2.3:8443"], &["https://11.0.0.1", "https://a.example"]),
            ("[2001:db8::1]", &["https://[2001:db8::1]:8443"], &["https://[2001:db8::2]"]),
            ("2001:db8::1", &["https://[2001:db8::1]"], &["https://[2001:db8::2]"]),
            ("[2001:db8::1]:443", &["https://[2001:db8::1]"], &["https://[2001:db8::1]:8443"]),
            ("2001:db8::/32", &["https://[2001:db8::9]"], &["https://[2001:db9::9]"]),
            (
                " a.example ,, b.example\tc.example.,",
                &["https://a.example", "https://b.example", "https://c.example"],
                &["https://d.example"],
            ),
        ] {
            let (proxies, problem, warnings) =
                read(&environment(&[("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", rules)]));
            assert_eq!((problem, warnings), (None, Vec::new()), "{rules}");
            let direct = |url: &&&str| proxies.towards(&url.parse().expect("a URL")).is_none();
            assert_eq!(covered.iter().find(|url| !direct(url)), None, "{rules}");
            assert_eq!(others.iter().find(direct), None, "{rules}");
        }
    }

    #[test]
    fn a_rule_that_is_not_understood_is_named_and_the_others_hold() {
        let (proxies, problem, warnings) = read(&environment(&[
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("NO_PROXY", "<local>,10.0.0.0/33,*x.example,http://b.example,a.example:x,a.example"),
        ]));
        assert_eq!(problem, None);
        assert!(proxies.towards(&Uri::from_static("https://a.example")).is_none());
        assert!(proxies.towards(&Uri::from_static("https://b.example")).is_some());
        let named = ["<local>", "10.0.0.0/33", "*x.example", "http://b.example", "a.example:x"];
        assert_eq!(warnings.len(), named.len(), "{warnings:?}");
        for (warning, rule) in warnings.iter().zip(named) {
            assert!(warning.starts_with(&format!("NO_PROXY: {rule:?} ")), "{warning}");
        }
    }
}
