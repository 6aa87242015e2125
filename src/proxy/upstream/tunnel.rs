//! A tunnel through a forward proxy, and what the proxy does instead of making one.

use std::{error::Error, fmt, future::poll_fn, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::UpstreamError;
use crate::forward_proxy::ForwardProxy;

/// A forward proxy that made no tunnel.
#[derive(Debug)]
pub struct ProxyFailure {
    proxy: Arc<ForwardProxy>,
    pub(super) cause: ProxyCause,
}

/// Why a forward proxy made no tunnel.
#[derive(Debug)]
pub enum ProxyCause {
    /// There is no connection to it, or it broke the connection or the protocol.
    Connection(Box<UpstreamError>),
    /// It answered CONNECT with another status than 2xx.
    Answer(StatusCode),
}

impl ProxyFailure {
    pub(super) fn new(proxy: &Arc<ForwardProxy>, cause: ProxyCause) -> Self {
        Self { proxy: Arc::clone(proxy), cause }
    }

    /// Why the proxy made no tunnel.
    #[must_use]
    pub fn cause(&self) -> &ProxyCause {
        &self.cause
    }

    /// Whether another attempt may go better: the proxy gave no answer that stays the same.
    pub(super) fn may_pass(&self) -> bool {
        match &self.cause {
            ProxyCause::Connection(error) => error.may_pass(),
            ProxyCause::Answer(status) => status.is_server_error(),
        }
    }

    /// What helps the client, in whole sentences.
    pub(super) fn advice(&self) -> String {
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
                    super::tls_sentence(fault, &peer)
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
        write!(f, "the proxy {address} ({variable}) made no tunnel: ")?;
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

/// Asks the proxy at the other end of `stream` for a tunnel to `destination`, `host:port` (RFC 9110 section 9.3.6).
pub(super) async fn open<S>(
    stream: S,
    destination: &str,
    authorization: Option<HeaderValue>,
) -> Result<S, ProxyCause>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let broken = |error: hyper::Error| {
        let error = if error.is_parse() || error.is_parse_too_large() {
            UpstreamError::Protocol(error.into())
        } else {
            UpstreamError::Closed(error.into())
        };
        ProxyCause::Connection(Box::new(error))
    };
    let (mut sender, mut connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let response = {
        let mut exchange = pin!(sender.send_request(connect(destination, authorization)));
        let mut driver = pin!(poll_fn(|context| connection.poll_without_shutdown(context)));
        tokio::select! {
            biased;
            response = &mut exchange => response,
            ended = &mut driver => match ended {
                // What the end of the connection means is known to the exchange.
                Ok(()) => exchange.await,
                Err(error) => Err(error),
            },
        }
    }
    .map_err(broken)?;
    if !response.status().is_success() {
        return Err(ProxyCause::Answer(response.status()));
    }
    let parts = connection.into_parts();
    if parts.read_buf.is_empty() {
        return Ok(parts.io.into_inner());
    }
    // In TLS the client speaks first: what has come already is not from the upstream.
    let error = UpstreamError::Protocol("the proxy sent something behind its answer to CONNECT".into());
    Err(ProxyCause::Connection(Box::new(error)))
}

fn connect(destination: &str, authorization: Option<HeaderValue>) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::try_from(destination).expect("host and port of a URL are an authority");
    let host = HeaderValue::from_str(destination).expect("an authority is a header value");
    request.headers_mut().insert(header::HOST, host);
    if let Some(authorization) = authorization {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization);
    }
    request
}
