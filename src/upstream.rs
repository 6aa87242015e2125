//! The upstream: one configured origin, its connections, and the only way to send to it.
//!
//! A small pool keeps the connections: with HTTP/1.1 the one that was used last is used next, with HTTP/2 up to a
//! hundred requests share one. It uses `hyper::client::conn` and h2 directly, which costs a third less CPU than
//! hyper-util's client and says whether a failed request was sent, on which retries depend.

mod body;
mod broken_body;
mod connection;
mod connection_tasks;
mod connector;
mod error;
mod framing;
mod http2;
mod incoming;
mod liveness;
mod pool;
mod request_body;
mod resolver;
mod tcp;
mod timeline;
mod tls;
mod tunnel;
mod upgrade;

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use body::UpstreamBody;
pub(crate) use broken_body::{Breakage, BrokenBody};
pub(crate) use connector::{ConnectOptions, Connector};
pub use error::{ConnectStage, ProxyCause, UpstreamError};
use pool::{Checkout, Lease, Pool, SendError, SendFailure};
pub(crate) use request_body::OutgoingBody;
use request_body::{RequestBody, UploadProgress};
pub use resolver::Resolver;
pub(crate) use timeline::Timeline;
pub(crate) use tls::Trust;
pub use tls::TrustError;
pub(crate) use upgrade::{Upgraded, UpgradedConnection};

use crate::tls::fault::TlsFault;

/// How long to wait for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// For a connection, TLS included.
    pub(crate) connect: Duration,
    /// From the last byte of the request to the response head.
    pub(crate) response: Duration,
    /// For the upstream to take more of a request body.
    pub(crate) idle: Duration,
}

/// A request as it goes over the wire.
pub(crate) struct OutgoingRequest {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    /// The value of Host, for HTTP/2.
    pub(crate) authority: Authority,
    /// Including Host.
    pub(crate) headers: HeaderMap,
    pub(crate) body: OutgoingBody,
}

impl fmt::Debug for OutgoingRequest {
    /// Without the query, in which a signature and the session token may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut request = f.debug_struct("OutgoingRequest");
        request.field("method", &self.method).field("path", &self.target.path());
        request.field("headers", &self.headers).field("body", &self.body).finish()
    }
}

/// How long only HTTP/1.1 is offered to an upstream that asked for it. As long as a connection is used: one server of
/// many may have asked, or one that has been replaced since.
const HTTP1_ONLY_PERIOD: Duration = Duration::from_secs(10 * 60);

/// One origin that requests go to.
#[derive(Debug)]
pub(crate) struct Upstream {
    connector: Connector,
    /// Offers HTTP/1.1 only.
    http1_connector: OnceLock<Connector>,
    /// Until when that connector is used.
    http1_only_until: Mutex<Option<Instant>>,
    pool: Pool,
    timeouts: Timeouts,
}

/// A failed attempt, and what a retry depends on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: UpstreamError,
    /// The upstream has not begun with the request.
    pub(crate) unsent: bool,
    /// The connection came from the pool, where the upstream may have closed it meanwhile.
    pub(crate) reused: bool,
    /// How many connections had been made by then. A retry uses a newer one.
    pub(crate) connections: u64,
}

impl Upstream {
    /// An upstream reached through `connector`.
    #[must_use]
    pub(crate) fn new(connector: Connector, timeouts: Timeouts) -> Self {
        Self {
            connector,
            http1_connector: OnceLock::new(),
            http1_only_until: Mutex::default(),
            pool: Pool::default(),
            timeouts,
        }
    }

    /// The same upstream with separate connections.
    pub(crate) fn sibling(&self) -> Self {
        Self::new(self.connector.clone(), self.timeouts)
    }

