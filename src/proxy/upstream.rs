//! The upstream: one configured origin, its connections, and the one way to send to it.
//!
//! Connections are hyper's own, kept in a small pool: last in, first out for HTTP/1.1, one that up to a hundred
//! requests share for HTTP/2.

mod body;
mod connect;
mod connection;
mod framing;
mod http2;
mod liveness;
mod pool;
mod request_body;
mod resolver;
mod tasks;
mod tcp;
mod trust;
mod tunnel;

use std::{borrow::Cow, error::Error, fmt, future::Future, pin::pin, sync::OnceLock};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Uri, Version, header,
    uri::{Authority, Scheme},
};
use tokio::time::{Instant, timeout, timeout_at};

pub(super) use body::UpstreamBody;
pub(super) use body::{Breakage, BrokenBody};
pub(super) use connect::{Connector, Ways};
use pool::{Lease, Pool, SendError, SendFailure, Turn};
use request_body::{Progress, RequestBody};
pub use resolver::Resolver;
pub(super) use trust::Trust;
pub use trust::TrustError;
pub(super) use tunnel::ProxyCause;
use tunnel::ProxyFailure;

use super::Timeouts;
use crate::{
    signing::{SignedRequest, X_AMZ_SECURITY_TOKEN},
    tls_fault::TlsFault,
};

/// One origin that requests go to.
#[derive(Debug)]
pub(super) struct Upstream {
    connector: Connector,
    /// What connects since the upstream has asked for HTTP/1.1.
    http1: OnceLock<Connector>,
    pool: Pool,
    timeouts: Timeouts,
}

/// Why the upstream gave no answer. Display is for the log, [`advice`](Self::advice) for clients.
#[derive(Debug)]
pub enum UpstreamError {
    /// Its name was not found.
    Dns(Box<dyn Error + Send + Sync>),
    /// This machine has no file, memory, port or thread left for a connection.
    Shortage(Box<dyn Error + Send + Sync>),
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
    /// It took nothing more of the request body.
    SendTimeout,
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
    /// How many connections had been made by then: a newer one has not failed yet.
    pub(super) connections: u64,
}

impl Upstream {
    /// An upstream reached through `connector`.
    #[must_use]
    pub(super) fn new(connector: Connector, timeouts: Timeouts) -> Self {
        Self { connector, http1: OnceLock::new(), pool: Pool::default(), timeouts }
    }

    /// The same upstream with connections of its own.
    pub(super) fn sibling(&self) -> Self {
        Self::new(self.connector.clone(), self.timeouts)
    }

