//! Listen addresses as the configuration has them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::unix_socket;

/// A listen address as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `localhost:PORT`: 127.0.0.1 and \[::1\], both or none.
    Localhost(u16),
    /// `IP:PORT`.
    Address(SocketAddr),
    /// `unix:/path`, created with mode 0600.
    Unix(PathBuf),
}

/// Why a text is not a listen address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidListen {
    /// The port is missing.
    NoPort,
    /// The port is not a number up to 65535.
    Port,
    /// A name other than `localhost`, which could resolve to anything.
    Host,
    /// `unix:` without an absolute path.
    UnixPath,
    /// `unix:` on a system without unix sockets.
    NoUnixSockets,
}

impl std::str::FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !unix_socket::IS_AVAILABLE {
                return Err(InvalidListen::NoUnixSockets);
            }
            // Also the form of a URL, unix:///path.
            let path = path.strip_prefix("//").unwrap_or(path);
            let named = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
            return if named { Ok(Self::Unix(path.into())) } else { Err(InvalidListen::UnixPath) };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
                // `parse` would also take `+80`.
                let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits);
                port.map(Self::Localhost).ok_or(InvalidListen::Port)
            }
            Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => {
                Err(InvalidListen::Host)
            }
            Some((host, port)) if !host.contains(':') && !port.is_empty() => Err(InvalidListen::Port),
            _ => Err(InvalidListen::NoPort),
        }
    }
}

/// Where a client on this machine connects: a wildcard is listened on, not connected to.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl Listen {
    /// Whether other machines can reach it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Address(address) if !address.ip().to_canonical().is_loopback())
    }

    /// One value for the bound `addresses`: `localhost` for both loopback addresses, else the first address.
    pub(super) fn of(addresses: &[Self]) -> Option<Self> {
        let is_localhost = |listen: &Self, port: u16| matches!(listen, Self::Address(address) if address.ip().is_loopback() && address.port() == port);
        match addresses {
            [Self::Address(first), _]
                if addresses.iter().all(|listen| is_localhost(listen, first.port())) =>
            {
                Some(Self::Localhost(first.port()))
            }
            addresses => addresses.first().cloned(),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for InvalidListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "no port is given; write localhost:8181, an address as 127.0.0.1:8181 or [::1]:8181, or unix:/path",
            Self::Port => "the port is not a number from 0 to 65535",
            Self::Host => "only localhost, an IP address or unix:/path can be listened on",
            Self::UnixPath => "unix: is followed by an absolute path, unix:/run/countersign.sock",
            Self::NoUnixSockets => "this system has no unix sockets; write localhost:8181",
        })
    }
}

impl std::error::Error for InvalidListen {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read_in_all_their_forms() {
        for (text, listen) in [
            ("localhost:8181", Listen::Localhost(8181)),
            ("LocalHost:0", Listen::Localhost(0)),
            ("127.0.0.1:80", Listen::Address(([127, 0, 0, 1], 80).into())),
            ("[::1]:80", Listen::Address("[::1]:80".parse().expect("valid"))),
            ("0.0.0.0:8080", Listen::Address(([0, 0, 0, 0], 8080).into())),
            ("unix:/run/c.sock", Listen::Unix("/run/c.sock".into())),
            ("unix:///run/c.sock", Listen::Unix("/run/c.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(listen), "{text}");
        }
    }

    #[test]
    fn a_listen_address_of_another_form_is_refused_with_its_cause() {
        for (text, cause) in [
            ("", InvalidListen::NoPort),
            ("8181", InvalidListen::NoPort),
            ("localhost", InvalidListen::NoPort),
            ("::1", InvalidListen::NoPort),
            ("localhost:", InvalidListen::Port),
            ("localhost:http", InvalidListen::Port),
            ("localhost:+80", InvalidListen::Port),
            ("localhost:65536", InvalidListen::Port),
            ("127.0.0.1:99999", InvalidListen::Port),
            (":8181", InvalidListen::Host),
            ("example.com:80", InvalidListen::Host),
            ("unix:", InvalidListen::UnixPath),
            ("unix:relative.sock", InvalidListen::UnixPath),
            ("unix:/run/", InvalidListen::UnixPath),
            ("unix:/run/a\0b", InvalidListen::UnixPath),
        ] {
            assert_eq!(text.parse::<Listen>(), Err(cause), "{text}");
        }
    }

    #[test]
    fn only_addresses_that_others_reach_are_open() {
        for text in
            ["localhost:80", "127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "unix:/a"]
        {
            assert!(!text.parse::<Listen>().expect("valid").is_open(), "{text}");
        }
        for text in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
            assert!(text.parse::<Listen>().expect("valid").is_open(), "{text}");
        }
    }

    #[test]
    fn both_loopback_addresses_are_localhost() {
        let listens = |texts: &[&str]| -> Option<Listen> {
            let parsed = texts.iter().map(|text| text.parse().expect("valid"));
            Listen::of(&parsed.collect::<Vec<Listen>>())
        };
        for (bound, shown) in [
            (&["127.0.0.1:80", "[::1]:80"][..], Some("localhost:80")),
            (&["127.0.0.1:80"], Some("127.0.0.1:80")),
            (&["127.0.0.1:80", "[::1]:81"], Some("127.0.0.1:80")),
            (&["0.0.0.0:80", "[::1]:80"], Some("0.0.0.0:80")),
            (&["unix:/run/c.sock", "127.0.0.1:80"], Some("unix:/run/c.sock")),
            (&[], None),
        ] {
            assert_eq!(listens(bound).map(|listen| listen.to_string()).as_deref(), shown, "{bound:?}");
        }
    }

    #[test]
    fn a_listen_address_prints_as_it_is_written() {
        for text in ["localhost:8181", "127.0.0.1:80", "[::1]:80", "unix:/run/c.sock"] {
            assert_eq!(text.parse::<Listen>().expect("valid").to_string(), text);
        }
    }
}
