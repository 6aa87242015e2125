//! A forward proxy that opened no tunnel to the upstream.

use std::{error::Error, fmt, sync::Arc};

use http::StatusCode;

use super::{UpstreamError, tls_sentence};
use crate::forward_proxy::ForwardProxy;

/// A forward proxy that opened no tunnel.
#[derive(Debug)]
pub struct ProxyFailure {
    proxy: Arc<ForwardProxy>,
    pub(in crate::upstream) cause: ProxyCause,
}

/// Why a forward proxy opened no tunnel.
#[derive(Debug)]
pub enum ProxyCause {
    /// The connection to it failed, or it broke the protocol.
    Connection(Box<UpstreamError>),
    /// It answered CONNECT with a status other than 2xx.
    Answer(StatusCode),
}

impl ProxyFailure {
    pub(in crate::upstream) fn new(proxy: &Arc<ForwardProxy>, cause: ProxyCause) -> Self {
        Self { proxy: Arc::clone(proxy), cause }
    }

    /// Why the proxy opened no tunnel.
    #[must_use]
    pub fn cause(&self) -> &ProxyCause {
        &self.cause
    }

    /// Whether a retry may succeed: a status below 500 would be the same again.
    pub(in crate::upstream) fn may_pass(&self) -> bool {
        match &self.cause {
            ProxyCause::Connection(error) => error.may_pass(),
            ProxyCause::Answer(status) => status.is_server_error(),
        }
    }

    /// What the client should know, in whole sentences.
    pub(in crate::upstream) fn advice(&self) -> String {
        let (address, variable) = (self.proxy.address(), self.proxy.variable);
        let proxy = format!("The proxy {address}, which {variable} names,");
        match &self.cause {
            ProxyCause::Answer(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => format!(
                "{proxy} demands a user name and a password, or refuses those in {variable} (407). Write them as \
                 http://USER:PASSWORD@{address}, percent-encoded."
            ),
            ProxyCause::Answer(status) => {
                format!("{proxy} refused to connect to the upstream: it answered CONNECT with {status}.")
            }
            ProxyCause::Connection(error) => match &**error {
                UpstreamError::Dns(_) => {
                    format!("The host name of the proxy {address}, which {variable} names, was not found.")
                }
                UpstreamError::Tls(fault) => {
                    let peer = format!("the proxy {address}, which {variable} names,");
                    tls_sentence(fault, &peer)
                }
                UpstreamError::ConnectTimeout(_) => {
                    format!("{proxy} did not answer in time (connect-timeout).")
                }
                UpstreamError::Closed(_) => {
                    format!("{proxy} closed the connection instead of answering CONNECT.")
                }
                UpstreamError::Protocol(_) => {
                    format!(
                        "{proxy} did not answer CONNECT with valid HTTP. Check that {variable} names an HTTP proxy."
                    )
                }
                _ => format!("{proxy} could not be connected to."),
            },
        }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, variable) = (self.proxy.address(), self.proxy.variable);
        write!(f, "the proxy {address} ({variable}) opened no tunnel: ")?;
        let error = match &self.cause {
            ProxyCause::Connection(error) => &**error,
            ProxyCause::Answer(status) => return write!(f, "it answered {status}"),
        };
        match error {
            UpstreamError::Tls(fault) => fault.about("the proxy").fmt(f),
            UpstreamError::ConnectTimeout(stage) => stage.fmt(f),
            UpstreamError::Dns(_) => f.write_str("its name was not found"),
            UpstreamError::Closed(_) => f.write_str("it closed the connection"),
            UpstreamError::Protocol(_) => f.write_str("it did not speak HTTP"),
            _ => f.write_str("it could not be connected to"),
        }
    }
}

impl Error for ProxyFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            ProxyCause::Connection(error) => error.source(),
            ProxyCause::Answer(_) => None,
        }
    }
}