    /// Whether `other` connects to the same place in the same way, so that either may use the other's connections.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.timeouts == other.timeouts && self.connector.is_like(&other.connector)
    }

    /// Sends a request and waits for the response head.
    ///
    /// `newer_than` asks for a connection that was made after the first so many: those may all have failed.
    pub(super) async fn send(
        &self,
        request: SignedRequest,
        newer_than: Option<u64>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let mut lease = match self.pool.take(newer_than).await {
            Some(lease) => lease,
            // Apart from the request, which seldom needs it and would carry its size.
            None => Box::pin(self.connect(newer_than)).await?,
        };
        let request = into_wire(request, lease.version(), self.connector.scheme());
        let is_head = request.method() == Method::HEAD;
        let progress = request.body().progress();
        let failed = |lease: &Lease, unsent, error| Failure {
            error,
            unsent,
            reused: lease.reused(),
            connections: self.pool.made(),
        };
        let response = match self.in_time(progress.as_deref(), lease.send(request)).await {
            Err(timed_out) => {
                self.pool.doubt(&lease, self.timeouts.response);
                return Err(failed(&lease, false, timed_out));
            }
            Ok(Err(SendFailure { error, unsent })) => {
                self.learn_from(&error, &lease);
                return Err(failed(&lease, unsent, classify(error)));
            }
            Ok(Ok(response)) => response,
        };
        let response = framing::settle(response, is_head)
            .map_err(|what| failed(&lease, false, UpstreamError::Protocol(what.into())))?;
        let length = framing::declared_length(response.headers());
        let has_none = framing::has_no_body(response.status(), is_head);
        Ok(response.map(|incoming| UpstreamBody::new(incoming, lease, length, has_none, progress)))
    }

    /// Waits for a response head as long as is right for a request whose body has come so far.
    async fn in_time<T>(
        &self,
        progress: Option<&Progress>,
        response: impl Future<Output = T>,
    ) -> Result<T, UpstreamError> {
        let Timeouts { response: limit, idle, .. } = self.timeouts;
        let mut response = pin!(response);
        let Some(progress) = progress else {
            return timeout(limit, response).await.map_err(|_| UpstreamError::ResponseTimeout);
        };
        loop {
            if let Ok(response) = timeout_at(progress.deadline(limit, idle)?, response.as_mut()).await {
                return Ok(response);
            }
        }
    }

    /// Has further requests do better than one that failed by `error`.
    fn learn_from(&self, error: &SendError, lease: &Lease) {
        let SendError::Http2(error) = error else { return };
        match error.reason() {
            Some(h2::Reason::HTTP_1_1_REQUIRED) if error.is_remote() => {
                self.http1.get_or_init(|| self.connector.http1_only());
                self.pool.retire_http2();
            }
            Some(h2::Reason::REFUSED_STREAM) => self.pool.retire(lease),
            _ => {}
        }
    }

    /// A connection that is new, or that others have made meanwhile.
    async fn connect(&self, newer_than: Option<u64>) -> Result<Lease, Failure> {
        let limit = self.timeouts.connect;
        let deadline = Instant::now() + limit;
        let connecting = async {
            // The turn is kept until others can find the connection, but not waited for so long that too little time
            // would be left: whoever has it may wait for nothing.
            let _turn = match self.pool.turn(newer_than, Instant::now() + limit / 2).await {
                Turn::Found(lease) => return Ok(lease),
                Turn::Make(turn) => turn,
            };
            let connection = self.http1.get().unwrap_or(&self.connector).connect(deadline).await?;
            self.pool.handshake(connection).await.map_err(classify)
        };
        let connected = timeout_at(deadline, connecting).await;
        connected.unwrap_or(Err(UpstreamError::ConnectTimeout(ConnectStage::Http))).map_err(|error| Failure {
            error,
            unsent: true,
            reused: false,
            connections: self.pool.made(),
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

fn classify(error: SendError) -> UpstreamError {
    let fault = match &error {
        SendError::Http1(error) => TlsFault::after_handshake(error),
        SendError::Http2(error) => TlsFault::after_handshake(error),
    };
    if let Some(fault) = fault {
        return UpstreamError::Tls(fault);
    }
    match error {
        SendError::Http1(error) if error.is_parse() || error.is_parse_too_large() || error.is_user() => {
            UpstreamError::Protocol(error.into())
        }
        SendError::Http1(error) => UpstreamError::Closed(error.into()),
        // What is neither a frame nor the system's is a mistake in the request.
        SendError::Http2(error) if error.is_library() || !(error.is_io() || error.reason().is_some()) => {
            UpstreamError::Protocol(error.into())
        }
        SendError::Http2(error) => UpstreamError::Closed(error.into()),
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
            Self::Protocol(_) => "The upstream's answer was not valid HTTP.".into(),
            Self::SendTimeout => {
                "The upstream took nothing more of the request body (idle-timeout). The request may have been carried out."
                    .into()
            }
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
            Self::Shortage(_) => "this machine lacks what a connection to the upstream needs",
            Self::Refused(_) => "no connection to the upstream",
            Self::Tls(fault) => return fault.about("the upstream").fmt(f),
            Self::Proxy(failure) => return failure.fmt(f),
            Self::ConnectTimeout(stage) => {
                return write!(f, "no connection to the upstream in time: {stage}");
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
            // What is in these two has been said.
            Self::Tls(fault) => fault.source(),
            Self::Proxy(failure) => failure.source(),
            Self::ConnectTimeout(_) | Self::SendTimeout | Self::ResponseTimeout => None,
        }
    }
}
