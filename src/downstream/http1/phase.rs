//! Whose turn it is on a connection: the client's, to send a request, or ours, to answer it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Service, ServiceExt, util::Oneshot};

use super::refused_head::RefusedHead;

/// What the gate and the service of one connection tell each other. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub(in crate::downstream) struct ConnectionPhase(Arc<Mutex<State>>);

/// What ended a connection in the middle of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The client, which closed or reset it.
    Client,
    /// The limit on how long a client may take nothing of its answer.
    WriteTimeout,
    /// The server, which stops.
    Server,
}

/// Tells the service of a connection how that has ended.
#[derive(Clone, Debug)]
pub struct ConnectionEnd(ConnectionPhase);

impl ConnectionEnd {
    pub(in crate::downstream) fn of(phase: &ConnectionPhase) -> Self {
        Self(phase.clone())
    }

    /// What has ended the connection, if anything has: only the server ends one without saying so.
    #[must_use]
    pub fn ended_by(&self) -> EndedBy {
        self.0.lock().ended_by.unwrap_or(EndedBy::Server)
    }
}

/// Among the extensions of an answer: it is a few lines long. A client that does not read one gives way to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortAnswer;

/// How a client keeps its answer from being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::downstream) enum Stall {
    /// It does not read.
    NotReading,
    /// It still sends the body of a request that is refused.
    Sending,
}

#[derive(Debug)]
struct State {
    /// For the call that answers it. The library calls the service for one head at a time and in order,
    /// and the gate gives it the next head only when it asks for more: one place is enough.
    refused: Option<RefusedHead>,
    ours: bool,
    /// Whether there has been a request at all.
    used: bool,
    /// When the client's turn began again, until the gate has heard of it.
    began: Option<Instant>,
    /// When the client's turn began.
    idle_since: Instant,
    /// Since when the client keeps its answer from being sent, and how.
    stalled: Option<(Instant, Stall)>,
    /// Whether some of the body of the request that is answered has not been read.
    in_body: bool,
    /// Whether the answer is a [`ShortAnswer`].
    short: bool,
    /// Since when an answer is sent whose length is not declared: nobody knows when it ends.
    open_ended_since: Option<Instant>,
    /// Since when the connection has only been kept for the client to read the last answer.
    lingering_since: Option<Instant>,
    /// What has ended the connection, before what is under way on it is dropped.
    ended_by: Option<EndedBy>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            refused: None,
            ours: false,
            used: false,
            began: None,
            idle_since: Instant::now(),
            stalled: None,
            in_body: false,
            short: false,
            open_ended_since: None,
            lingering_since: None,
            ended_by: None,
        }
    }
}

impl ConnectionPhase {
    pub(in crate::downstream) fn refuse(&self, head: RefusedHead) {
        self.lock().refused = Some(head);
    }

    pub(in crate::downstream) fn take_refused(&self) -> Option<RefusedHead> {
        self.lock().refused.take()
    }

    /// Whether a request is being answered.
    pub(in crate::downstream) fn is_ours(&self) -> bool {
        self.lock().ours
    }

    /// When the client's turn began, told once.
    pub(in crate::downstream) fn take_beginning(&self) -> Option<Instant> {
        self.lock().began.take()
    }

    /// Whether a request has been taken up on this connection.
    pub(in crate::downstream) fn is_used(&self) -> bool {
        self.lock().used
    }

