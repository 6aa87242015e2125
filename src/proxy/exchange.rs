//! One request of a client, from admission to the head of its answer: admit, plan, body, attempts, rewrite.
//!
//! 1. [`Guard::admit`] decides who may ask, before any byte of the body is read and before credentials are touched.
//! 2. `Planner::plan` chooses the route, the target at the upstream and the headers that go along.
//! 3. [`Budget::collect`] reads and hashes the body, which SigV4 needs before the first byte is sent, unless the route
//!    leaves bodies unsigned: then the body streams.
//! 4. `Sender::send` signs and sends, again where another attempt is safe.
//! 5. `response::rewrite` makes the upstream's answer one of the proxy's origin.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tracing::warn;

use super::{
    admission::{Audience, BrowserPolicy, Guard, Refusal},
    attempt::refusal_logger,
    error::{Client, ErrorFormat, ProxyError},
    meaning::Meaning,
    outcome::Outcome,
    request::{body::Budget, route::BuildError},
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
    client: SigningClient,
    budget: Budget,
    /// Places for requests that wait for the upstream's answer, over all workers.
    in_flight: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// The answer to a request or the reason for its failure, and who may read it.
pub(super) struct Exchange {
    pub(super) result: Result<Response<Body>, ProxyError>,
    pub(super) outcome: Outcome,
    pub(super) audience: Audience,
    /// The form of error that the client can read.
    pub(super) format: ErrorFormat,
}

impl Proxy {
    /// Answers one request that came over a connection with these endpoints.
    ///
    /// An error stays an error here: [`super::service`] is the one place that makes an answer of it.
    pub(super) async fn exchange(
        &self,
        request: Request<Incoming>,
        endpoints: &Endpoints,
        id: &RequestId,
        mut outcome: Outcome,
    ) -> Exchange {
        let (mut parts, body) = request.into_parts();
        let routes = &self.client.planner.routes;
        let client = if routes.has_protocol { Client::of(&parts) } else { Client::default() };
        let mut host = parts.headers.get(header::HOST).cloned();
        let (result, audience) = match self.guard.admit(&parts, endpoints) {
            Err(refusal) => {
                self.report(&refusal, &parts.headers, id);
                (Err(refusal.into()), self.guard.audience_of_refusal(&parts))
            }
            // Answered here: which pages may call the proxy is decided by its settings, not by the API.
            Ok(audience) if audience.preflight => (Ok(response::preflight(&parts.headers)), audience),
            Ok(audience) => (self.forward(&mut parts, &mut host, body, id, &mut outcome).await, audience),
        };
        let format = match &result {
            Err(_) => ErrorFormat::of(routes.protocol(parts.uri.path(), host.as_ref()), client),
            Ok(_) => ErrorFormat::Problem,
        };
        Exchange { result, outcome, audience, format }
    }

    /// Forwards an admitted request. `host` is the name that the client used.
    async fn forward(
        &self,
        parts: &mut Parts,
        host: &mut Option<HeaderValue>,
        body: Incoming,
        id: &RequestId,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        // HTTP/1.0 allows a target with an authority and no Host.
        if let (None, Some(authority)) = (&host, parts.uri.authority()) {
            *host = HeaderValue::from_str(authority.as_str()).ok();
            parts.headers.extend(host.clone().map(|host| (header::HOST, host)));
        }
        let (method, headers) = (parts.method.clone(), std::mem::take(&mut parts.headers));
        let planner = &self.client.planner;
        let mut plan = planner.plan(method, parts.uri.path(), parts.uri.query(), headers)?;
        let body = plan.client_body(body);
        let ready = if plan.streams(&body) {
            plan.with_stream(self.budget.stream(body)?)
        } else {
            let (payload, trailers) = self.budget.collect(body).await?;
            plan.with_payload(payload, &trailers)
        };
        if let Some(recording) = &outcome.recording {
            recording.received(&ready.unsigned.headers, ready.recorded_body());
        }
        // After a collected body: a client that is slow to send then occupies its connection only, not a place in
        // flight. A body that streams occupies a connection of the upstream from its first byte, and a place with it.
        let _place = self.in_flight.try_acquire().map_err(|_| ProxyError::Overloaded(Limit::InFlight))?;
        let sent = self.client.sender.send(&ready, outcome).await?;
        let sent = refusal_logger::watch(sent, &ready, id.as_str(), outcome.recording.as_ref());
        // Planning has replaced Host by the upstream's; a redirect has to lead back to the name that the client used.
        let mut response = response::rewrite(sent.response, &ready, host.as_ref());
        if ready.streamed.is_some() {
            response.extensions_mut().insert(BodyInUse);
        }
        Ok(response)
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
            in_flight: Arc::new(Semaphore::new(settings.limits.max_in_flight.min(Semaphore::MAX_PERMITS))),
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
            metrics: Arc::clone(&self.metrics),
        }
    }
}
