//! One request of a client, from admission to the response head: straight down.

<<<<<<< HEAD
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, header, request::Parts};
use http_body::Body as _;
=======
use http::{Request, Response, header, request::Parts};
>>>>>>> main
use hyper::body::Incoming;

use super::{
<<<<<<< HEAD
    Proxy,
    body::Body,
    error::ProxyError,
    guard::{Admitted, Refusal},
    headers,
    outcome::Outcome,
    response,
    retry::{self, Ailment, Attempts},
    route::Route,
};
use crate::{
    credentials::source::Issued,
    listener::Endpoints,
    signing::{SignedRequest, Unsigned},
=======
    Proxy, accounting::RequestId, body::Body, error::ProxyError, guard::Admitted, outcome::Outcome, response,
>>>>>>> main
};
use crate::listener::Endpoints;

/// How a request ended, and what is told of it.
pub(super) struct Answer {
    pub(super) result: Result<Response<Body>, ProxyError>,
    pub(super) outcome: Outcome,
    /// Absent when the request was not admitted.
    pub(super) admitted: Option<Admitted>,
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
        match self.guard.admit(&parts, endpoints) {
            Err(refusal) => Answer { result: Err(refusal.into()), outcome, admitted: None },
            Ok(admitted) => {
                let result = if admitted.preflight {
                    Ok(response::preflight(&parts.headers))
                } else {
                    self.exchange(parts, body, id, &mut outcome).await
                };
                Answer { result, outcome, admitted: Some(admitted) }
            }
        }
    }

    async fn exchange(
        &self,
        parts: Parts,
        body: Incoming,
        id: &RequestId,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        let client_host = parts.headers.get(header::HOST).cloned();
<<<<<<< HEAD
        let route = self.routes.select(parts.uri.path()).ok_or(ProxyError::NoRoute)?;
        let target = route.target(parts.uri.path(), parts.uri.query())?;
        // RFC 9110 section 9.3.1: such a body means nothing, and may be an attempt at smuggling.
        let means_nothing =
            matches!(parts.method, Method::GET | Method::HEAD) && !route.reads_bodies_of_gets();
        if means_nothing && !body.is_end_stream() {
            return Err(Refusal::Malformed("A GET or HEAD request has a body".into()).into());
        }
        let payload = self.budget.collect(body).await?;
=======
        let plan = self.pipeline.plan(parts.method, parts.uri.path(), parts.uri.query(), parts.headers)?;
        let ready = plan.with_body(self.budget.collect(body).await?);
>>>>>>> main
        // A client that is slow to send or to read occupies its connection, and no place that others need.
        let _place = self.places.try_acquire().map_err(|_| ProxyError::Overloaded)?;
        let sent = self.pipeline.send(&ready, id.as_str(), outcome).await?;
        Ok(response::rewrite(sent.response, ready.route, client_host.as_ref()))
    }
}
