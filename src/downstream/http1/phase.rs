//! The phase of a connection: it waits for the client's next request, or it answers one.

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
use crate::downstream::upgrade::Upgrade;

/// The phase of one connection, which its filter, its service and its socket share. Clones are the same phase.
// A lock, since the acceptor reads it from another thread to choose a connection to evict.
#[derive(Clone, Debug, Default)]
pub(in crate::downstream) struct ConnectionPhase(Arc<Mutex<State>>);

/// What ended a connection in the middle of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The client closed or reset it.
    Client,
    /// The client read nothing of its answer for too long.
    WriteTimeout,
    /// The server is shutting down.
    Server,
}

/// Lets the service of a connection find out what ended it.
#[derive(Clone, Debug)]
pub struct ConnectionEnd(ConnectionPhase);

impl ConnectionEnd {
    pub(in crate::downstream) fn of(phase: &ConnectionPhase) -> Self {
        Self(phase.clone())
    }

    /// What ended the connection. When nothing was recorded, the server dropped it.
    #[must_use]
    pub fn ended_by(&self) -> EndedBy {
        self.0.lock().ended_by.unwrap_or(EndedBy::Server)
    }
}

/// An extension of responses that are a few lines long. The connection of a client that does not read one may be
/// evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortAnswer;

/// An extension of responses to a request whose body goes on being read. Other answers in the middle of a body are
/// refusals, before which the rest of the body is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyInUse;

/// An extension of requests that ask for a WebSocket. What follows one on its connection is held until its answer is
/// decided: it goes to the [`Upgrade`] of that answer, and without one it is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeOffer;

/// How a client keeps its answer from being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::downstream) enum WriteStall {
    /// It does not read.
    NotReading,
    /// It still sends the body of a request that was refused.
    StillSending,
}

#[derive(Debug)]
struct State {
    /// Waits for the service call that answers it. One place is enough: hyper calls the service for one head at a time
    /// and in order, and the filter passes the next head only when hyper asks for more.
    refused: Option<RefusedHead>,
    is_answering: bool,
    /// Whether there has been a request at all.
    is_used: bool,
    /// When the last answer ended, until the filter has restarted its timer by it.
    idle_start: Option<Instant>,
    /// When the connection began to wait for a request.
    idle_since: Instant,
    /// Since when the client keeps its answer from being sent, and how.
    stalled: Option<(Instant, WriteStall)>,
    /// Whether a part of the request body has not been read.
    is_in_body: bool,
    /// Whether the answer came with [`BodyInUse`].
    is_body_in_use: bool,
    /// Whether the answer is a [`ShortAnswer`].
    is_answer_short: bool,
    /// Since when an answer without a declared length is being sent: nobody knows when it ends.
    open_ended_since: Option<Instant>,
    /// Since when the connection is only kept so that the client can read its last answer.
    lingering_since: Option<Instant>,
    /// Whether the last request asks for a WebSocket.
    is_upgrade_offered: bool,
    /// What the connection is for after HTTP.
    upgrade: Option<Upgrade>,
    /// Must be set before the exchange is dropped: that writes its log line, which names the cause.
    ended_by: Option<EndedBy>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            refused: None,
            is_answering: false,
            is_used: false,
            idle_start: None,
            idle_since: Instant::now(),
            stalled: None,
            is_in_body: false,
            is_body_in_use: false,
            is_answer_short: false,
            open_ended_since: None,
            lingering_since: None,
            is_upgrade_offered: false,
            upgrade: None,
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
    pub(in crate::downstream) fn is_answering(&self) -> bool {
        self.lock().is_answering
    }

    /// When the last answer ended; `None` when that has been taken before.
    pub(in crate::downstream) fn take_idle_start(&self) -> Option<Instant> {
        self.lock().idle_start.take()
    }

    /// Whether there has been a request on this connection.
    pub(in crate::downstream) fn is_used(&self) -> bool {
        self.lock().is_used
    }

