//! Signs a request and sends it, again where another attempt is allowed and may go better.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Response};
use tokio::time::{Instant, sleep};

use super::{
    gateway_403::RetryableRefusal,
    recorded::{self, Observed},
    retry::Attempts,
};
use crate::{
    clock::{self, Clock},
    credentials::{
        channel::{Receiver, Unavailable},
        provider::IssuedCredentials,
    },
    inspector::{Phase, Recording},
    proxy::{
        error::ProxyError,
        meaning::AnswerHead,
        outcome::Outcome,
        request::{plan::Ready, streamed_body::StreamedBody},
        response::body::{Body, peek},
    },
    signing::{SignedRequest, X_AMZ_SECURITY_TOKEN},
    telemetry::metrics::Metrics,
    upstream::{OutgoingBody, OutgoingRequest},
};

/// Signs requests and sends them. Clones share everything.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Sender {
    idle_timeout: Duration,
    credentials: Receiver,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// The last attempt and its answer.
#[derive(Debug)]
pub struct Sent {
    /// The upstream's answer.
    pub response: Response<Body>,
    /// What it was signed with.
    pub issued: Arc<IssuedCredentials>,
    /// When it was signed, in AWS's time.
    pub signed_at: SystemTime,
}

/// The state of the clock when a request was signed and sent.
struct Signing {
    /// In milliseconds.
    offset: i64,
    /// In local time.
    sent: SystemTime,
}

impl Sender {
    /// A sender that signs with what `credentials` gives; `idle_timeout` is for the bodies of answers.
    pub(in crate::proxy) fn new(
        idle_timeout: Duration,
        credentials: Receiver,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { idle_timeout, credentials, clock, metrics }
    }

    /// The same with another timeout for the bodies of answers.
    pub(in crate::proxy) fn with_idle_timeout(&self, idle_timeout: Duration) -> Self {
        Self { idle_timeout, ..self.clone() }
    }

    /// Signs and sends until there is an answer to pass on, within what [`Attempts`] allows.
    ///
    /// # Errors
    /// When there are no credentials, or the upstream does not answer.
    pub(in crate::proxy) async fn send(
        &self,
        ready: &Ready<'_>,
        outcome: &mut Outcome,
    ) -> Result<Sent, ProxyError> {
        let mut attempts = Attempts::new(&ready.unsigned.method);
        // At once, unless the credentials are in their last minute or gone: then it waits for the refresher.
        let mut issued = self.credentials(outcome).await?;
        let mut reason = None;
        loop {
            outcome.attempts += 1;
            // Before signing: a later reading would hide a change of the clock that the signature does not know yet.
            let signing = Signing { offset: self.clock.offset_millis(), sent: self.clock.local() };
            let signed_at = self.clock.now();
            let signed =
                self.sign(ready, &issued, signed_at, outcome.recording.as_ref().zip(Some(reason)))?;
            let upstream = &ready.route.upstream;
            let mut observed = Observed::begin(outcome.recording.as_ref());
            let timeline = observed.as_mut().map(Observed::timeline);
            let request = outgoing(signed, ready.streamed.clone());
            let sent = match ready.handshake {
                // Boxed for the same reason as a refusal's futures below.
                Some(_) => Box::pin(upstream.upgrade(request, timeline)).await,
                None => upstream.send(request, attempts.needs_newer_than(), timeline).await,
            };
            if let Some(observed) = observed {
                observed.end(sent.as_ref().err());
            }
            let response = match sent {
                Ok(response) => response,
                // A client that breaks its body off is the cause of what happens at the upstream then.
                Err(failure) => match attempts.after_failure(&failure, rand::random()) {
                    _ if let Some(of_body) = ready.take_body_failure() => return Err(of_body),
                    None => return Err(failure.error.into()),
                    Some(_) if !ready.is_repeatable() => return Err(failure.error.into()),
                    Some(retry) => {
                        self.metrics.retried(retry.reason);
                        reason = Some(retry.reason);
                        sleep(retry.pause).await;
                        // Failing to connect takes seconds, in which credentials can end.
                        issued = self.credentials(outcome).await?;
                        continue;
                    }
                },
            };
            outcome.answered(&response);
            let refused = AnswerHead::of(&response).filter(RetryableRefusal::is_possible);
            // Such a refusal comes from the gateway itself, before anything ran: repeating the request is safe for
            // any method.
            let response = if let Some(refused) = refused {
                let received = self.clock.local();
                // Boxed, as what follows: refusals are few, and every request would carry the size of these futures.
                let (text, response) = Box::pin(peek(response, self.idle_timeout)).await;
                let retryable = RetryableRefusal::of(&refused, &text);
                let renewed = match retryable.filter(|&refusal| attempts.allow_once(refusal)) {
                    Some(RetryableRefusal::Credentials) => {
                        Box::pin(self.credentials.replacing(&issued)).await
                    }
                    Some(RetryableRefusal::Clock) => {
                        Box::pin(self.set_clock(response.headers(), &signing, received)).await?
                    }
                    None => None,
                };
                // What was corrected for a body that has gone by serves the next request.
                if let (Some(refusal), Some(renewed)) = (retryable, renewed.filter(|_| ready.is_repeatable()))
                {
                    self.metrics.retried(refusal.reason());
                    reason = Some(refusal.reason());
                    issued = renewed;
                    continue;
                }
                // Passed down, the gateway's 403 would look like a decision of the API, and the client would not try
                // again.
                if retryable == Some(RetryableRefusal::Credentials)
                    && let Some(unavailable) = self.credentials.ended(&issued)
                {
                    return Err(unavailable.into());
                }
                response
            } else {
                response.map(|body| Body::stream(body, self.idle_timeout))
            };
            return Ok(Sent { response, issued, signed_at });
        }
    }

