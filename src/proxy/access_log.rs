//! The tower layer around every request: its id, its metrics, its line in the log.

mod abort_reason;
mod logged_path;
mod recording;
#[cfg(feature = "otlp")]
mod span;
pub(super) mod trace_id;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
#[cfg(feature = "otlp")]
use http::header;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::info;

use abort_reason::AbortReason;
use logged_path::LoggedPath;

use trace_id::TraceId;

use super::{
    outcome::{Answer, Outcome},
    request_id::{IdentifiedRequest, RequestId},
    response::body::{Body, BodyError},
};
#[cfg(feature = "otlp")]
use crate::telemetry::spans::{Span, Spans};
use crate::{
    downstream::{ConnectionEnd, RefusedHead},
    inspector::{Ending, Recorder, Recording},
    telemetry::{
        ACCESS,
        metrics::{GaugeGuard, Metrics},
    },
};

/// Gives each request its id, and counts and logs it when the last byte of its answer has been sent.
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    metrics: Arc<Metrics>,
    /// Absent outside of a connection.
    connection_end: Option<ConnectionEnd>,
    recorder: Option<Recorder>,
    #[cfg(feature = "otlp")]
    spans: Option<Spans>,
}

impl AccessLogLayer {
    /// A layer that counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            connection_end: None,
            recorder: None,
            #[cfg(feature = "otlp")]
            spans: None,
        }
    }

    /// The same layer for one connection, whose end says why a request has no whole answer.
    #[must_use]
    pub fn on_connection(self, end: ConnectionEnd) -> Self {
        Self { connection_end: Some(end), ..self }
    }

    /// The same layer, which records each exchange for the inspector as well.
    #[must_use]
    pub fn with_recorder(self, recorder: Option<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// The same layer, which records a span of each request as well.
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn with_spans(self, spans: Option<Spans>) -> Self {
        Self { spans, ..self }
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner, layer: self.clone() }
    }
}

/// See [`AccessLogLayer`].
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
    layer: AccessLogLayer,
}

impl<S, B> Service<Request<B>> for AccessLog<S>
where
    S: Service<IdentifiedRequest<B>, Response = Answer, Error = Infallible>,
{
    type Response = Response<LoggedBody>;
    type Error = Infallible;
    type Future = LoggedAnswer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = RequestId::of(request.headers());
        // First, so that it has the request as the client sent it.
        let recording =
            self.layer.recorder.as_ref().map(|recorder| recording::begin(recorder, &mut request, &id));
        // Before the trace is looked at: it may begin here.
        #[cfg(feature = "otlp")]
        let span = self.layer.spans.as_ref().and_then(|spans| span::begin(spans, &mut request));
        // A WebSocket has a span of its own, which lasts longer than this one.
        #[cfg(feature = "otlp")]
        if let (Some(spans), true) = (&self.layer.spans, request.headers().contains_key(header::UPGRADE)) {
            request.extensions_mut().insert(spans.clone());
        }
        let refused = request.extensions().get::<RefusedHead>();
        let line = Box::new(AccessEntry {
            id: id.clone(),
            trace_id: TraceId::of(request.headers()),
            method: refused.map_or_else(|| Some(request.method().clone()), |head| head.method.clone()),
            path: LoggedPath::new(request.uri(), refused),
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
            recording: recording.clone(),
            #[cfg(feature = "otlp")]
            span,
        });
        let present = self.layer.metrics.in_flight();
        let request = IdentifiedRequest { request, id, recording };
        LoggedAnswer { answer: self.inner.call(request), account: Some((line, present)) }
    }
}

// A named type instead of a boxed future: this took 3 % of the CPU of a small GET away.
pin_project! {
    /// An answer that is being made. It is dropped when its client leaves early.
    #[derive(Debug)]
    pub struct LoggedAnswer<F> {
        #[pin]
        answer: F,
        // Boxed, since it moves with the response through every layer and into hyper.
        account: Option<(Box<AccessEntry>, GaugeGuard)>,
    }
}

impl<F> Future for LoggedAnswer<F>
where
    F: Future<Output = Result<Answer, Infallible>>,
{
    type Output = Result<Response<LoggedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context))?;
        let (mut line, present) = this.account.take().expect("a future is polled to its end once");
        let response = line.take_over(answer);
        Poll::Ready(Ok(response.map(|body| LoggedBody { body, line, _in_flight: present })))
    }
}

/// The line in the log. It is written when the entry is dropped, so that no end of a request goes unlogged.
#[derive(Debug)]
struct AccessEntry {
    id: RequestId,
    trace_id: Option<TraceId>,
    /// Absent when the head was refused and had none.
    method: Option<Method>,
    path: LoggedPath,
    start: Instant,
    head: Duration,
    /// Absent until there is an answer.
    status: Option<StatusCode>,
    outcome: Outcome,
    code: Option<&'static str>,
    own: bool,
    bytes: u64,
    /// Whether hyper has taken the whole answer.
    ended: bool,
    /// How the body of the answer failed.
    broken: Option<AbortReason>,
    connection_end: Option<ConnectionEnd>,
    metrics: Arc<Metrics>,
    recording: Option<Recording>,
    #[cfg(feature = "otlp")]
    span: Option<Span>,
}

impl AccessEntry {
    fn take_over(&mut self, answer: Answer) -> Response<Body> {
        let Answer { response, outcome, code, own } = answer;
        self.head = self.start.elapsed();
        self.status = Some(response.status());
        (self.outcome, self.code, self.own) = (outcome, code, own);
        // hyper does not poll a body that is not sent, so that it never reports its end.
        self.ended = self.method == Some(Method::HEAD);
        if let Some(recording) = &self.recording {
            recording.response(response.status(), response.headers(), self.origin());
        }
        self.count();
        response
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
            request.path = self.path.as_str(),
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

/// A response body whose request is logged when the body has ended or is dropped.
#[derive(Debug)]
pub struct LoggedBody {
    /// Dropped first, so that the request's line stands above the one that explains a gateway's 403.
    line: Box<AccessEntry>,
    body: Body,
    _in_flight: GaugeGuard,
}

impl Drop for AccessEntry {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.count();
        }
        self.write();
        if let Some(recording) = &self.recording {
            let total = self.start.elapsed();
            let receive = self.status.map(|_| total.saturating_sub(self.head));
            let ending = Ending { aborted: self.aborted().map(AbortReason::as_str), code: self.code };
            recording.end(ending, total, receive);
        }
        #[cfg(feature = "otlp")]
        if let Some(span) = self.span.take() {
            self.end(span);
        }
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        self.line.ended |= self.body.is_end_stream();
    }
}

impl HttpBody for LoggedBody {
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
                if let (Some(recording), Some(data)) = (&self.line.recording, frame.data_ref()) {
                    recording.chunk(data);
                }
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
