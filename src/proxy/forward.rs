//! One request of a client, from admission to the response head: straight down.

use http::{Request, Response, header, request::Parts};
use hyper::body::Incoming;

use super::{
    Proxy, accounting::RequestId, body::Body, error::ProxyError, guard::Audience, outcome::Outcome, response,
};
use crate::{listener::Endpoints, metrics::Limit};

/// How a request ended, and what is told of it.
pub(super) struct Answer {
    pub(super) result: Result<Response<Body>, ProxyError>,
    pub(super) outcome: Outcome,
    pub(super) audience: Audience,
}

impl Proxy {
    /// Answers one request.
    pub(super) async fn forward(
        &self,
        request: Request<Incoming>,
        endpoints: &Endpoints,
        id: &RequestId,
    ) -> Answer {
        let mut outcome = Outcome::default();
        let (parts, body) = request.into_parts();
        let (result, audience) = match self.guard.admit(&parts, endpoints) {
            Err(refusal) => (Err(refusal.into()), self.guard.audience_of_refusal(&parts)),
            Ok(audience) if audience.preflight => (Ok(response::preflight(&parts.headers)), audience),
            Ok(audience) => (self.exchange(parts, body, id, &mut outcome).await, audience),
        };
        Answer { result, outcome, audience }
    }

    async fn exchange(
        &self,
        parts: Parts,
        body: Incoming,
        id: &RequestId,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        let client_host = parts.headers.get(header::HOST).cloned();
        let plan = self.pipeline.plan(parts.method, parts.uri.path(), parts.uri.query(), parts.headers)?;
        let ready = plan.with_body(self.budget.collect(body).await?);
        // A client that is slow to send or to read occupies its connection, and no place that others need.
        let _place = self.places.try_acquire().map_err(|_| ProxyError::Overloaded(Limit::InFlight))?;
        let sent = self.pipeline.send(&ready, id.as_str(), outcome).await?;
        Ok(response::rewrite(sent.response, ready.route, client_host.as_ref()))
    }
}
