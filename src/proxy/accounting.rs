//! A tower layer for what every request shares: an id, metrics, a line in the log.

mod abort;
#[cfg(feature = "otlp")]
mod span;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::info;

use abort::AbortReason;

use super::{
    body::{Body, BodyError},
    outcome::Outcome,
    service::Told,
    trace::TraceId,
};
#[cfg(feature = "otlp")]
use crate::spans::{Span, Spans};
use crate::{
    metrics::{Metrics, Present},
    server::{ConnectionEnd, RefusedHead},
    telemetry::ACCESS,
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a client, in bytes.
const LONGEST_ID: usize = 128;

/// The id of a request, the client's own `x-request-id` or a new one.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
        let sound = |id: &&str| {
            (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match given.filter(sound) {
            Some(id) => Self(id.into()),
            None => {
                // An id need not be hard to guess: a generator in the process spares a call of the system.
                let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
                let mut buffer = uuid::Uuid::encode_buffer();
                let text: &str = id.hyphenated().encode_lower(&mut buffer);
                Self(text.into())
            }
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives each request its id, and accounts for it when its last byte is sent.
#[derive(Clone, Debug)]
pub struct AccountingLayer {
    metrics: Arc<Metrics>,
    /// Absent where nothing listens.
    connection_end: Option<ConnectionEnd>,
    #[cfg(feature = "otlp")]
    spans: Option<Spans>,
}

impl AccountingLayer {
    /// A layer that counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            connection_end: None,
            #[cfg(feature = "otlp")]
            spans: None,
        }
    }

    /// The same layer for one connection, whose end says why a request has no whole answer.
    #[must_use]
    pub fn on_connection(self, end: ConnectionEnd) -> Self {
        Self { connection_end: Some(end), ..self }
    }

    /// The same layer, which records a span of each request as well.
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn with_spans(self, spans: Option<Spans>) -> Self {
        Self { spans, ..self }
    }
}

impl<S> Layer<S> for AccountingLayer {
    type Service = Accounting<S>;

    fn layer(&self, inner: S) -> Accounting<S> {
        Accounting { inner, layer: self.clone() }
    }
}

/// See [`AccountingLayer`].
#[derive(Clone, Debug)]
pub struct Accounting<S> {
    inner: S,
    layer: AccountingLayer,
}

impl<S, B> Service<Request<B>> for Accounting<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Accounted>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = RequestId::of(request.headers());
        // Before the trace is looked at: it may begin here.
        #[cfg(feature = "otlp")]
        let span = self.layer.spans.as_ref().and_then(|spans| span::begin(spans, &mut request));
        let refused = request.extensions().get::<RefusedHead>();
        let line = Line {
            id: id.clone(),
            trace_id: TraceId::of(request.headers()),
            method: refused.map_or_else(|| Some(request.method().clone()), |head| head.method.clone()),
            path: refused.map_or_else(|| request.uri().path(), |head| &head.path).to_owned(),
            start: Instant::now(),
            head: Duration::ZERO,
            status: None,
            outcome: Outcome::default(),
            code: None,
            own: true,
            bytes: 0,
            ended: false,
            broken: None,
            connection_end: self.layer.connection_end.clone(),
            metrics: Arc::clone(&self.layer.metrics),
            #[cfg(feature = "otlp")]
            span,
        };
        let present = self.layer.metrics.in_flight();
        request.extensions_mut().insert(id);
        Answering { answer: self.inner.call(request), account: Some((line, present)) }
    }
}

pin_project! {
    /// An answer that is being made. Its client may leave before it is there, which drops it.
    #[derive(Debug)]
    pub struct Answering<F> {
        #[pin]
        answer: F,
        account: Option<(Line, Present)>,
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Accounted>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(context))?;
        let (mut line, present) = this.account.take().expect("a future is polled to its end once");
        line.take_over(&mut response);
        Poll::Ready(Ok(response.map(|body| Accounted { body, line, _in_flight: present })))
    }
}

