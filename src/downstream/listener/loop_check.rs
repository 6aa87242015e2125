//! Finds out whether a URL leads back to one of our own listeners, which would make requests loop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::Listen;
use crate::forward_proxy::is_localhost;

impl Listen {
    /// Whether a connection to `host` and `port` reaches this listener. Names other than `localhost` are not looked up.
    ///
    /// Nothing reaches port 0, which means a port that is not chosen yet.
    #[must_use]
    pub fn is_reached_at(&self, host: &str, port: u16) -> bool {
        let (own_port, addresses): (u16, &[IpAddr]) = match self {
            Self::Localhost(own_port) => {
                (*own_port, &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
            }
            Self::Address(address) => (address.port(), &[address.ip()]),
            Self::Unix(_) => return false,
        };
        own_port != 0
            && own_port == port
            && targets(host).iter().any(|target| addresses.iter().any(|address| covers(*address, *target)))
    }
}

/// The addresses that `host` may connect to.
fn targets(host: &str) -> Vec<IpAddr> {
    let host = host.trim_matches(['[', ']']);
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        // Linux connects to this machine when the destination is the unspecified address.
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => vec![Ipv4Addr::LOCALHOST.into()],
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => vec![Ipv6Addr::LOCALHOST.into()],
        Ok(address) => vec![address],
        Err(_) if is_localhost(host) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Err(_) => Vec::new(),
    }
}

/// Whether a listener on `address` accepts connections to `target`.
fn covers(address: IpAddr, target: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => target.is_ipv4() && is_local(target),
        // A socket that a service manager has bound may accept both families.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => is_local(target),
        address => address == target,
    }
}

/// Whether this machine has an address: only then can it be bound.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_listener_is_recognised_in_every_spelling() {
        for (listen, host, port, expected) in [
            ("localhost:8181", "localhost", 8181, true),
            ("localhost:8181", "127.0.0.1", 8181, true),
            ("localhost:8181", "[::1]", 8181, true),
            ("localhost:8181", "[::ffff:127.0.0.1]", 8181, true),
            ("localhost:8181", "0.0.0.0", 8181, true),
            ("localhost:8181", "api.localhost", 8181, true),
            ("localhost:8181", "localhost", 8182, false),
            ("localhost:8181", "127.0.0.2", 8181, false),
            ("localhost:8181", "api.example.com", 8181, false),
            ("localhost:0", "localhost", 0, false),
            ("127.0.0.1:80", "localhost", 80, true),
            ("127.0.0.1:80", "[::1]", 80, false),
            ("0.0.0.0:80", "127.0.0.9", 80, true),
            ("0.0.0.0:80", "[::1]", 80, false),
            ("0.0.0.0:80", "192.0.2.1", 80, false),
            ("[::]:80", "[::1]", 80, true),
            ("[::]:80", "127.0.0.1", 80, true),
            ("[::]:80", "2001:db8::1", 80, false),
            ("unix:/run/c.sock", "localhost", 80, false),
        ] {
            let listen_address: Listen = listen.parse().expect("valid");
            assert_eq!(listen_address.is_reached_at(host, port), expected, "{host}:{port} at {listen}");
        }
    }
}
