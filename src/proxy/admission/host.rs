//! The name under which a client addresses the proxy.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::downstream::listener::Endpoints;

/// `host[:port]`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    host: Host<'a>,
    port: Option<u16>,
}

/// A name in lower case, with a trailing dot if it had one, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Name(Cow<'a, str>),
    Address(IpAddr),
}

impl<'a> Authority<'a> {
    /// Parses `uri-host [":" port]` (RFC 9110 section 7.2); `None` for anything else, userinfo included.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let host_end = if text.starts_with('[') { text.find(']')? + 1 } else { 0 };
        let host_end = text[host_end..].find(':').map_or(text.len(), |colon| host_end + colon);
        let port = match text[host_end..].strip_prefix(':') {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some("") | None => None,
            Some(_) => return None,
        };
        Some(Self { host: Host::parse(&text[..host_end])?, port })
    }

    /// Whether the name leads nowhere but to this machine's loopback, and browsers know that it does, or is
    /// the address of the accepted socket: an address cannot be rebound as a name can.
    ///
    /// Browsers send fetch metadata only to names that they hold to be trustworthy (W3C Secure Contexts,
    /// section 3.1). `localhost.` and IPv6 addresses that embed 127.0.0.1 reach loopback as well, but a page
    /// that withholds its referrer could not be told from a program there. So nothing is made canonical here
    /// but the socket's own address, which a listener for both families has in its mapped form.
    pub(super) fn is_local(&self, endpoints: &Endpoints) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address(address) => {
                address.is_loopback()
                    || endpoints.local.is_some_and(|local| local.ip().to_canonical() == *address)
            }
        }
    }

    /// Whether this is the `allowed` host; the dot at the end of a fully qualified name makes no difference.
    pub(super) fn is_named(&self, allowed: &Host<'_>) -> bool {
        match (&self.host, allowed) {
            (Host::Name(name), Host::Name(allowed)) => without_dot(name) == without_dot(allowed),
            (host, allowed) => host == allowed,
        }
    }

    /// The host alone, as `--allow-host` takes it.
    pub(super) fn host_text(&self) -> String {
        match &self.host {
            Host::Name(name) => without_dot(name).to_owned(),
            address @ Host::Address(_) => address.to_string(),
        }
    }

    /// Whether a page of `origin` is a page of this proxy.
    pub(super) fn is_origin(&self, origin: &str) -> bool {
        let authority = origin.strip_prefix("http://").and_then(|text| Authority::parse(text.as_bytes()));
        authority.as_ref() == Some(self)
    }
}

impl<'a> Host<'a> {
    /// Parses `uri-host` (RFC 3986 section 3.2.2), of which only names as DNS has them and addresses in their
    /// ordinary form are taken.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if let Some(bracketed) = text.strip_prefix('[') {
            let address: Ipv6Addr = bracketed.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let name = without_dot(text);
        // To a browser "127.0.0.1." is an address, to a resolver it is a name.
        if name.parse::<Ipv4Addr>().is_ok() {
            return None;
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let sound = name.len() <= 253 && name.bytes().all(legal) && !name.split('.').any(str::is_empty);
        sound.then(|| Self::Name(lower_case(text)))
    }

    /// The same host, apart from the text that it was parsed from.
    pub(super) fn into_owned(self) -> Host<'static> {
        match self {
            Self::Name(name) => Host::Name(name.into_owned().into()),
            Self::Address(address) => Host::Address(address),
        }
    }
}

