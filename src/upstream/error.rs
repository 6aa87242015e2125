//! Why there is no response from the upstream, in words for the log and for clients.

mod proxy_failure;

use std::{borrow::Cow, error::Error, fmt};

pub use proxy_failure::ProxyCause;
pub(super) use proxy_failure::ProxyFailure;

use crate::tls::fault::TlsFault;

/// Why there is no response from the upstream. Display is for the log, [`advice`](Self::advice) for clients.
#[derive(Debug)]
pub enum UpstreamError {
    /// Its host name was not found.
    Dns(Box<dyn Error + Send + Sync>),
    /// This machine has no file, memory, port or thread left for a connection.
    Shortage(Box<dyn Error + Send + Sync>),
    /// No address accepted the connection.
    Refused(Box<dyn Error + Send + Sync>),
    /// TLS failed: the certificate is not trusted, or the handshake failed.
    Tls(TlsFault),
    /// The forward proxy opened no tunnel.
    Proxy(ProxyFailure),
    /// The connection was not made in time.
    ConnectTimeout(ConnectStage),
    /// It closed the connection before the response head.
    Closed(Box<dyn Error + Send + Sync>),
    /// What it sent is not HTTP.
    Protocol(Box<dyn Error + Send + Sync>),
    /// It stopped reading the request body.
    SendTimeout,
    /// The response head did not come in time.
    ResponseTimeout,
}

/// What a connection was waiting for when it timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectStage {
    /// The addresses of the host name.
    Lookup,
    /// An address that accepts the connection.
    Tcp,
    /// The forward proxy's answer to CONNECT.
    Tunnel,
    /// The TLS handshake.
    Tls,
    /// The first bytes of HTTP.
    Http,
}

impl UpstreamError {
    /// What the client should know, in whole sentences.
    #[must_use]
    pub fn advice(&self) -> Cow<'static, str> {
        match self {
            Self::Dns(_) => {
                "The upstream's host name was not found. Check the setting upstream and the network.".into()
            }
            Self::Shortage(_) => {
                "The proxy has no open file, memory, port or thread left for another connection to the upstream; try \
                 again in a moment."
                    .into()
            }
            Self::Refused(_) => "The upstream could not be connected to.".into(),
            Self::Tls(fault) => tls_sentence(fault, "the upstream").into(),
            Self::Proxy(failure) => failure.advice().into(),
            Self::ConnectTimeout(stage) => {
                format!("The upstream could not be connected to in time (connect-timeout): {stage}.").into()
            }
            Self::Closed(_) => {
                "The upstream closed the connection before it answered. The request may have been carried out.".into()
            }
            Self::Protocol(_) => "The upstream's response was not valid HTTP.".into(),
            Self::SendTimeout => {
                "The upstream stopped reading the request body (idle-timeout). The request may have been carried out."
                    .into()
            }
            Self::ResponseTimeout => {
                "The upstream did not answer in time (response-timeout). The request may have been carried out.".into()
            }
        }
    }

    /// Whether a retry may succeed: the cause may have gone by then.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Tls(TlsFault::Certificate(_) | TlsFault::ClientCertificate) | Self::Protocol(_) => false,
            Self::Proxy(failure) => failure.may_pass(),
            Self::Dns(_)
            | Self::Shortage(_)
            | Self::Refused(_)
            | Self::Tls(_)
            | Self::ConnectTimeout(_)
            | Self::Closed(_)
            | Self::SendTimeout
            | Self::ResponseTimeout => true,
        }
    }
}

/// What is wrong with TLS and what to do, in whole sentences.
fn tls_sentence(fault: &TlsFault, peer: &str) -> String {
    let clause = fault.about(peer).to_string();
    let mut letters = clause.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let advice = fault.advice("the setting ca-file").map_or(String::new(), |advice| format!(" {advice}"));
    format!("{first}{}.{advice}", letters.as_str())
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup => "the lookup of its host name did not end",
            Self::Tcp => "no address answered",
            Self::Tunnel => "there was no answer to CONNECT",
            Self::Tls => "the TLS handshake did not end",
            Self::Http => "HTTP did not begin",
        })
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns(_) => "the host name of the upstream was not found",
            Self::Shortage(_) => "no open file, memory, port or thread left for a connection to the upstream",
            Self::Refused(_) => "cannot connect to the upstream",
            Self::Tls(fault) => return fault.about("the upstream").fmt(f),
            Self::Proxy(failure) => return failure.fmt(f),
            Self::ConnectTimeout(stage) => {
                return write!(f, "timed out connecting to the upstream: {stage}");
            }
            Self::Closed(_) => "the upstream closed the connection",
            Self::Protocol(_) => "the upstream did not speak HTTP",
            Self::SendTimeout => "the upstream stopped reading the request",
            Self::ResponseTimeout => "no response from the upstream in time",
        })
    }
}

impl Error for UpstreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dns(source)
            | Self::Shortage(source)
            | Self::Refused(source)
            | Self::Closed(source)
            | Self::Protocol(source) => Some(source.as_ref()),
            // Their Display contains the fault itself, so that the source is one level deeper.
            Self::Tls(fault) => fault.source(),
            Self::Proxy(failure) => failure.source(),
            Self::ConnectTimeout(_) | Self::SendTimeout | Self::ResponseTimeout => None,
        }
    }
}