    /// Since when the connection waits for a request; `None` while it answers one.
    pub(in crate::downstream) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        // A client that has not read the end of its last answer is not idle either.
        (!state.is_answering && state.stalled.is_none()).then_some(state.idle_since)
    }

    /// Since when and how the client keeps its answer from being sent.
    pub(in crate::downstream) fn stalled(&self) -> Option<(Instant, WriteStall)> {
        self.lock().stalled
    }

    /// Notes whether the client keeps its answer from being sent.
    pub(in crate::downstream) fn set_stalled(&self, stall: Option<WriteStall>) {
        let mut state = self.lock();
        state.stalled = stall.map(|stall| (Instant::now(), stall));
    }

    /// Whether the answer that is sent is a [`ShortAnswer`].
    pub(in crate::downstream) fn is_answer_short(&self) -> bool {
        self.lock().is_answer_short
    }

    pub(in crate::downstream) fn set_answer_short(&self, short: bool) {
        self.lock().is_answer_short = short;
    }

    /// Since when an answer without a declared length is sent.
    pub(in crate::downstream) fn open_ended_since(&self) -> Option<Instant> {
        self.lock().open_ended_since
    }

    fn set_open_ended(&self, open_ended: bool) {
        self.lock().open_ended_since = open_ended.then(Instant::now);
    }

    /// Notes whether a part of the request body has not been read.
    pub(in crate::downstream) fn set_in_body(&self, in_body: bool) {
        self.lock().is_in_body = in_body;
    }

    pub(in crate::downstream) fn is_in_body(&self) -> bool {
        self.lock().is_in_body
    }

    /// Whether the rest of the body is read while the answer is sent.
    pub(in crate::downstream) fn is_body_in_use(&self) -> bool {
        self.lock().is_body_in_use
    }

    fn set_body_in_use(&self, in_use: bool) {
        self.lock().is_body_in_use = in_use;
    }

    /// Notes that the last answer has been sent and that further input is discarded.
    pub(in crate::downstream) fn linger(&self) {
        self.lock().lingering_since = Some(Instant::now());
    }

    /// Since when input has been discarded after the last answer.
    pub(in crate::downstream) fn lingering_since(&self) -> Option<Instant> {
        self.lock().lingering_since
    }

    /// Notes that a request asks for a WebSocket. No other request follows it.
    pub(in crate::downstream) fn set_upgrade_offered(&self) {
        self.lock().is_upgrade_offered = true;
    }

    /// Whether a request asks for a WebSocket.
    pub(in crate::downstream) fn is_upgrade_offered(&self) -> bool {
        self.lock().is_upgrade_offered
    }

    /// What the connection is for after HTTP, if the last answer has left HTTP.
    pub(in crate::downstream) fn take_upgrade(&self) -> Option<Upgrade> {
        self.lock().upgrade.take()
    }

    /// Notes what ends the connection. The first cause stays: a client that is cut off for not reading also seems to
    /// close.
    pub(in crate::downstream) fn end(&self, by: EndedBy) {
        self.lock().ended_by.get_or_insert(by);
    }

    pub(in crate::downstream) fn begin_exchange(&self) {
        let mut state = self.lock();
        state.is_answering = true;
        state.is_body_in_use = false;
        state.is_used = true;
    }

    /// Counts as answering until the guard is dropped.
    pub(in crate::downstream) fn exchange(&self) -> ExchangeGuard {
        self.begin_exchange();
        ExchangeGuard(self.clone())
    }

    pub(in crate::downstream) fn end_exchange(&self) {
        let mut state = self.lock();
        state.is_answering = false;
        state.open_ended_since = None;
        state.idle_since = Instant::now();
        state.idle_start = Some(state.idle_since);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the [`ConnectionPhase`]: an exchange lasts from the call until the body of the response has been sent. It also
/// puts the [`RefusedHead`] into the extensions of its replacement.
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
    type Response = Response<ExchangeBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<Oneshot<S, Request<R>>>;

    /// Takes the refused head before the future is polled: hyper may read the next head before that.
    fn call(&self, mut request: Request<R>) -> Self::Future {
        // In the call and not in the future, so that hyper's next read finds the phase changed.
        self.phase.begin_exchange();
        if let Some(mut head) = self.phase.take_refused() {
            if let Some(id) = head.request_id.take() {
                request.headers_mut().insert("x-request-id", id);
            }
            request.extensions_mut().insert(head);
        }
        if self.phase.is_upgrade_offered() {
            request.extensions_mut().insert(UpgradeOffer);
        }
        let exchange = ExchangeGuard(self.phase.clone());
        ResponseFuture { response: self.inner.clone().oneshot(request), exchange: Some(exchange) }
    }
}

pin_project! {
    /// The future of [`PhaseService`].
    pub(in crate::downstream) struct ResponseFuture<F> {
        #[pin]
        response: F,
        exchange: Option<ExchangeGuard>,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ExchangeBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(context))?;
        let exchange = this.exchange.take().expect("a future is polled to its end once");
        exchange.0.set_answer_short(response.extensions_mut().remove::<ShortAnswer>().is_some());
        exchange.0.set_body_in_use(response.extensions_mut().remove::<BodyInUse>().is_some());
        exchange.0.set_open_ended(response.body().size_hint().exact().is_none());
        // The filter discards the rest of the body, and would discard a request behind it too: the client must not send
        // one. The same holds for the rest that a body in use has when the response ends.
        // So does what follows a handshake that has another answer than 101.
        let upgrade = response.extensions_mut().remove::<Upgrade>();
        let is_refused = exchange.0.is_upgrade_offered() && upgrade.is_none();
        exchange.0.lock().upgrade = upgrade;
        if exchange.0.is_in_body() || is_refused {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| ExchangeBody { body, _exchange: exchange })))
    }
}

