//! The upstream: one configured origin, its connections, and the one way to send to it.
//!
//! Connections are hyper's own, kept in a small pool: last in, first out for HTTP/1.1, one that up to a hundred
//! requests share for HTTP/2.

mod connect;
mod connection;
mod framing;
mod pool;
mod request_body;
mod resolver;
mod tasks;
mod tcp;
mod trust;
mod tunnel;

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Uri, Version, header,
    uri::{Authority, Scheme},
};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

pub(super) use connect::{Connector, Ways};
use pool::{Lease, Pool};
use request_body::RequestBody;
pub use resolver::Resolver;
pub(super) use trust::Trust;
pub use trust::TrustError;
pub(super) use tunnel::ProxyCause;
use tunnel::ProxyFailure;

use crate::{
    signing::{SignedRequest, X_AMZ_SECURITY_TOKEN},
    tls_fault::TlsFault,
};

/// One origin that requests go to.
#[derive(Debug)]
pub(super) struct Upstream {
    connector: Connector,
    pool: Pool,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// Why the upstream gave no answer. Display is for the log, [`advice`](Self::advice) for clients.
#[derive(Debug)]
pub enum UpstreamError {
    /// Its name was not found.
    Dns(Box<dyn Error + Send + Sync>),
    /// No address took the connection.
    Refused(Box<dyn Error + Send + Sync>),
    /// TLS failed: its certificate is not trusted, or the handshake went wrong.
    Tls(TlsFault),
    /// The forward proxy on the way to it made no tunnel.
    Proxy(ProxyFailure),
    /// There was no connection in time.
    ConnectTimeout(ConnectStage),
    /// It closed the connection before the response head.
    Closed(Box<dyn Error + Send + Sync>),
    /// What it sent is not HTTP.
    Protocol(Box<dyn Error + Send + Sync>),
    /// The response head did not come in time.
    ResponseTimeout,
}

/// What a connection was waiting for when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectStage {
    /// The addresses of the host name.
    Lookup,
    /// An address that takes the connection.
    Tcp,
    /// The forward proxy's answer to CONNECT.
    Tunnel,
    /// The TLS handshake.
    Tls,
    /// The first bytes of HTTP.
    Http,
}

/// A failed attempt, and what another attempt may assume about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// No byte of the request was sent.
    pub(super) unsent: bool,
    /// The connection came from the pool, where it may have been closed meanwhile.
    pub(super) reused: bool,
}

impl Upstream {
    /// An upstream reached through `connector`.
    #[must_use]
    pub(super) fn new(connector: Connector, connect_timeout: Duration, response_timeout: Duration) -> Self {
        Self { connector, pool: Pool::default(), connect_timeout, response_timeout }
    }

    /// The same upstream with connections of its own.
    pub(super) fn sibling(&self) -> Self {
        Self::new(self.connector.clone(), self.connect_timeout, self.response_timeout)
    }

    /// Sends a request and waits for the response head.
    ///
    /// `fresh` asks for a new connection: one that rested has just failed.
    pub(super) async fn send(
        &self,
        request: SignedRequest,
        fresh: bool,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let rested = if fresh { None } else { self.pool.take().await };
        let mut lease = match rested {
            Some(lease) => lease,
            // Apart from the request, which seldom needs it and would carry its size.
            None => Box::pin(self.connect(fresh)).await?,
        };
        let reused = lease.reused();
        let request = into_wire(request, lease.version(), self.connector.scheme());
        let is_head = request.method() == Method::HEAD;
        let outcome = timeout(self.response_timeout, lease.send(request)).await;
        let response = match outcome {
            Err(_) => {
                self.pool.forget_doubtful(self.response_timeout);
                return Err(Failure { error: UpstreamError::ResponseTimeout, unsent: false, reused });
            }
            Ok(Err(error)) => {
                return Err(Failure { unsent: error.unsent, reused, error: classify(error.error) });
            }
            Ok(Ok(response)) => response,
        };
        let response = framing::settle(response, is_head).map_err(|what| Failure {
            error: UpstreamError::Protocol(what.into()),
            unsent: false,
            reused,
        })?;
        Ok(response.map(|incoming| UpstreamBody::new(incoming, lease)))
    }

