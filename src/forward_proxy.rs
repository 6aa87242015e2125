//! The forward proxy between this machine and the internet: which hosts are reached through it, and how.
//!
//! `config` reads it from `HTTPS_PROXY` and `NO_PROXY`; the ways to the upstream and to AWS both follow it.

use std::{fmt, net::IpAddr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri, uri::Scheme};
use secrecy::{ExposeSecret, SecretString};

/// Which hosts are reached through a forward proxy. Without a proxy, none are.
#[derive(Clone, Debug, Default)]
pub struct ForwardProxies {
    proxy: Option<Arc<ForwardProxy>>,
    exceptions: Vec<Exception>,
}

/// A forward proxy that is asked for a tunnel with CONNECT.
#[derive(Clone, Debug)]
pub struct ForwardProxy {
    /// The variable that names it, for messages.
    pub variable: &'static str,
    /// Whether the proxy itself is spoken to over TLS.
    pub secure: bool,
    /// A host name in lower case, or an IP address; IPv6 in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user name and password that it is sent, percent-encoded as in a URL: `user:password`.
    pub user_info: Option<SecretString>,
}

impl PartialEq for ForwardProxy {
    fn eq(&self, other: &Self) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
            && self.user_info.as_ref().map(ExposeSecret::expose_secret)
                == other.user_info.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// A rule of `NO_PROXY`: what is reached directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Which hosts.
    pub hosts: Hosts,
    /// The only port to which the rule applies.
    pub port: Option<u16>,
}

/// The hosts of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// `*`: every host.
    All,
    /// A domain in lower case, and everything below it.
    Domain(String),
    /// The addresses that share so many leading bits with this one.
    Network(IpAddr, u8),
}

impl ForwardProxies {
    /// Hosts are reached through `proxy`, but for the `exceptions`.
    #[must_use]
    pub fn new(proxy: ForwardProxy, exceptions: Vec<Exception>) -> Self {
        Self { proxy: Some(Arc::new(proxy)), exceptions }
    }

    /// The proxy, whichever hosts are reached through it.
    #[must_use]
    pub fn proxy(&self) -> Option<&Arc<ForwardProxy>> {
        self.proxy.as_ref()
    }

    /// The proxy through which `uri` is reached, if it is not reached directly.
    ///
    /// Only https goes through a proxy, which then sees nothing but ciphertext; loopback never does.
    #[must_use]
    pub fn towards(&self, uri: &Uri) -> Option<&Arc<ForwardProxy>> {
        let proxy = self.proxy.as_ref()?;
        let host = uri.host()?.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        if uri.scheme() != Some(&Scheme::HTTPS) || is_loopback(&host) {
            return None;
        }
        let port = uri.port_u16().unwrap_or(443);
        let direct = self.exceptions.iter().any(|exception| exception.covers(&host, port));
        (!direct).then_some(proxy)
    }
}

impl ForwardProxy {
    /// `Proxy-Authorization`, if the proxy asks for a user name and a password.
    #[must_use]
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let user_info = self.user_info.as_ref()?.expose_secret();
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let pair = [decoded(user), b":".to_vec(), decoded(password)].concat();
        let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
            .expect("base64 is a header value");
        value.set_sensitive(true);
        Some(value)
    }

    /// The URL with user name and password, for a client that takes both from there.
    #[must_use]
    pub(crate) fn url_with_user_info(&self) -> SecretString {
        let user_info = self
            .user_info
            .as_ref()
            .map_or(String::new(), |user_info| format!("{}@", user_info.expose_secret()));
        format!("{}://{user_info}{}:{}", self.scheme(), self.host, self.port).into()
    }

    /// `host:port`, as errors name the proxy.
    #[must_use]
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

impl fmt::Display for ForwardProxy {
    /// The URL, with `[set]` in place of user name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user_info = if self.user_info.is_some() { "[set]@" } else { "" };
        write!(f, "{}://{user_info}{}:{}", self.scheme(), self.host, self.port)
    }
}