    /// Since when the client could have sent a request and has not; `None` while an answer is made or sent.
    pub(in crate::downstream) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (!state.ours && state.stalled.is_none()).then_some(state.idle_since)
    }

    /// Since when and how the client keeps its answer from being sent.
    pub(in crate::downstream) fn stalled(&self) -> Option<(Instant, Stall)> {
        self.lock().stalled
    }

    /// Notes whether the client keeps its answer from being sent.
    pub(in crate::downstream) fn set_stalled(&self, stall: Option<Stall>) {
        let mut state = self.lock();
        state.stalled = stall.map(|stall| (Instant::now(), stall));
    }

    /// Whether the answer that is sent is a [`ShortAnswer`].
    pub(in crate::downstream) fn is_answer_short(&self) -> bool {
        self.lock().short
    }

    fn set_answer_short(&self, short: bool) {
        self.lock().short = short;
    }

    /// Since when an answer without a declared length is sent.
    pub(in crate::downstream) fn open_ended_since(&self) -> Option<Instant> {
        self.lock().open_ended_since
    }

    fn set_open_ended(&self, open_ended: bool) {
        self.lock().open_ended_since = open_ended.then(Instant::now);
    }

    /// Notes whether some of a request's body has not been read.
    pub(in crate::downstream) fn set_in_body(&self, in_body: bool) {
        self.lock().in_body = in_body;
    }

    pub(in crate::downstream) fn is_in_body(&self) -> bool {
        self.lock().in_body
    }

    /// Notes that the last answer has been sent, and that what the client still sends is thrown away.
    pub(in crate::downstream) fn linger(&self) {
        self.lock().lingering_since = Some(Instant::now());
    }

    /// Since when what the client sends has been thrown away.
    pub(in crate::downstream) fn lingering_since(&self) -> Option<Instant> {
        self.lock().lingering_since
    }

    /// Notes what ends the connection; what came first counts.
    pub(in crate::downstream) fn end(&self, by: EndedBy) {
        self.lock().ended_by.get_or_insert(by);
    }

    pub(in crate::downstream) fn begin_ours(&self) {
        let mut state = self.lock();
        state.ours = true;
        state.used = true;
    }

    pub(in crate::downstream) fn begin_clients(&self) {
        let mut state = self.lock();
        state.ours = false;
        state.open_ended_since = None;
        state.idle_since = Instant::now();
        state.began = Some(state.idle_since);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that takes turns: it puts the [`RefusedHead`] into the extensions of the request that stands for it, and
/// its turn lasts until the body of its answer has been sent.
#[derive(Clone, Debug)]
pub(in crate::downstream) struct PhaseService<S> {
    inner: S,
    phase: ConnectionPhase,
}

impl<S> PhaseService<S> {
    pub(in crate::downstream) fn new(inner: S, phase: ConnectionPhase) -> Self {
        Self { inner, phase }
    }
}

impl<S, R, B> hyper::service::Service<Request<R>> for PhaseService<S>
where
    S: Service<Request<R>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Pending<Oneshot<S, Request<R>>>;

    /// Takes the refused head at once: before the future is polled, the library may read the next head.
    fn call(&self, mut request: Request<R>) -> Self::Future {
        self.phase.begin_ours();
        if let Some(mut head) = self.phase.take_refused() {
            if let Some(id) = head.request_id.take() {
                request.headers_mut().insert("x-request-id", id);
            }
            request.extensions_mut().insert(head);
        }
        let end = EndOfExchange(self.phase.clone());
        Pending { answer: self.inner.clone().oneshot(request), end: Some(end) }
    }
}

pin_project! {
    /// An answer that is being made.
    pub(in crate::downstream) struct Pending<F> {
        #[pin]
        answer: F,
        end: Option<EndOfExchange>,
    }
}

impl<F, B, E> Future for Pending<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(context))?;
        let end = this.end.take().expect("a future is polled to its end once");
        end.0.set_answer_short(response.extensions_mut().remove::<ShortAnswer>().is_some());
        end.0.set_open_ended(response.body().size_hint().exact().is_none());
        // What is left of the body is thrown away, and so would be a request behind it.
        if end.0.is_in_body() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| Answer { body, _end: end })))
    }
}

#[derive(Debug)]
struct EndOfExchange(ConnectionPhase);

impl Drop for EndOfExchange {
    fn drop(&mut self) {
        self.0.begin_clients();
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(in crate::downstream) struct Answer<B> {
    body: B,
    _end: EndOfExchange,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