    /// A connection that is new, or that others have made meanwhile, unless it must be `fresh`.
    async fn connect(&self, fresh: bool) -> Result<Lease, Failure> {
        let deadline = Instant::now() + self.connect_timeout;
        let connecting = async {
            // Kept until others can find the connection, but not waited for so long that too little time would be left:
            // whoever has it may wait for nothing.
            let _turn = if fresh {
                None
            } else {
                timeout(self.connect_timeout / 2, self.pool.turn()).await.ok().flatten()
            };
            if !fresh && let Some(lease) = self.pool.take().await {
                return Ok(lease);
            }
            let connection = self.connector.connect(deadline).await?;
            self.pool.handshake(connection, fresh).await.map_err(classify)
        };
        let connected = timeout_at(deadline, connecting).await;
        connected.unwrap_or(Err(UpstreamError::ConnectTimeout(ConnectStage::Http))).map_err(|error| Failure {
            error,
            unsent: true,
            reused: false,
        })
    }
}

/// Puts the request into the form that the connection's version of HTTP has for it.
fn into_wire(request: SignedRequest, version: Version, scheme: &Scheme) -> Request<RequestBody> {
    let (method, target, mut headers, payload) = request.into_parts();
    let target = target.as_path_and_query().clone();
    let mut wire = Request::new(RequestBody::new(&payload));
    *wire.method_mut() = method;
    if version == Version::HTTP_2 {
        let host = headers.remove(header::HOST).expect("a signed request has a host");
        let authority = Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes()))
            .expect("a route's host is an authority");
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority);
        parts.path_and_query = Some(target);
        // The token is the same for many requests: as an indexed field it takes two bytes instead of a kilobyte, which
        // is not compressed anew for each. Only whole values are compared in that table, and nobody guesses this one
        // (RFC 7541 section 7.1).
        if let Some(token) = headers.get_mut(X_AMZ_SECURITY_TOKEN) {
            token.set_sensitive(false);
        }
        *wire.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path make a URI");
        *wire.version_mut() = Version::HTTP_2;
    } else {
        if headers.contains_key(header::TE) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        *wire.uri_mut() = Uri::from(target);
    }
    *wire.headers_mut() = headers;
    wire
}

fn classify(error: hyper::Error) -> UpstreamError {
    if let Some(fault) = TlsFault::after_handshake(&error) {
        return UpstreamError::Tls(fault);
    }
    let http2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let broken = http2.is_some_and(h2::Error::is_library);
    if error.is_parse() || error.is_parse_too_large() || error.is_user() || broken {
        UpstreamError::Protocol(error.into())
    } else {
        UpstreamError::Closed(error.into())
    }
}

impl UpstreamError {
    /// What helps the client, in whole sentences.
    #[must_use]
    pub fn advice(&self) -> Cow<'static, str> {
        match self {
            Self::Dns(_) => {
                "The upstream's host name was not found. Check the setting upstream and the network.".into()
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
            Self::Protocol(_) => "The upstream's answer was not valid HTTP.".into(),
            Self::ResponseTimeout => {
                "The upstream did not answer in time (response-timeout). The request may have been carried out.".into()
            }
        }
    }

    /// Whether another attempt may go better: what failed is not the same the next time.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Tls(TlsFault::Certificate(_)) | Self::Protocol(_) => false,
            Self::Proxy(failure) => failure.may_pass(),
            Self::Dns(_)
            | Self::Refused(_)
            | Self::Tls(_)
            | Self::ConnectTimeout(_)
            | Self::Closed(_)
            | Self::ResponseTimeout => true,
        }
    }
}

/// What is wrong with TLS and what to do about it, in whole sentences.
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
            Self::Dns(_) => "the upstream's name was not found",
            Self::Refused(_) => "no connection to the upstream",
            Self::Tls(fault) => return fault.about("the upstream").fmt(f),
            Self::Proxy(failure) => return failure.fmt(f),
            Self::ConnectTimeout(stage) => {
                return write!(f, "no connection to the upstream in time: {stage}");
            }
            Self::Closed(_) => "the upstream closed the connection",
            Self::Protocol(_) => "the upstream did not speak HTTP",
            Self::ResponseTimeout => "no answer of the upstream in time",
        })
    }
}

impl Error for UpstreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dns(source) | Self::Refused(source) | Self::Closed(source) | Self::Protocol(source) => {
                Some(source.as_ref())
            }
            // What is in these two has been said.
            Self::Tls(fault) => fault.source(),
            Self::Proxy(failure) => failure.source(),
            Self::ConnectTimeout(_) | Self::ResponseTimeout => None,
        }
    }
}

/// A response body; at its end the connection goes back to the pool, before it the connection is dropped,
/// which cancels the call.
#[derive(Debug)]
pub(super) struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

impl UpstreamBody {
    fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self { incoming, lease: Some(lease) };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl HttpBody for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        match &frame {
            None => self.release(),
            Some(Ok(_)) if self.incoming.is_end_stream() => self.release(),
            Some(Ok(_)) => {}
            Some(Err(_)) => self.lease = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
