//! One request of a client, from admission to the head of its answer: admit, plan, body, attempts, rewrite.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tracing::warn;

use super::{
    admission::{Audience, BrowserPolicy, Guard, Refusal},
    error::ProxyError,
    outcome::Outcome,
    pipeline::Pipeline,
    request::{body::Budget, route::BuildError},
    request_id::RequestId,
    response::{self, body::Body},
    settings::Settings,
};
use crate::{
    clock::Clock,
    credentials::channel::Receiver,
    downstream::listener::{Endpoints, Owner},
    telemetry::metrics::{Limit, Metrics},
};

/// Everything that the requests of all clients share.
#[derive(Debug)]
pub struct Proxy {
    guard: Arc<Guard>,
    pipeline: Pipeline,
    budget: Budget,
    /// For requests that wait for the upstream's answer.
    in_flight: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// How a request ended, and what its answer may say to a browser.
pub(super) struct Exchange {
    pub(super) result: Result<Response<Body>, ProxyError>,
    pub(super) outcome: Outcome,
    pub(super) audience: Audience,
}

impl Proxy {
    /// Answers one request that came over a connection with these endpoints.
    pub(super) async fn exchange(
        &self,
        request: Request<Incoming>,
        endpoints: &Endpoints,
        id: &RequestId,
    ) -> Exchange {
        let mut outcome = Outcome::default();
        let (parts, body) = request.into_parts();
        let (result, audience) = match self.guard.admit(&parts, endpoints) {
            Err(refusal) => {
                self.report(&refusal, &parts.headers, id);
                (Err(refusal.into()), self.guard.audience_of_refusal(&parts))
            }
            Ok(audience) if audience.preflight => (Ok(response::preflight(&parts.headers)), audience),
            Ok(audience) => (self.forward(parts, body, id, &mut outcome).await, audience),
        };
        Exchange { result, outcome, audience }
    }

    async fn forward(
        &self,
        parts: Parts,
        body: Incoming,
        id: &RequestId,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        let client_host = parts.headers.get(header::HOST).cloned();
        let planner = &self.pipeline.planner;
        let plan = planner.plan(parts.method, parts.uri.path(), parts.uri.query(), parts.headers)?;
        let ready = plan.with_body(self.budget.collect(body).await?);
        // After the body: a client that is slow to send occupies its connection, and no place that others need.
        let _place = self.in_flight.try_acquire().map_err(|_| ProxyError::Overloaded(Limit::InFlight))?;
        let sent = self.pipeline.sender.send(&ready, id.as_str(), outcome).await?;
        Ok(response::rewrite(sent.response, ready.route, client_host.as_ref()))
    }

    /// Counts and logs a refusal. The page's origin and the name in Host tell a person which program asked: a page sees no
    /// more of this answer than the browser's own CORS error.
    fn report(&self, refusal: &Refusal, headers: &HeaderMap, id: &RequestId) {
        self.metrics.rejected(refusal.reason());
        let named = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        warn!(
            request.id = id.as_str(),
            reason = refusal.reason(),
            detail = %refusal,
            origin = named(header::ORIGIN),
            host = named(header::HOST),
            "request refused"
        );
    }

    /// How answers to browsers are marked.
    pub(super) fn browser_policy(&self) -> BrowserPolicy {
        self.guard.browser_policy()
    }

    /// Where refusals and reached limits are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Decides about a connection by who holds its other end; the error is the whole answer to it, head included.
    ///
    /// # Errors
    /// When its requests may not ask.
    pub fn admit_owner(&self, owner: Owner) -> Result<(), Bytes> {
        self.guard.admit_owner(owner).map_err(|refusal| {
            self.metrics.rejected(refusal.reason());
            let user = if let Owner::Other(user) = owner { Some(user) } else { None };
            let error = ProxyError::from(refusal);
            warn!(user.id = user, detail = %error, "connection refused");
            error.whole_answer()
        })
    }

    /// A proxy as `settings` describe it, which signs with what `credentials` gives.
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
            pipeline: Pipeline::new(settings, credentials, clock, Arc::clone(&metrics))?,
            budget,
            in_flight: Arc::new(Semaphore::new(settings.limits.max_in_flight.min(Semaphore::MAX_PERMITS))),
            metrics,
        })
    }

    /// A proxy as other `settings` describe it, within the limits of this one: only `max_body` is taken anew.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn renewed(&self, settings: &Settings) -> Result<Self, BuildError> {
        Ok(Self {
            guard: Arc::new(Guard::new(&settings.guard)),
            pipeline: self.pipeline.renewed(settings)?,
            budget: self.budget.with_max_body(settings.limits.max_body),
            in_flight: Arc::clone(&self.in_flight),
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// The same proxy for the thread of `previous`, which it follows and whose upstream connections it goes on with.
    pub(super) fn successor(&self, previous: &Self) -> Self {
        let mut successor = self.sibling();
        successor.pipeline.keep_connections_of(&previous.pipeline);
        successor
    }

    /// The same proxy, within the same limits, with upstream connections of its own: those of another thread.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self {
            guard: Arc::clone(&self.guard),
            pipeline: self.pipeline.sibling(),
            budget: self.budget.clone(),
            in_flight: Arc::clone(&self.in_flight),
            metrics: Arc::clone(&self.metrics),
        }
    }
}
