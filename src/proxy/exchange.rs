//! One request of a client, from admission to the head of its answer: admit, plan, body, attempts, rewrite.
//!
//! 1. [`Guard::admit`] decides who may ask, before any byte of the body is read and before credentials are touched.
//! 2. `Planner::plan` chooses the route, the target at the upstream and the headers that go along.
//! 3. [`Budget::collect`] reads and hashes the body, which SigV4 needs before the first byte is sent, unless the route
//!    leaves bodies unsigned: then the body streams.
//! 4. `Sender::send` signs and sends, again where another attempt is safe.
//! 5. `response::rewrite` makes the upstream's answer one of the proxy's origin.

use std::{mem, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header, request::Parts};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tracing::warn;

use super::{
    admission::{Audience, BrowserPolicy, Guard, Refusal, is_handshake},
    attempt::refusal_logger,
    error::{Client, ErrorFormat, ProxyError},
    meaning::Meaning,
    outcome::Outcome,
    request::{body::Budget, plan::Ready, route::BuildError},
    request_id::RequestId,
    response::{self, body::Body},
    settings::Settings,
    signing_client::SigningClient,
};
use crate::{
    clock::Clock,
    credentials::channel::Receiver,
    downstream::{
        BodyInUse,
        listener::{Endpoints, Owner},
    },
    telemetry::metrics::{Limit, Metrics},
};

/// The longest `Origin` or `Host` of a refused request that is logged, in bytes.
const MAX_LOGGED_NAME: usize = 255;

/// The state that all requests of a worker share.
#[derive(Debug)]
pub struct Proxy {
    guard: Arc<Guard>,
    pub(super) client: SigningClient,
    budget: Budget,
    /// Places for requests that wait for the upstream's answer, over all workers.
    pub(super) in_flight: Arc<Semaphore>,
    /// Places for WebSockets, over all workers.
    pub(super) tunnels: Arc<Semaphore>,
    /// How long a WebSocket may be silent.
    pub(super) websocket_idle: Duration,
    metrics: Arc<Metrics>,
}

/// The answer to a request or the reason for its failure, and who may read it.
pub(super) struct Exchange {
    pub(super) result: Result<Response<Body>, ProxyError>,
    pub(super) audience: Audience,
    /// The form of error that the client can read.
    pub(super) format: ErrorFormat,
}

impl Proxy {
    /// Answers one request that came over a connection with these endpoints.
    ///
    /// An error stays an error here: [`super::service`] is the one place that makes an answer of it.
    ///
    /// The headers of `parts` are taken, the rest stays. `parts` and `outcome` are borrowed, since an async function
    /// has two places in its state for what it gets by value: together with the other borrows on this path, that halved
    /// the state of a request, which had 7,200 bytes.
    pub(super) async fn exchange(
        &self,
        parts: &mut Parts,
        body: Incoming,
        endpoints: &Endpoints,
        id: &RequestId,
        outcome: &mut Outcome,
    ) -> Exchange {
        let routes = &self.client.planner.routes;
        let client = if routes.has_protocol { Client::of(parts) } else { Client::default() };
        let mut host = parts.headers.get(header::HOST).cloned();
        let (result, audience) = match self.guard.admit(parts, endpoints) {
            Err(refusal) => {
                self.report(&refusal, &parts.headers, id);
                (Err(refusal.into()), self.guard.audience_of_refusal(parts))
            }
            // Answered here: which pages may call the proxy is decided by its settings, not by the API.
            Ok(audience) if audience.preflight => (Ok(response::preflight(&parts.headers)), audience),
            Ok(audience) => {
                complete_host(parts, &mut host);
                let result = if is_handshake(parts) {
                    // Boxed, so that the state of other requests does not grow by it.
                    Box::pin(self.websocket(parts, host.as_ref(), id, outcome)).await
                } else {
                    self.forward(parts, body, host.as_ref(), id, outcome).await
                };
                (result, audience)
            }
        };
        let format = match &result {
            Err(_) => ErrorFormat::of(routes.protocol(parts.uri.path(), host.as_ref()), client),
            Ok(_) => ErrorFormat::Problem,
        };
        Exchange { result, audience, format }
    }

    /// Forwards an admitted request. `client_host` is the name that the client used.
    async fn forward(
        &self,
        parts: &mut Parts,
        body: Incoming,
        client_host: Option<&HeaderValue>,
        id: &RequestId,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        let ready = self.ready(parts, body).await?;
        if let Some(recording) = &outcome.recording {
            recording.received(&ready.unsigned.headers, ready.recorded_body());
        }
        // After a collected body: a client that is slow to send then occupies its connection only, not a place in
        // flight. A body that streams occupies a connection of the upstream from its first byte, and a place with it.
        let _place = self.in_flight.try_acquire().map_err(|_| ProxyError::Overloaded(Limit::InFlight))?;
        let sent = self.client.sender.send(&ready, outcome).await?;
        let sent = refusal_logger::watch(sent, &ready, id.as_str(), outcome.recording.as_ref());
        // Planning has replaced Host by the upstream's; a redirect has to lead back to the name that the client used.
        let mut response = response::rewrite(sent.response, &ready, client_host);
        if ready.streamed.is_some() {
            response.extensions_mut().insert(BodyInUse);
        }
        ready.recycle();
        Ok(response)
    }

