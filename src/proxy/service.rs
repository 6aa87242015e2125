//! The proxy as a tower service for one connection, and the answers for what goes wrong in it.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::Service;
use tracing::{debug, warn};

use super::{
    Proxy, accounting::RequestId, body::Body, current::Seat, error::ProxyError, forward::Answer,
    outcome::Outcome, response,
};
use crate::{
    listener::{Endpoints, Owner},
    server::ShortAnswer,
};

/// Forwards the requests of one connection, each by the proxy of the moment in which it comes.
#[derive(Clone, Debug)]
pub struct Forward {
    seat: Seat,
    endpoints: Endpoints,
}

/// What the layers outside learn about an answer.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) outcome: Outcome,
    /// The code of the proxy's own answer; absent when the upstream answered.
    pub(super) code: Option<&'static str>,
    /// A preflight or a problem, not the upstream's answer.
    pub(super) own: bool,
}

impl Forward {
    /// A service for a connection between `endpoints`.
    #[must_use]
    pub fn new(seat: Seat, endpoints: Endpoints) -> Self {
        Self { seat, endpoints }
    }
}

impl Proxy {
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

    async fn answer(&self, endpoints: &Endpoints, request: Request<Incoming>) -> Response<Body> {
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        let Answer { result, outcome, audience } = self.forward(request, endpoints, &id).await;
        let (mut response, code) = match result {
            Ok(response) => (response, None),
            Err(error) => {
                self.report(&error, &id);
                let mut response = error.response(id.as_str());
                // Whoever may not ask must not hold a place that others need by asking on and reading nothing.
                response.extensions_mut().insert(ShortAnswer);
                (response, Some(error.code()))
            }
        };
        response::protect(&mut response, &audience, self.guard.browser_policy());
        let own = code.is_some() || outcome.upstream_status.is_none();
        response.extensions_mut().insert(Told { outcome, code, own });
        response
    }

    /// Logs an error with its causes, once.
    fn report(&self, error: &ProxyError, id: &RequestId) {
        let id = id.as_str();
        if let Some(limit) = error.limit() {
            self.metrics.reached(limit);
        }
        match error {
            ProxyError::Refused(refusal) => {
                self.metrics.rejected(refusal.reason());
                warn!(request.id = id, reason = refusal.reason(), detail = %refusal, "request refused");
            }
            ProxyError::Upstream(failure) => {
                let cause = crate::telemetry::causes(failure);
                let cause = (!cause.is_empty()).then_some(cause);
                warn!(request.id = id, error = %failure, cause, "no answer of the upstream");
            }
            ProxyError::Internal(message) => warn!(request.id = id, error = %message, "internal error"),
            ProxyError::Target(_)
            | ProxyError::NoRoute
            | ProxyError::BodyTimeout
            | ProxyError::BodyIncomplete
            | ProxyError::BodyTooLarge { .. }
            | ProxyError::Overloaded(_)
            | ProxyError::ChunkedSignature
            | ProxyError::Credentials(_) => {
                debug!(request.id = id, code = error.code(), "request not forwarded");
            }
        }
    }
}

impl Service<Request<Incoming>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (proxy, endpoints) = (self.seat.proxy(), self.endpoints);
        Box::pin(async move { Ok(proxy.answer(&endpoints, request).await) })
    }
}
