//! The way of one request to the upstream and of its answer back: route, target, signature, attempts.
//!
//! Who asks, and whether they may, is decided before: a listener has a guard for that, a command line needs
//! none.

use std::{sync::Arc, time::SystemTime};

use aws_credential_types::Credentials;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use tokio::time::sleep;

use super::{
    BuildError, Settings, Timeouts,
    body::Body,
    build_routes,
    error::ProxyError,
    headers,
    outcome::Outcome,
    payload_form::PayloadForm,
    refusal::{Refused, Witness},
    response,
    retry::{self, Ailment, Attempts},
    route::{Route, Routes},
};
use crate::{
    clock::Clock,
    credentials::{
        channel::{Receiver, Unavailable},
        source::Issued,
    },
    metrics::Metrics,
    signing::{Explanation, Payload, Scope, SignedRequest, Unsigned, WireTarget},
};

/// Signs requests and sends them.
#[derive(Debug)]
pub struct Pipeline {
    routes: Routes,
    strip_headers: Vec<HeaderName>,
    timeouts: Timeouts,
    credentials: Receiver,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// A request whose destination is decided and whose body is still to come.
#[derive(Debug)]
pub struct Plan<'a> {
    route: &'a Route,
    method: Method,
    target: WireTarget,
    headers: HeaderMap,
    form: PayloadForm,
}

/// A request that can be signed.
#[derive(Debug)]
pub struct Ready<'a> {
    pub(super) route: &'a Route,
    unsigned: Unsigned,
}

/// The last attempt, and what it was answered.
#[derive(Debug)]
pub struct Sent {
    /// The upstream's answer.
    pub response: Response<Body>,
    /// What it was signed with.
    pub issued: Arc<Issued>,
    /// When it was signed, in AWS's time.
    pub signed_at: SystemTime,
}

