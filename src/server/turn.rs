//! Whose turn it is on a connection: the client's, to send a request, or ours, to answer it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Service, ServiceExt, util::Oneshot};

use super::head::Violation;

/// What the gate and the service of one connection tell each other. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// For the call that answers it. The library calls the service for one head at a time and in order,
    /// and the gate gives it the next head only when it asks for more: one place is enough.
    violation: Option<Violation>,
    ours: bool,
    /// Whether there has been a request at all.
    used: bool,
    /// When the client's turn began again, until the gate has heard of it.
    began: Option<Instant>,
}

impl Turn {
    pub(super) fn refuse(&self, violation: Violation) {
        self.lock().violation = Some(violation);
    }

    pub(super) fn take_violation(&self) -> Option<Violation> {
        self.lock().violation.take()
    }

    /// Whether a request is being answered.
    pub(super) fn is_ours(&self) -> bool {
        self.lock().ours
    }

    /// When the client's turn began, told once.
    pub(super) fn take_beginning(&self) -> Option<Instant> {
        self.lock().began.take()
    }

    /// Whether a request has been taken up on this connection.
    pub(super) fn is_used(&self) -> bool {
        self.lock().used
    }

    fn begin_ours(&self) {
        let mut state = self.lock();
        state.ours = true;
        state.used = true;
    }

    fn begin_clients(&self) {
        let mut state = self.lock();
        state.ours = false;
        state.began = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that takes turns: it puts the [`Violation`] of a refused head into the extensions of the
/// request that stands for it, and its turn lasts until the body of its answer has been sent.
#[derive(Clone, Debug)]
pub(super) struct Answering<S> {
    inner: S,
    turn: Turn,
}

impl<S> Answering<S> {
    pub(super) fn new(inner: S, turn: Turn) -> Self {
        Self { inner, turn }
    }
}

impl<S, R, B> hyper::service::Service<Request<R>> for Answering<S>
where
    S: Service<Request<R>, Response = Response<B>> + Clone,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Pending<Oneshot<S, Request<R>>>;

    /// Takes the violation at once: before the future is polled, the library may read the next head.
    fn call(&self, mut request: Request<R>) -> Self::Future {
        self.turn.begin_ours();
        if let Some(violation) = self.turn.take_violation() {
            request.extensions_mut().insert(violation);
        }
        let end = EndOfTurn(self.turn.clone());
        Pending { answer: self.inner.clone().oneshot(request), end: Some(end) }
    }
}

pin_project! {
    /// An answer that is being made.
    pub(super) struct Pending<F> {
        #[pin]
        answer: F,
        end: Option<EndOfTurn>,
    }
}

impl<F, B, E> Future for Pending<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(context))?;
        let end = this.end.take().expect("a future is polled to its end once");
        Poll::Ready(Ok(response.map(|body| Answer { body, _end: end })))
    }
}

#[derive(Debug)]
struct EndOfTurn(Turn);

impl Drop for EndOfTurn {
    fn drop(&mut self) {
        self.0.begin_clients();
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    _end: EndOfTurn,
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