/// `text` in lower case. Most clients send it so, and then nothing is allocated.
pub(super) fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> Endpoints {
        Endpoints { local: Some("192.168.1.5:8181".parse().expect("address")), ..Endpoints::default() }
    }

    #[test]
    fn loopback_names_and_the_socket_itself_are_local() {
        for text in [
            "localhost",
            "LOCALHOST:8181",
            "app.localhost:1",
            "127.0.0.1",
            "127.8.9.1:80",
            "[::1]:8181",
            "[0:0:0:0:0:0:0:1]",
            "192.168.1.5:8181",
            "192.168.1.5",
        ] {
            assert!(Authority::parse(text.as_bytes()).expect(text).is_local(&endpoints()), "{text}");
        }
    }

    #[test]
    fn other_names_and_addresses_are_not_local() {
        for text in [
            "example.com",
            "localhost.evil.test",
            "evillocalhost",
            "127.0.0.1.evil.test",
            "0.0.0.0",
            "192.168.1.6",
            "[::]",
            "127.1",
            "127.0.0.01",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "localhost.",
            "app.localhost.",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[::7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::ffff:0:127.0.0.1]",
            "[::ffff:192.168.1.5]",
            "[::ffff:0.0.0.0]",
            "[::1%25lo]",
            "[::1%lo]",
            "[fe80::1]",
        ] {
            assert!(
                !Authority::parse(text.as_bytes()).is_some_and(|host| host.is_local(&endpoints())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_socket_of_both_families_has_its_address_in_the_plain_form_alone() {
        let mapped = Endpoints {
            local: Some("[::ffff:192.168.1.5]:8181".parse().expect("address")),
            ..Endpoints::default()
        };
        for (text, local) in
            [("192.168.1.5", true), ("[::ffff:192.168.1.5]", false), ("[::ffff:c0a8:105]", false)]
        {
            assert_eq!(Authority::parse(text.as_bytes()).expect(text).is_local(&mapped), local, "{text}");
        }
        let six = Endpoints { local: Some("[fd00::5]:8181".parse().expect("address")), ..mapped };
        assert!(Authority::parse(b"[FD00:0::5]:8181").expect("valid").is_local(&six));
    }

    #[test]
    fn allowed_hosts_are_compared_as_names_or_as_addresses() {
        for (text, allowed, named) in [
            ("proxy:8181", "proxy", true),
            ("PROXY.", "proxy", true),
            ("proxy", "Proxy", true),
            ("proxy2", "proxy", false),
            ("evil-proxy", "proxy", false),
            ("evil.proxy", "proxy", false),
            ("10.0.0.7:80", "10.0.0.7", true),
            ("[fd00:0::7]", "[fd00::7]", true),
            ("[::ffff:10.0.0.7]", "10.0.0.7", false),
            ("10.0.0.7", "[::ffff:10.0.0.7]", false),
        ] {
            let allowed = Host::parse(allowed).expect(allowed);
            assert_eq!(Authority::parse(text.as_bytes()).expect(text).is_named(&allowed), named, "{text}");
        }
    }

    #[test]
    fn a_host_is_shown_as_allow_host_takes_it() {
        for (text, shown) in
            [("Proxy.:1", "proxy"), ("10.0.0.7", "10.0.0.7"), ("[::ffff:10.0.0.7]:1", "[::ffff:10.0.0.7]")]
        {
            assert_eq!(Authority::parse(text.as_bytes()).expect(text).host_text(), shown);
        }
    }

    #[test]
    fn invalid_hosts_are_refused() {
        for text in [
            "",
            ":80",
            "a b",
            "user@localhost",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "localhost:+1",
            "[::1",
            "[::1]x",
            "::1",
            "a,b",
            "a..b",
            "localhost..",
            ".localhost",
            ".",
            "/",
            "localhost/",
            "b\u{e4}r",
            "[localhost]",
            "[127.0.0.1]",
            "[::1]]",
            "[[::1]]",
            "127.0.0.1.",
        ] {
            let parsed = Authority::parse(text.as_bytes());
            assert!(parsed.is_none() || text == "localhost:", "{text}: {parsed:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_as_many_bytes_as_dns_lets_it_have() {
        for (length, is_host) in [(253, true), (254, false)] {
            let name = format!("{}.test", vec!["a"; (length - 4) / 2].join("."));
            let name = format!("{}{name}", "b".repeat(length - name.len()));
            assert_eq!(Host::parse(&name).is_some(), is_host, "{length} bytes");
            assert_eq!(Host::parse(&format!("{name}.")).is_some(), is_host, "{length} bytes and a dot");
        }
    }

    #[test]
    fn a_page_of_the_proxy_has_its_authority() {
        let authority = Authority::parse(b"localhost:8181").expect("valid");
        assert!(authority.is_origin("http://localhost:8181"));
        for origin in ["https://localhost:8181", "http://localhost:5173", "http://127.0.0.1:8181", "null", ""]
        {
            assert!(!authority.is_origin(origin), "{origin}");
        }
    }
}