    /// The request with its route, its headers and its body, which signing needs.
    async fn ready(&self, parts: &mut Parts, body: Incoming) -> Result<Ready<'_>, ProxyError> {
        let (method, headers) = (parts.method.clone(), mem::take(&mut parts.headers));
        let mut plan = self.client.planner.plan(method, parts.uri.path(), parts.uri.query(), headers)?;
        let body = plan.client_body(body);
        if plan.streams(&body) {
            return Ok(plan.with_stream(self.budget.stream(body)?));
        }
        let (payload, trailers) = self.budget.collect(body).await?;
        Ok(plan.with_payload(payload, &trailers))
    }

    /// Counts and logs a refusal. The page's origin and the name in Host tell a person which program asked: a page
    /// sees no more of this answer than the browser's own CORS error.
    fn report(&self, refusal: &Refusal, headers: &HeaderMap, id: &RequestId) {
        self.metrics.rejected(refusal.reason());
        // A header may hold anything, a password before "@" included: only what reads as a name is logged.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-_[]".contains(&byte);
        let named = |header| {
            let value: &str = headers.get(header).and_then(|value: &HeaderValue| value.to_str().ok())?;
            (value.len() <= MAX_LOGGED_NAME && value.bytes().all(is_name)).then_some(value)
        };
        let meaning = Meaning::of_error(&ProxyError::from(refusal.clone()));
        warn!(
            request.id = id.as_str(),
            reason = refusal.reason(),
            detail = %refusal,
            meaning = meaning.name,
            cause = meaning.cause,
            cure = meaning.cure,
            origin = named(header::ORIGIN),
            host = named(header::HOST),
            "request refused"
        );
    }

    /// How answers to browsers are marked.
    pub(super) fn browser_policy(&self) -> BrowserPolicy {
        self.guard.browser_policy()
    }

    /// The counters of refusals and reached limits.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Decides about a connection by the user who holds its other end, before anything is read from it.
    ///
    /// # Errors
    /// When that user may not ask: the bytes are the whole answer to the connection, head included.
    pub fn admit_owner(&self, owner: Owner) -> Result<(), Bytes> {
        self.guard.admit_owner(owner).map_err(|refusal| {
            self.metrics.rejected(refusal.reason());
            let user = if let Owner::Other(user) = owner { Some(user) } else { None };
            let error = ProxyError::from(refusal);
            warn!(user.id = user, detail = %error, "connection refused");
            error.whole_answer()
        })
    }

    /// A proxy as `settings` describe it, which signs with the credentials that `credentials` receives.
    ///
    /// # Errors
    /// When trusted roots are missing or cannot be read.
    pub fn new(
        settings: &Settings,
        budget: Budget,
        credentials: Receiver,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            guard: Arc::new(Guard::new(&settings.guard)),
            client: SigningClient::new(settings, credentials, clock, Arc::clone(&metrics))?,
            budget,
            in_flight: Arc::new(places(settings.limits.max_in_flight)),
            // Each is one of the connections.
            tunnels: Arc::new(places(settings.limits.max_tunnels.min(settings.limits.max_connections))),
            websocket_idle: settings.timeouts.websocket_idle,
            metrics,
        })
    }

    /// A proxy as other `settings` describe it. It shares this one's budget and places in flight, so that a reload
    /// does not double the memory; of the limits only `max_body` changes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn renewed(&self, settings: &Settings) -> Result<Self, BuildError> {
        Ok(Self {
            guard: Arc::new(Guard::new(&settings.guard)),
            client: self.client.renewed(settings)?,
            budget: self.budget.with_max_body(settings.limits.max_body),
            in_flight: Arc::clone(&self.in_flight),
            tunnels: Arc::clone(&self.tunnels),
            websocket_idle: settings.timeouts.websocket_idle,
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// The same proxy for another worker, where it replaces `previous` and keeps its upstream connections.
    pub(super) fn successor(&self, previous: &Self) -> Self {
        let mut successor = self.sibling();
        successor.client.keep_connections_of(&previous.client);
        successor
    }

    /// The same proxy for another worker: the limits are shared, the upstream connections are not. A connection stays
    /// on the thread that made it, so that no lock is taken for it. A runtime for each core and two changes of
    /// `downstream` and `telemetry` took 10 % of the CPU of a small GET away.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self {
            guard: Arc::clone(&self.guard),
            client: self.client.sibling(),
            budget: self.budget.clone(),
            in_flight: Arc::clone(&self.in_flight),
            tunnels: Arc::clone(&self.tunnels),
            websocket_idle: self.websocket_idle,
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// Gives a request without a Host the authority of its target, which HTTP/1.0 allows.
fn complete_host(parts: &mut Parts, host: &mut Option<HeaderValue>) {
    if let (None, Some(authority)) = (&host, parts.uri.authority()) {
        *host = HeaderValue::from_str(authority.as_str()).ok();
        parts.headers.extend(host.clone().map(|host| (header::HOST, host)));
    }
}

fn places(limit: usize) -> Semaphore {
    Semaphore::new(limit.min(Semaphore::MAX_PERMITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a method returns.
    fn size_of_future<'a, T: 'a, A, F>(_method: impl FnOnce(&'a T, A) -> F) -> usize {
        size_of::<F>()
    }

    // It is moved into its slot for each request. A future that is added to the path shows here with its whole size.
    #[test]
    fn the_state_of_a_request_stays_small() {
        type Arguments<'a> = (&'a mut Parts, Incoming, &'a Endpoints, &'a RequestId, &'a mut Outcome);
        let size = size_of_future(|proxy: &Proxy, (parts, body, endpoints, id, outcome): Arguments<'_>| {
            proxy.exchange(parts, body, endpoints, id, outcome)
        });
        assert!(size <= 3_500, "{size} bytes");
    }
}