    /// Valid credentials, and the time that they took in the record.
    async fn credentials(&self, outcome: &Outcome) -> Result<Arc<IssuedCredentials>, Unavailable> {
        let Some(recording) = &outcome.recording else { return self.credentials.valid().await };
        let began = Instant::now();
        let issued = self.credentials.valid().await;
        recording.took(Phase::Credentials, began.elapsed());
        issued
    }

    fn sign(
        &self,
        ready: &Ready<'_>,
        issued: &IssuedCredentials,
        time: SystemTime,
        recording: Option<(&Recording, Option<&'static str>)>,
    ) -> Result<SignedRequest, ProxyError> {
        let _timer = self.metrics.signing();
        if let Some((recording, reason)) = recording {
            return recorded::sign(ready, issued, time, recording, reason);
        }
        ready.sign(&issued.credentials, time)
    }

    /// Learns the time from a gateway that refused a request for its signing time, and returns credentials that are
    /// valid by the corrected clock. `None` when the clock is as it was.
    ///
    /// # Errors
    /// When the credentials have expired by the right time, and no others are to be had.
    async fn set_clock(
        &self,
        headers: &HeaderMap,
        signing: &Signing,
        received: SystemTime,
    ) -> Result<Option<Arc<IssuedCredentials>>, Unavailable> {
        if let Some(date) =
            clock::date(|name| headers.get(name).map(|value| value.to_str().unwrap_or_default()))
        {
            self.clock.observe_between(date, signing.sent, received);
        }
        if self.clock.offset_millis() == signing.offset {
            return Ok(None);
        }
        self.credentials.valid().await.map(Some)
    }
}

/// The one way out of the data path: what is signed, and nothing else, becomes an [`OutgoingRequest`].
fn outgoing(signed: SignedRequest, streamed: Option<StreamedBody>) -> OutgoingRequest {
    let (method, target, host, mut headers, payload) = signed.into_parts();
    // The token is the same for many requests: as an indexed field of HTTP/2 it takes two bytes instead of a
    // kilobyte, and is not compressed for each request. With cheaper log lines, this gave a seventh more requests per
    // second. It cannot be attacked by guessing: the table compares whole values only, and the token is too long to
    // guess (RFC 7541 section 7.1).
    if let Some(token) = headers.get_mut(X_AMZ_SECURITY_TOKEN) {
        token.set_sensitive(false);
    }
    OutgoingRequest {
        method,
        target: target.as_path_and_query().clone(),
        authority: host.as_authority().clone(),
        headers,
        body: match streamed {
            Some(body) => OutgoingBody::streamed(body),
            None => {
                OutgoingBody::Collected { chunks: Arc::clone(payload.chunks()), length: payload.length() }
            }
        },
    }
}