impl Pipeline {
    /// A pipeline as `settings` describe it, which signs with what `credentials` gives.
    ///
    /// # Errors
    /// When trusted roots are missing or cannot be read.
    pub fn new(
        settings: &Settings,
        credentials: Receiver,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            routes: build_routes(settings)?,
            strip_headers: settings.strip_headers.clone(),
            timeouts: settings.timeouts,
            credentials,
            clock,
            metrics,
        })
    }

    /// A pipeline as other `settings` describe it, with the connections to upstreams that are reached as before.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn renewed(&self, settings: &Settings) -> Result<Self, BuildError> {
        let (credentials, clock) = (self.credentials.clone(), self.clock.clone());
        let mut renewed = Self::new(settings, credentials, clock, Arc::clone(&self.metrics))?;
        renewed.keep_connections_of(self);
        Ok(renewed)
    }

    /// Goes on with the connections of `previous` to upstreams that are reached in the same way.
    pub(super) fn keep_connections_of(&mut self, previous: &Self) {
        self.routes.keep_connections_of(&previous.routes);
    }

    /// The same pipeline with upstream connections of its own.
    pub(super) fn sibling(&self) -> Self {
        Self {
            routes: self.routes.sibling(),
            strip_headers: self.strip_headers.clone(),
            timeouts: self.timeouts,
            credentials: self.credentials.clone(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Decides where a request goes, and which of its headers go along.
    ///
    /// # Errors
    /// When it cannot go anywhere.
    pub fn plan(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Plan<'_>, ProxyError> {
        let route = self.routes.select(path).ok_or(ProxyError::NoRoute)?;
        let target = route.target(path, query)?;
        let form = PayloadForm::of(&headers, route.signer.scope())?;
        let headers = headers::upward(headers, &self.strip_headers, &route.set_headers);
        Ok(Plan { route, method, target, headers, form })
    }

    /// Signs and sends until there is an answer to pass on, within what [`Attempts`] allows.
    ///
    /// `id` marks lines in the log.
    ///
    /// # Errors
    /// When there are no credentials, or the upstream does not answer.
    pub(super) async fn send(
        &self,
        ready: &Ready<'_>,
        id: &str,
        outcome: &mut Outcome,
    ) -> Result<Sent, ProxyError> {
        let mut attempts = Attempts::new(&ready.unsigned.method);
        let mut issued = self.credentials.valid().await?;
        loop {
            outcome.attempts += 1;
            let signing = Signing { offset: self.clock.offset_millis(), sent: self.clock.local() };
            let signed_at = self.clock.now();
            let signed = self.sign(ready, &issued, signed_at)?;
            let upstream = &ready.route.upstream;
            let response = match upstream.send(signed, attempts.needs_newer_than()).await {
                Ok(response) => response,
                Err(failure) => match attempts.after_failure(&failure, rand::random()) {
                    None => return Err(failure.error.into()),
                    Some(again) => {
                        self.metrics.retried(again.reason);
                        sleep(again.pause).await;
                        // Failing to connect takes seconds, in which credentials can end.
                        issued = self.credentials.valid().await?;
                        continue;
                    }
                },
            };
            outcome.answered(&response);
            let response = if retry::is_refusal(&response) {
                let received = self.clock.local();
                let (text, response) = response::look_into(response, self.timeouts.idle).await;
                let ailment = retry::ailment(response.headers(), &text);
                let cured = match ailment.filter(|&ailment| attempts.take_cure(ailment)) {
                    Some(Ailment::Credentials) => self.credentials.replacing(&issued).await,
                    Some(Ailment::Clock) => self.set_clock(response.headers(), &signing, received).await?,
                    None => None,
                };
                if let (Some(ailment), Some(cured)) = (ailment, cured) {
                    self.metrics.retried(ailment.reason());
                    issued = cured;
                    continue;
                }
                // The client would take the gateway's words for a decision of the API's, and not ask again.
                if ailment == Some(Ailment::Credentials)
                    && let Some(unavailable) = self.credentials.ended(&issued)
                {
                    return Err(unavailable.into());
                }
                response
            } else {
                response.map(|body| Body::stream(body, self.timeouts.idle))
            };
            let sent = Sent { response, issued, signed_at };
            return Ok(self.watched(ready, sent, id));
        }
    }

    /// Signs and sends one request that no listener took, with the attempts that those of a listener get.
    ///
    /// # Errors
    /// When there are no credentials, or the upstream does not answer.
    pub async fn call(&self, ready: &Ready<'_>) -> Result<Sent, ProxyError> {
        self.send(ready, "", &mut Outcome::default()).await
    }

    /// Signs without sending, and tells what was signed.
    ///
    /// # Errors
    /// As [`Signer::sign`](crate::signing::Signer::sign).
    pub fn explain(
        &self,
        ready: &Ready<'_>,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<(SignedRequest, Explanation), ProxyError> {
        let explained = ready.route.signer.sign_explained(&ready.unsigned, credentials, time);
        explained.map_err(|error| ProxyError::Internal(error.to_string().into()))
    }

    fn sign(
        &self,
        ready: &Ready<'_>,
        issued: &Issued,
        time: SystemTime,
    ) -> Result<SignedRequest, ProxyError> {
        let _timer = self.metrics.signing();
        let signed = ready.route.signer.sign(&ready.unsigned, &issued.credentials, time);
        signed.map_err(|error| ProxyError::Internal(error.to_string().into()))
    }

    /// Looks on while a refusal goes down, to log what it means.
    fn watched(&self, ready: &Ready<'_>, sent: Sent, id: &str) -> Sent {
        let Some(refused) = Refused::of(&sent.response) else { return sent };
        let explained = self.explain(ready, &sent.issued.credentials, sent.signed_at);
        let canonical = explained.map(|(_, explanation)| explanation.canonical_request).unwrap_or_default();
        let witness = Witness::new(id, refused, ready.scope().clone(), canonical);
        Sent { response: sent.response.map(|body| body.watched_by(witness)), ..sent }
    }

    /// Learns the time from a gateway that refused a request for its own, and gives what to sign with by the right one:
    /// the credentials may have expired by it. `None` when the time is as it was.
    ///
    /// # Errors
    /// When the credentials have expired by the right time, and no others are to be had.
    async fn set_clock(
        &self,
        headers: &HeaderMap,
        signing: &Signing,
        received: SystemTime,
    ) -> Result<Option<Arc<Issued>>, Unavailable> {
        if let Some(date) = response::date(headers) {
            self.clock.observe_between(date, signing.sent, received);
        }
        if self.clock.offset_millis() == signing.offset {
            return Ok(None);
        }
        self.credentials.valid().await.map(Some)
    }
}

/// The state of the clock when a request was signed and sent.
struct Signing {
    offset: i64,
    /// In local time.
    sent: SystemTime,
}

impl<'a> Plan<'a> {
    /// The request with its whole body.
    #[must_use]
    pub fn with_body(self, payload: Payload) -> Ready<'a> {
        let Self { route, method, target, mut headers, form } = self;
        let payload = form.apply(payload);
        if payload.length() > 0 || headers.contains_key(header::CONTENT_TYPE) || !is_usually_empty(&method) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(payload.length()));
        }
        let unsigned = Unsigned { method, target, host: route.host.clone(), headers, payload };
        Ready { route, unsigned }
    }
}

impl Ready<'_> {
    /// What the request is signed for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.route.signer.scope()
    }

    /// `https://` or `http://` and the name that is connected to.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.route.mount.address
    }
}

fn is_usually_empty(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE")
}