    /// Whether `other` connects to the same place in the same way, so that either can use the connections of the other.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.timeouts == other.timeouts && self.connector.is_like(&other.connector)
    }

    /// Sends a request and waits for the response head.
    ///
    /// With `newer_than`, over a connection that was made after the first so many, which may all have failed. With
    /// `timeline`, the moments of the attempt are noted in it.
    pub(crate) async fn send(
        &self,
        request: OutgoingRequest,
        newer_than: Option<u64>,
        mut timeline: Option<&mut Timeline>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let mut lease = match self.pool.take(newer_than).await {
            Some(lease) => lease,
            // Boxed: requests seldom connect, and each would carry the size of this future. Part of a change that took
            // 4 % off the CPU of a small GET.
            None => Box::pin(self.connect(newer_than)).await?,
        };
        if let Some(timeline) = &mut timeline {
            timeline.connected = Some((Instant::now(), lease.reused()));
        }
        let is_head = request.method == Method::HEAD;
        let (request, progress) = into_wire(request, lease.version(), self.connector.scheme());
        let failed = |lease: &Lease, unsent, error| Failure {
            error,
            unsent,
            reused: lease.reused(),
            connections: self.pool.made(),
        };
        let sent = {
            let response = pin!(lease.send(request));
            self.with_timeout(progress.as_deref(), response).await
        };
        let response = match sent {
            Err(timed_out) => {
                self.pool.suspect(&lease, self.timeouts.response);
                return Err(failed(&lease, false, timed_out));
            }
            Ok(Err(SendFailure { error, unsent })) => {
                self.learn_from(&error, &lease);
                let fault = lease.alert().and_then(|alert| alert.fault(!lease.reused()));
                return Err(failed(&lease, unsent, classify(error, fault)));
            }
            Ok(Ok(response)) => response,
        };
        if let Some(timeline) = timeline {
            timeline.sent = progress.as_ref().and_then(|progress| progress.completed_at());
        }
        let response = framing::validate_framing(response, is_head)
            .map_err(|what| failed(&lease, false, UpstreamError::Protocol(what.into())))?;
        let length = framing::declared_length(response.headers());
        let has_none = framing::has_no_body(response.status(), is_head);
        Ok(response.map(|incoming| UpstreamBody::new(incoming, lease, length, has_none, progress)))
    }

    /// Waits for the response head. The response timeout starts with the last byte of the request; until then the
    /// upstream must take some of the body within the idle timeout. The future is borrowed: by value it would have three
    /// places in the state of this function, one for each time that it moves.
    async fn with_timeout<T>(
        &self,
        progress: Option<&UploadProgress>,
        mut response: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, UpstreamError> {
        let Timeouts { response: limit, idle, .. } = self.timeouts;
        let Some(progress) = progress else {
            return timeout(limit, response).await.map_err(|_| UpstreamError::ResponseTimeout);
        };
        loop {
            // The deadline moves with every byte that is sent, so that it is computed again when it has passed.
            if let Ok(response) = timeout_at(progress.deadline(limit, idle)?, response.as_mut()).await {
                return Ok(response);
            }
        }
    }

    /// Keeps further requests from failing by the same `error`.
    fn learn_from(&self, error: &SendError, lease: &Lease) {
        let SendError::Http2(error) = error else { return };
        match error.reason() {
            Some(h2::Reason::HTTP_1_1_REQUIRED) if error.is_remote() => {
                *self.http1_only_until() = Some(Instant::now() + HTTP1_ONLY_PERIOD);
                self.pool.retire_http2();
            }
            Some(h2::Reason::REFUSED_STREAM) => self.pool.retire(lease),
            _ => {}
        }
    }

    fn http1_only_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.http1_only_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connector of the next connection.
    fn connector(&self) -> &Connector {
        let wants_http1 = self.http1_only_until().is_some();
        if wants_http1 {
            self.http1_connector.get_or_init(|| self.connector.http1_only())
        } else {
            &self.connector
        }
    }

    /// Offers HTTP/2 again once [`HTTP1_ONLY_PERIOD`] is over.
    fn retry_http2(&self) {
        let mut until = self.http1_only_until();
        if until.is_some_and(|until| until <= Instant::now()) {
            *until = None;
            self.pool.allow_sharing();
        }
    }

    /// A new connection, or one that another request has made meanwhile.
    async fn connect(&self, newer_than: Option<u64>) -> Result<Lease, Failure> {
        let limit = self.timeouts.connect;
        let deadline = Instant::now() + limit;
        self.retry_http2();
        let connecting = async {
            // Held until the connection is in the pool, where the waiting requests find it. No request waits for longer
            // than half of the timeout: the request that holds the lock may fail, and the other half is left to
            // connect.
            let _connect_lock = match self.pool.checkout(newer_than, Instant::now() + limit / 2).await {
                Checkout::Open(lease) => return Ok(lease),
                Checkout::Connect(connect_lock) => connect_lock,
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

/// Puts the request into the form of the connection's HTTP version. The progress of its body is returned beside it, since
/// a request that was borrowed in an async function keeps its place in the state after it has moved.
fn into_wire(
    request: OutgoingRequest,
    version: Version,
    scheme: &Scheme,
) -> (Request<RequestBody>, Option<Arc<UploadProgress>>) {
    let OutgoingRequest { method, target, authority, mut headers, body } = request;
    let is_of_unknown_length = body.is_of_unknown_length();
    let body = RequestBody::new(body);
    let progress = body.progress();
    let mut wire = Request::new(body);
    *wire.method_mut() = method;
    if version == Version::HTTP_2 {
        headers.remove(header::HOST);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority);
        parts.path_and_query = Some(target);
        *wire.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path make a URI");
        *wire.version_mut() = Version::HTTP_2;
    } else {
        // RFC 9110 section 10.1.4: a sender of TE must list it in Connection.
        if headers.contains_key(header::TE) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        // Without it, hyper sends no body with a GET.
        if is_of_unknown_length {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        *wire.uri_mut() = Uri::from(target);
    }
    *wire.headers_mut() = headers;
    (wire, progress)
}

/// The cause of a failed request; `fault` is the TLS alert that the upstream sent, which explains more than the I/O
/// error.
fn classify(error: SendError, fault: Option<TlsFault>) -> UpstreamError {
    if let Some(fault) = fault {
        return UpstreamError::Tls(fault);
    }
    match error {
        SendError::Http1(error) if error.is_parse() || error.is_parse_too_large() || error.is_user() => {
            UpstreamError::Protocol(error.into())
        }
        SendError::Http1(error) => UpstreamError::Closed(error.into()),
        // An error that is neither a reset nor an I/O error is a protocol error.
        SendError::Http2(error) if error.is_library() || !(error.is_io() || error.reason().is_some()) => {
            UpstreamError::Protocol(error.into())
        }
        SendError::Http2(error) => UpstreamError::Closed(error.into()),
    }
}