/// What the line in the log says. It is written when this is dropped, whatever became of the request until then.
#[derive(Debug)]
struct Line {
    id: RequestId,
    trace_id: Option<TraceId>,
    /// Absent when the head was refused and had none.
    method: Option<Method>,
    path: String,
    start: Instant,
    head: Duration,
    /// Absent until there is an answer.
    status: Option<StatusCode>,
    outcome: Outcome,
    code: Option<&'static str>,
    own: bool,
    bytes: u64,
    /// Whether the whole answer has been handed over.
    ended: bool,
    /// How the body of the answer failed.
    broken: Option<AbortReason>,
    connection_end: Option<ConnectionEnd>,
    metrics: Arc<Metrics>,
    #[cfg(feature = "otlp")]
    span: Option<Span>,
}

impl Line {
    fn take_over(&mut self, response: &mut Response<Body>) {
        self.head = self.start.elapsed();
        self.status = Some(response.status());
        if let Some(told) = response.extensions_mut().remove::<Told>() {
            self.outcome = told.outcome;
            self.code = told.code;
            self.own = told.own;
        }
        // Nobody asks for a body that is not sent.
        self.ended = self.method == Some(Method::HEAD);
        self.count();
    }

    /// Why the client does not have its whole answer; `None` when it has.
    fn aborted(&self) -> Option<AbortReason> {
        if self.ended {
            return None;
        }
        self.broken.or_else(|| self.connection_end.as_ref().map(AbortReason::from))
    }

    fn count(&self) {
        self.metrics.answered(self.method.as_ref(), self.status, self.origin(), self.start.elapsed());
    }

    fn origin(&self) -> &'static str {
        if self.own { "proxy" } else { "upstream" }
    }

    fn write(&self) {
        info!(
            target: ACCESS,
            {
            request.id = self.id.as_str(),
            request.method = self.method.as_ref().map(Method::as_str),
            request.path = self.path,
            status = self.status.map(|status| status.as_u16()),
            origin = self.origin(),
            error = self.code,
            upstream.status = self.outcome.upstream_status.map(|status| status.as_u16()),
            upstream.request_id = self.outcome.request_id(),
            bytes = self.bytes,
            head_ms = self.status.map(|_| self.head.as_millis() as u64),
            total_ms = self.start.elapsed().as_millis() as u64,
            attempts = self.status.map(|_| self.outcome.attempts),
            trace_id = self.trace_id.as_ref().map(TraceId::as_str),
            aborted = self.aborted().map(AbortReason::as_str),
            },
            "request"
        );
    }
}

/// A response body that is accounted for when it has ended or is dropped.
#[derive(Debug)]
pub struct Accounted {
    body: Body,
    line: Line,
    _in_flight: Present,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.count();
        }
        self.write();
        #[cfg(feature = "otlp")]
        if let Some(span) = self.span.take() {
            self.end(span);
        }
    }
}

impl Drop for Accounted {
    fn drop(&mut self) {
        self.line.ended |= self.body.is_end_stream();
    }
}

impl HttpBody for Accounted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.line.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            Poll::Ready(None) => self.line.ended = true,
            Poll::Ready(Some(Err(error))) => self.line.broken = Some(AbortReason::from(error)),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn id_for(given: Option<&str>) -> RequestId {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(given).expect("a value"));
        }
        RequestId::of(&headers)
    }

    #[test]
    fn an_id_of_the_client_is_taken_over_if_it_is_short_and_visible_ascii() {
        let (longest, longer) = ("a".repeat(128), "a".repeat(129));
        for given in ["a", "7f3c-42!", &longest] {
            assert_eq!(id_for(Some(given)).as_str(), given);
        }
        for given in [None, Some(""), Some("a b"), Some("a\tb"), Some("caf\u{e9}"), Some(&longer)] {
            let id = id_for(given);
            assert!(uuid::Uuid::parse_str(id.as_str()).is_ok(), "{given:?}: {id:?}");
        }
        assert_ne!(id_for(None).as_str(), id_for(None).as_str());
    }
}