impl Exception {
    /// Whether the rule covers a host in lower case, without brackets and without a dot at its end.
    fn covers(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
            && match &self.hosts {
                Hosts::All => true,
                Hosts::Domain(domain) => host
                    .strip_suffix(domain.as_str())
                    .is_some_and(|below| below.is_empty() || below.ends_with('.')),
                Hosts::Network(network, prefix) => {
                    host.parse().is_ok_and(|address| shares_bits(address, *network, *prefix))
                }
            }
    }
}

/// Whether the first `prefix` bits are the same; addresses of two families share none.
fn shares_bits(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let (address, network) = (address.to_canonical(), network.to_canonical());
    if address.is_ipv4() != network.is_ipv4() {
        return false;
    }
    let width = if address.is_ipv4() { 32 } else { 128 };
    let differing = bits(address) ^ bits(network);
    differing.checked_shr(width - u32::from(prefix).min(width)).is_none_or(|high| high == 0)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Whether a host is this machine, in any spelling: `localhost`, a name below it, or a loopback address.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => is_localhost(host),
    }
}

/// Whether a name is `localhost` or below it, which is loopback everywhere (RFC 6761 section 6.3).
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(user_info: Option<&str>) -> ForwardProxy {
        ForwardProxy {
            variable: "HTTPS_PROXY",
            secure: false,
            host: "proxy".to_owned(),
            port: 3128,
            user_info: user_info.map(SecretString::from),
        }
    }

    fn reached_through_proxy(exceptions: Vec<Exception>, url: &str) -> bool {
        let proxies = ForwardProxies::new(proxy(None), exceptions);
        proxies.towards(&url.parse().expect("a URL")).is_some()
    }

    #[test]
    fn only_https_to_other_machines_goes_through_a_proxy() {
        for (url, expected) in [
            ("https://api.example.com/prod", true),
            ("https://10.0.0.1", true),
            ("https://[2001:db8::1]:8443", true),
            ("https://localhost.example.com", true),
            ("http://api.example.com/", false),
            ("https://localhost:8443", false),
            ("https://LOCALHOST", false),
            ("https://api.localhost", false),
            ("https://127.0.0.2", false),
            ("https://[::1]", false),
            ("https://[::ffff:127.0.0.1]", false),
        ] {
            assert_eq!(reached_through_proxy(Vec::new(), url), expected, "{url}");
        }
        assert!(ForwardProxies::default().towards(&Uri::from_static("https://a.example")).is_none());
    }

    #[test]
    fn networks_are_compared_bit_by_bit() {
        for (address, network, prefix, expected) in [
            ("10.1.2.3", "10.0.0.0", 8, true),
            ("11.1.2.3", "10.0.0.0", 8, false),
            ("10.1.2.3", "10.1.2.3", 32, true),
            ("10.1.2.2", "10.1.2.3", 32, false),
            ("192.168.1.200", "192.168.1.128", 25, true),
            ("192.168.1.100", "192.168.1.128", 25, false),
            ("8.8.8.8", "0.0.0.0", 0, true),
            ("::ffff:10.1.2.3", "10.0.0.0", 8, true),
            ("2001:db8::1", "2001:db8::", 32, true),
            ("2001:db9::1", "2001:db8::", 32, false),
            ("2001:db8::1", "::", 0, true),
            ("2001:db8::1", "0.0.0.0", 0, false),
        ] {
            let [address, network] = [address, network].map(|text| text.parse().expect("an address"));
            assert_eq!(shares_bits(address, network, prefix), expected, "{address} in {network}/{prefix}");
        }
    }

    #[test]
    fn user_names_and_passwords_are_decoded_for_the_header_and_never_shown() {
        let proxy = proxy(Some("a%40b:p%3Aw"));
        assert_eq!(proxy.authorization().expect("set"), "Basic YUBiOnA6dw==");
        assert_eq!(proxy.url_with_user_info().expose_secret(), "http://a%40b:p%3Aw@proxy:3128");
        assert_eq!(proxy.to_string(), "http://[set]@proxy:3128");
        assert!(!format!("{proxy:?}{:?}", proxy.authorization()).contains("p%3Aw"));
    }
}
