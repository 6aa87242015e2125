//! The API: a REST API of API Gateway with IAM authorisation on every method.
//!
//! Verified requests are echoed as the event of a Lambda proxy integration, answered by one of the
//! special paths of [`fixtures`], or forwarded to a local backend.

mod authorization;
mod backend;
mod canonical;
mod event;
pub mod fixtures;
#[cfg(fuzzing)]
pub mod fuzzing;
mod received;
mod verifier;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::{
    answer::{AwsError, Body, Form, REQUEST_ID, RequestIds, plain},
    credential_store::{CredentialStore, Issued},
    faults::{Calls, Faults, INVOKE},
    paced::Hangup,
    settings::Settings,
};
use crate::clock::Clock;
use backend::Backend;
pub use backend::NO_RESPONSE_FROM_BACKEND;
use received::Unreadable;
pub use received::{Received, Verdict};
use verifier::Scope;

/// The only stage; its name is the first segment of every path.
pub(super) const STAGE: &str = "prod";

pub(super) struct Api {
    scope: Scope,
    backend: Option<Backend>,
    recorded: Mutex<VecDeque<Received>>,
    record_at_most: usize,
    store: Arc<CredentialStore>,
    clock: Clock,
    faults: Faults,
    calls: Calls,
}

impl Api {
    pub(super) fn new(
        settings: &Settings,
        store: Arc<CredentialStore>,
        clock: Clock,
        faults: Faults,
        calls: Calls,
    ) -> Self {
        Self {
            scope: Scope { region: settings.region.clone(), service: "execute-api".to_owned() },
            backend: settings.backend.clone().map(Backend::new),
            recorded: Mutex::default(),
            record_at_most: settings.recorded_requests,
            store,
            clock,
            faults,
            calls,
        }
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Hangup> {
        let ids = RequestIds::random();
        let mut response = self.respond(request, peer, &ids).await?;
        // Responses of a proxy in front of the gateway have no ids.
        if response.headers().contains_key(REQUEST_ID) {
            ids.mark(Form::Gateway, response.headers_mut());
        }
        Ok(response)
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        ids: &RequestIds,
    ) -> Result<Response<Body>, Hangup> {
        self.calls.add(INVOKE);
        let mut received = match Received::read(request).await {
            Ok(received) => received,
            Err(Unreadable::Broken) => return Err(Hangup),
            Err(Unreadable::TooLarge) => return Ok(too_large()),
        };
        match Form::Gateway.disturbed(&self.faults, INVOKE).await {
            Ok(None) => {}
            disturbed => {
                self.record(received);
                return disturbed.map(|answer| answer.unwrap_or_else(too_large));
            }
        }
        let checked = self.check(&received);
        received.verdict = verdict(&checked);
        if self.record_at_most > 0 {
            self.record(received.clone());
        }
        match checked {
            Ok((path, issued)) => self.integrate(&received, &path, &issued, peer, ids).await,
            Err(error) => Ok(Form::Gateway.error(&error)),
        }
    }

    /// The latest requests, oldest first.
    pub(super) fn recorded(&self) -> Vec<Received> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn forget_recorded(&self) {
        self.lock().clear();
    }

    /// The path below the stage and the caller. An unknown stage has no authorisation to
    /// check, which is why it is found first.
    fn check(&self, received: &Received) -> Result<(String, Issued), AwsError> {
        let unknown = || AwsError::new("MissingAuthenticationTokenException", "Missing Authentication Token");
        let path = below_stage(received.path()).ok_or_else(unknown)?;
        let issued = self.scope.verify(received, &self.store, self.clock.now())?;
        Ok((path.to_owned(), issued))
    }

    async fn integrate(
        &self,
        received: &Received,
        path: &str,
        issued: &Issued,
        peer: SocketAddr,
        ids: &RequestIds,
    ) -> Result<Response<Body>, Hangup> {
        if let Some(backend) = &self.backend {
            return Ok(Form::Gateway.with_request_id(backend.forward(received, path, issued, ids).await));
        }
        if let Some(answer) = fixtures::answer(received, path, issued, &self.scope.region).await? {
            return Ok(Form::Gateway.with_request_id(answer));
        }
        let caller = event::Caller { issued, peer, region: &self.scope.region };
        let event = event::event(received, path, &caller, ids, self.clock.now());
        Ok(Form::Gateway.ok_indented(&event))
    }

    fn record(&self, received: Received) {
        let mut recorded = self.lock();
        recorded.push_back(received);
        while recorded.len() > self.record_at_most {
            recorded.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verdict(checked: &Result<(String, Issued), AwsError>) -> Verdict {
    match checked {
        Ok((_, issued)) => Verdict::Verified {
            access_key: issued.access_key.clone(),
            identity_id: issued.principal.identity_id.clone(),
            user_arn: issued.principal.user_arn(),
        },
        Err(error) => Verdict::Refused(error.code.clone()),
    }
}

/// What follows the stage, with its slash; `None` when the path is of no stage.
fn below_stage(path: &str) -> Option<&str> {
    let rest = path.trim_start_matches('/').strip_prefix(STAGE)?;
    match rest {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

fn too_large() -> Response<Body> {
    let text = "HTTP content length exceeded 10485760 bytes.".to_owned();
    let mut response = plain(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", text);
    // The rest of the payload is not read.
    response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    response
}
