//! The upstream: one configured origin, its connections, and the one way to send to it.
//!
//! Connections are hyper's own, kept in a small pool: last in, first out for HTTP/1.1, one that up to a hundred
//! requests share for HTTP/2.

mod body;
mod broken_body;
mod connection;
mod connector;
mod error;
mod framing;
mod http2;
mod incoming;
mod liveness;
mod pool;
mod request_body;
mod resolver;
mod tasks;
mod tcp;
mod tls;
mod tunnel;

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use body::UpstreamBody;
pub(crate) use broken_body::{Breakage, BrokenBody};
pub(crate) use connector::{Connector, Ways};
pub use error::{ConnectStage, ProxyCause, UpstreamError};
use pool::{ConnectLock, Lease, Pool, SendError, SendFailure};
use request_body::{Progress, RequestBody};
pub use resolver::Resolver;
pub(crate) use tls::Trust;
pub use tls::TrustError;

use crate::tls::fault::TlsFault;

/// How long is waited for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// For a connection, TLS included.
    pub(crate) connect: Duration,
    /// From the last byte of the request to the response head.
    pub(crate) response: Duration,
    /// For the upstream to take some more of a request's body.
    pub(crate) idle: Duration,
}

/// A request as it goes over the wire.
#[derive(Debug)]
pub(crate) struct OutgoingRequest {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    /// With the Host.
    pub(crate) headers: HeaderMap,
    /// The body, in order.
    pub(crate) chunks: Arc<[Bytes]>,
    /// The length of all chunks together, in bytes.
    pub(crate) length: u64,
}

/// For how long an upstream that has asked for HTTP/1.1 gets nothing else. As long as a connection is used, since what
/// asked may have been one machine of many, or a deployment that is over.
const HTTP1_FOR: Duration = Duration::from_secs(10 * 60);

/// One origin that requests go to.
#[derive(Debug)]
pub(crate) struct Upstream {
    connector: Connector,
    /// What connects after the upstream has asked for HTTP/1.1.
    http1: OnceLock<Connector>,
    /// Until when that is used.
    http1_until: Mutex<Option<Instant>>,
    pool: Pool,
    timeouts: Timeouts,
}

/// A failed attempt, and what another attempt may assume about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: UpstreamError,
    /// No byte of the request was sent.
    pub(crate) unsent: bool,
    /// The connection came from the pool, where it may have been closed meanwhile.
    pub(crate) reused: bool,
    /// How many connections had been made by then: a newer one has not failed yet.
    pub(crate) connections: u64,
}

impl Upstream {
    /// An upstream reached through `connector`.
    #[must_use]
    pub(crate) fn new(connector: Connector, timeouts: Timeouts) -> Self {
        Self {
            connector,
            http1: OnceLock::new(),
            http1_until: Mutex::default(),
            pool: Pool::default(),
            timeouts,
        }
    }

    /// The same upstream with connections of its own.
    pub(crate) fn sibling(&self) -> Self {
        Self::new(self.connector.clone(), self.timeouts)
    }

    /// Whether `other` connects to the same place in the same way, so that either may use the other's connections.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.timeouts == other.timeouts && self.connector.is_like(&other.connector)
    }

    /// Sends a request and waits for the response head.
    ///
    /// `newer_than` asks for a connection that was made after the first so many: those may all have failed.
    pub(crate) async fn send(
        &self,
        request: OutgoingRequest,
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
                let fault = lease.alert().and_then(|alert| alert.fault(!lease.reused()));
                return Err(failed(&lease, unsent, classify(error, fault)));
            }
            Ok(Ok(response)) => response,
        };
        let response = framing::validate_framing(response, is_head)
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
                *self.http1_until() = Some(Instant::now() + HTTP1_FOR);
                self.pool.retire_http2();
            }
            Some(h2::Reason::REFUSED_STREAM) => self.pool.retire(lease),
            _ => {}
        }
    }

    fn http1_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.http1_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What makes the next connection.
    fn connector(&self) -> &Connector {
        let wants_http1 = self.http1_until().is_some();
        if wants_http1 { self.http1.get_or_init(|| self.connector.http1_only()) } else { &self.connector }
    }

    /// Offers HTTP/2 again to an upstream that asked for HTTP/1.1 long enough ago.
    fn forget_http1(&self) {
        let mut until = self.http1_until();
        if until.is_some_and(|until| until <= Instant::now()) {
            *until = None;
            self.pool.expect_sharing();
        }
    }

    /// A connection that is new, or that others have made meanwhile.
    async fn connect(&self, newer_than: Option<u64>) -> Result<Lease, Failure> {
        let limit = self.timeouts.connect;
        let deadline = Instant::now() + limit;
        self.forget_http1();
        let connecting = async {
            // The turn is kept until others can find the connection, but not waited for so long that too little time
            // would be left: whoever has it may wait for nothing.
            let _turn = match self.pool.turn(newer_than, Instant::now() + limit / 2).await {
                ConnectLock::Found(lease) => return Ok(lease),
                ConnectLock::Make(turn) => turn,
            };
            let connection = self.connector().connect(deadline).await?;
            let alert = connection.alert();
            self.pool.handshake(connection).await.map_err(|error| classify(error, alert.fault(true)))
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
fn into_wire(request: OutgoingRequest, version: Version, scheme: &Scheme) -> Request<RequestBody> {
    let OutgoingRequest { method, target, mut headers, chunks, length } = request;
    let mut wire = Request::new(RequestBody::new(chunks, length));
    *wire.method_mut() = method;
    if version == Version::HTTP_2 {
        let host = headers.remove(header::HOST).expect("an outgoing request has a Host");
        let authority = Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes()))
            .expect("a route's host is an authority");
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority);
        parts.path_and_query = Some(target);
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

/// What a failed request means; `fault` is what TLS has to say about it, where it has.
fn classify(error: SendError, fault: Option<TlsFault>) -> UpstreamError {
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