/// Ends the exchange when it is dropped, also when hyper drops a response in the middle.
#[derive(Debug)]
pub(in crate::downstream) struct ExchangeGuard(ConnectionPhase);

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        self.0.end_exchange();
    }
}

/// The body of a response. The exchange ends with it.
#[derive(Debug)]
pub(in crate::downstream) struct ExchangeBody<B> {
    body: B,
    _exchange: ExchangeGuard,
}

impl<B: Body + Unpin> Body for ExchangeBody<B> {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Empty;
    use hyper::service::Service as _;
    use tokio::time::{Duration, advance};
    use tower::service_fn;

    use super::*;
    use crate::downstream::HeadError;

    #[tokio::test(start_paused = true)]
    async fn our_turn_lasts_until_the_answer_has_been_sent() {
        let phase = ConnectionPhase::default();
        let answering = PhaseService::new(
            service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Empty::<&[u8]>::new()))),
            phase.clone(),
        );
        assert!(!phase.is_answering() && !phase.is_used());
        let Ok(answer) = answering.call(Request::new(())).await;
        advance(Duration::from_secs(1)).await;
        assert!(phase.is_answering() && phase.is_used() && phase.idle_since().is_none());
        drop(answer);
        assert_eq!((phase.is_answering(), phase.idle_since()), (false, Some(Instant::now())));
        assert_eq!(phase.take_idle_start(), Some(Instant::now()));
        assert_eq!(phase.take_idle_start(), None, "it is told once");
    }

    #[tokio::test]
    async fn an_answer_is_short_when_its_service_says_so() {
        for is_short in [true, false] {
            let service = service_fn(async |_: Request<()>| {
                let mut response = Response::new(Empty::<&[u8]>::new());
                if is_short {
                    response.extensions_mut().insert(ShortAnswer);
                }
                Ok::<_, Infallible>(response)
            });
            let phase = ConnectionPhase::default();
            let Ok(_answer) = PhaseService::new(service, phase.clone()).call(Request::new(())).await;
            assert_eq!(phase.is_answer_short(), is_short);
        }
    }

    #[tokio::test]
    async fn an_answer_in_the_middle_of_a_body_ends_the_connection() {
        for in_body in [true, false] {
            let phase = ConnectionPhase::default();
            phase.set_in_body(in_body);
            let service =
                service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Empty::<&[u8]>::new())));
            let Ok(answer) = PhaseService::new(service, phase).call(Request::new(())).await;
            assert_eq!(answer.headers().get("connection").is_some_and(|value| value == "close"), in_body);
        }
    }

    #[tokio::test]
    async fn a_handshake_is_marked_and_any_other_answer_than_101_ends_the_connection() {
        for agrees in [true, false] {
            let service = service_fn(move |request: Request<()>| async move {
                let mut response = Response::new(Empty::<&[u8]>::new());
                if agrees && request.extensions().get::<UpgradeOffer>().is_some() {
                    response.extensions_mut().insert(Upgrade::new(async |_| {}));
                }
                Ok::<_, Infallible>(response)
            });
            let phase = ConnectionPhase::default();
            phase.set_upgrade_offered();
            let Ok(answer) = PhaseService::new(service, phase.clone()).call(Request::new(())).await;
            assert_eq!(answer.headers().get("connection").is_some_and(|value| value == "close"), !agrees);
            assert_eq!(phase.take_upgrade().is_some(), agrees);
        }
    }

    #[tokio::test]
    async fn the_request_that_stands_for_a_refused_head_has_its_id() {
        let phase = ConnectionPhase::default();
        phase.refuse(RefusedHead::of(b"GET /a b HTTP/1.1\r\nx-request-id: 7\r\n\r\n", HeadError::Slow));
        let service = service_fn(async |request: Request<()>| {
            let head = request.extensions().get::<RefusedHead>().map(|head| head.path.clone());
            let id = request.headers().get("x-request-id").cloned();
            let mut response = Response::new(Empty::<&[u8]>::new());
            response.extensions_mut().insert((head, id));
            Ok::<_, Infallible>(response)
        });
        let Ok(answer) = PhaseService::new(service, phase).call(Request::new(())).await;
        let seen = answer.extensions().get::<(Option<String>, Option<HeaderValue>)>();
        assert_eq!(seen, Some(&(Some("/a".to_owned()), Some(HeaderValue::from_static("7")))));
    }
}
