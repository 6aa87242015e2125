//! One request, from admission to the response head: straight down, in the order of the contract.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, header, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::{
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
};

/// How a request ended, and what is told of it.
pub(super) struct Answer {
    pub(super) result: Result<Response<Body>, ProxyError>,
    pub(super) outcome: Outcome,
    /// Absent when the request was not admitted.
    pub(super) admitted: Option<Admitted>,
}

impl Proxy {
    /// Answers one request.
    pub(super) async fn forward(&self, request: Request<Incoming>, endpoints: &Endpoints) -> Answer {
        let mut outcome = Outcome::default();
        let (parts, body) = request.into_parts();
        match self.guard.admit(&parts, endpoints) {
            Err(refusal) => Answer { result: Err(refusal.into()), outcome, admitted: None },
            Ok(admitted) => {
                let result = if admitted.preflight {
                    Ok(response::preflight(&parts.headers))
                } else {
                    self.exchange(parts, body, &mut outcome).await
                };
                Answer { result, outcome, admitted: Some(admitted) }
            }
        }
    }

    async fn exchange(
        &self,
        parts: Parts,
        body: Incoming,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        let client_host = parts.headers.get(header::HOST).cloned();
        let route = self.routes.select(parts.uri.path()).ok_or(ProxyError::NoRoute)?;
        let target = route.target(parts.uri.path(), parts.uri.query())?;
        // RFC 9110 section 9.3.1: such a body means nothing, and may be an attempt at smuggling.
        let means_nothing =
            matches!(parts.method, Method::GET | Method::HEAD) && !route.reads_bodies_of_gets();
        if means_nothing && !body.is_end_stream() {
            return Err(Refusal::Malformed("A GET or HEAD request has a body".into()).into());
        }
        let payload = self.budget.collect(body).await?;
        // A client that is slow to send or to read occupies its connection, and no place that others need.
        let _place = self.places.try_acquire().map_err(|_| ProxyError::Overloaded)?;
        let unsigned = Unsigned {
            method: parts.method,
            target,
            host: route.host.clone(),
            headers: headers::upward(parts.headers, &self.strip_headers, &route.set_headers),
            payload,
        };
        let response = self.send(route, &unsigned, outcome).await?;
        Ok(response::rewrite(response, route, client_host.as_ref()))
    }

    /// Signs and sends until there is an answer to pass on, within what [`Attempts`] allows.
    async fn send(
        &self,
        route: &Route,
        unsigned: &Unsigned,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        let mut attempts = Attempts::new(&unsigned.method);
        let mut issued = self.credentials.valid().await?;
        loop {
            outcome.attempts += 1;
            let offset = self.clock.offset_millis();
            let signed = self.sign(route, unsigned, &issued)?;
            let sent = self.clock.local();
            let response = match route.upstream.send(signed, attempts.wants_fresh_connection()).await {
                Ok(response) => response,
                Err(failure) => match attempts.after_failure(&failure, rand::random()) {
                    None => return Err(failure.error.into()),
                    Some(again) => {
                        self.metrics.retried(again.reason);
                        sleep(again.pause).await;
                        continue;
                    }
                },
            };
            outcome.answered(&response);
            response::learn_clock(&self.clock, response.headers(), sent);
            if !retry::is_refusal(&response) || !attempts.take_cure() {
                return Ok(response.map(|body| Body::stream(body, self.timeouts.idle)));
            }
            let (text, response) = response::look_into(response, self.timeouts.idle).await;
            match self.cure(response.headers(), &text, offset, &issued).await {
                None => return Ok(response),
                Some((ailment, cured)) => {
                    self.metrics.retried(ailment.reason());
                    issued = cured;
                }
            }
        }
    }

    fn sign(&self, route: &Route, unsigned: &Unsigned, issued: &Issued) -> Result<SignedRequest, ProxyError> {
        let _timer = self.metrics.signing();
        route
            .signer
            .sign(unsigned, &issued.credentials, self.clock.now())
            .map_err(|error| ProxyError::Internal(error.to_string().into()))
    }

    /// What to sign with instead, after a refusal: only when something has really changed.
    async fn cure(
        &self,
        headers: &HeaderMap,
        text: &[u8],
        signed_at_offset: i64,
        refused: &Arc<Issued>,
    ) -> Option<(Ailment, Arc<Issued>)> {
        let ailment = retry::ailment(headers, text)?;
        let issued = match ailment {
            Ailment::Credentials => self.credentials.replacing(refused).await?,
            Ailment::Clock if self.clock.offset_millis() != signed_at_offset => Arc::clone(refused),
            Ailment::Clock => return None,
        };
        Some((ailment, issued))
    }
}
