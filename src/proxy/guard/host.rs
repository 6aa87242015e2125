//! The name under which a client addresses the proxy.

use std::{fmt, net::IpAddr};

use crate::listener::Endpoints;

/// `host[:port]`, lower case, without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Authority {
    /// Parses `uri-host [":" port]` (RFC 9110 section 7.2); `None` for anything else, userinfo included.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (Host::Address(IpAddr::V6(address.parse().ok()?)), port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                (Host::parse(&text[..end])?, &text[end..])
            }
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some("") => None,
            None if port.is_empty() => None,
            Some(_) | None => return None,
        };
        Some(Self { host, port })
    }

    /// Whether the name cannot lead anywhere but to this machine's loopback, or is the address of the very
    /// socket: an address cannot be rebound as a name can.
    pub(super) fn is_local(&self, endpoints: &Endpoints) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address(address) => {
                let address = address.to_canonical();
                address.is_loopback()
                    || endpoints.local.is_some_and(|local| local.ip().to_canonical() == address)
            }
        }
    }

    pub(super) fn is_named(&self, allowed: &str) -> bool {
        match &self.host {
            Host::Name(name) => name.eq_ignore_ascii_case(allowed.trim_end_matches('.')),
            Host::Address(address) => allowed.trim_matches(['[', ']']).parse() == Ok(*address),
        }
    }

    /// The host alone, for a message.
    pub(super) fn host_text(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }

    /// Whether a page of `origin` is a page of this proxy.
    pub(super) fn is_origin(&self, origin: &str) -> bool {
        origin.strip_prefix("http://").and_then(|authority| Self::parse(authority.as_bytes())).as_ref()
            == Some(self)
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse() {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let sound = name.len() <= 253 && name.bytes().all(legal) && !name.split('.').any(str::is_empty);
        sound.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
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
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.8.9.1:80",
            "127.0.0.1.",
            "[::1]:8181",
            "[::ffff:127.0.0.1]",
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
            "2130706433",
            "0x7f.0.0.1",
        ] {
            assert!(
                !Authority::parse(text.as_bytes()).is_some_and(|host| host.is_local(&endpoints())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
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
        ] {
            let parsed = Authority::parse(text.as_bytes());
            assert!(parsed.is_none() || text == "localhost:", "{text}: {parsed:?}");
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
