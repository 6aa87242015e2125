//! The tower service of one connection. Errors become answers here and nowhere else.

use std::convert::Infallible;

use hyper::body::Incoming;
use tower::{Service, service_fn};
use tracing::{debug, warn};

use super::{
    error::ProxyError,
    exchange::{Exchange, Proxy},
    meaning::Meaning,
    outcome::{Answer, Outcome},
    request_id::{IdentifiedRequest, RequestId},
    response,
    worker_proxies::ProxyHandle,
};
use crate::{
    downstream::{ShortAnswer, listener::Endpoints},
    telemetry::metrics::Metrics,
};

/// Forwards the requests of a connection between `endpoints`, each with the configuration that is live when it arrives.
pub fn forward(
    proxy: ProxyHandle,
    endpoints: Endpoints,
) -> impl Service<IdentifiedRequest<Incoming>, Response = Answer, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    service_fn(move |request: IdentifiedRequest<Incoming>| {
        // Loaded once: a reload in the middle of a request does not change its rules.
        let proxy = proxy.current();
        let IdentifiedRequest { request, id, recording } = request;
        let (mut parts, body) = request.into_parts();
        async move {
            let mut outcome = Outcome { recording, ..Outcome::default() };
            let exchange = proxy.exchange(&mut parts, body, &endpoints, &id, &mut outcome).await;
            Ok(answer(&proxy, exchange, &id, outcome))
        }
    })
}

fn answer(proxy: &Proxy, exchange: Exchange, id: &RequestId, outcome: Outcome) -> Answer {
    let Exchange { result, audience, format } = exchange;
    let (mut response, code) = match result {
        Ok(response) => (response, None),
        Err(error) => {
            report(&error, id, proxy.metrics());
            if let Some(recording) = &outcome.recording {
                recording.explain(&Meaning::of_error(&error).to_json());
            }
            let mut response = error.response(id.as_str(), format);
            // A client that may not ask could otherwise hold its connection by sending requests and reading no answers.
            response.extensions_mut().insert(ShortAnswer);
            (response, Some(error.code()))
        }
    };
    response::protect(&mut response, &audience, proxy.browser_policy());
    let own = code.is_some() || outcome.upstream_status.is_none();
    Answer { response, outcome, code, own }
}

/// Logs why a request has no answer of the upstream, once. [`Proxy::exchange`] has logged what the guard refused, with
/// the names in the request that explain it.
fn report(error: &ProxyError, id: &RequestId, metrics: &Metrics) {
    let id = id.as_str();
    if let Some(limit) = error.limit() {
        metrics.reached(limit);
    }
    let meaning = Meaning::of_error(error);
    let (name, cure) = (meaning.name, meaning.cure);
    match error {
        ProxyError::Refused(_) => {}
        ProxyError::Upstream(failure) => {
            let cause = crate::telemetry::causes(failure);
            let cause = (!cause.is_empty()).then_some(cause);
            warn!(request.id = id, error = %failure, cause, meaning = name, cure, "no response from upstream");
        }
        ProxyError::HandshakeAnswer(error) => {
            warn!(request.id = id, %error, meaning = name, cure, "no WebSocket from upstream");
        }
        ProxyError::Internal(message) => warn!(request.id = id, error = %message, "internal error"),
        ProxyError::Target(_)
        | ProxyError::NoRoute
        | ProxyError::BodyTooLarge { .. }
        | ProxyError::Overloaded(_)
        | ProxyError::ChunkedSignature
        | ProxyError::UnclearBucket(_)
        | ProxyError::AwsChunked(_)
        | ProxyError::Handshake(_) => {
            let (reason, cause) = (error.code(), meaning.cause);
            warn!(request.id = id, reason, detail = %error, meaning = name, cause, cure, "request refused");
        }
        // A client that is slow or gone knows it, and the refresher has logged why there are no credentials.
        ProxyError::BodyTimeout | ProxyError::BodyIncomplete | ProxyError::Credentials(_) => {
            let cause = meaning.cause;
            debug!(
                request.id = id,
                code = error.code(),
                meaning = name,
                cause,
                cure,
                "request not forwarded"
            );
        }
    }
}
