//! The API: a REST API and a WebSocket API of API Gateway on one stage, with IAM authorisation on every route that is
//! not set to another.
//!
//! Authorised requests are echoed as the event of a Lambda proxy integration, answered by one of the
//! special paths of [`fixtures`], or forwarded to a local backend.

mod authorization;
mod authorizer;
mod backend;
mod canonical;
mod event;
pub mod fixtures;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateway_error;
mod received;
mod recording;
mod verifier;
mod websocket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::{
    answer::{AwsError, Body, Form, REQUEST_ID, RequestIds, plain},
    credential_store::CredentialStore,
    faults::{CONNECT, Calls, Faults, INVOKE},
    paced::Hangup,
    settings::Settings,
    user_pool::Location,
};
use crate::clock::Clock;
pub use authorizer::{ApiRoute, Authorization};
use authorizer::{Authorizer, Caller};
use backend::Backend;
pub use backend::NO_RESPONSE_FROM_BACKEND;
pub use gateway_error::GatewayError;
use received::Unreadable;
pub use received::{Received, Verdict};
use recording::Recording;
use verifier::Scope;
pub use websocket::WebSocketLimits;
pub(super) use websocket::{ABNORMAL, is_sendable};
use websocket::{Opening, WebSocketApi};

/// The only stage; its name is the first segment of every path.
pub(super) const STAGE: &str = "prod";

/// How long an integration may take, API Gateway's default and maximum for a regional REST API.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);

pub(super) struct Api {
    region: String,
    authorizer: Authorizer,
    backend: Option<Arc<Backend>>,
    websocket: WebSocketApi,
    recording: Recording,
    store: Arc<CredentialStore>,
    clock: Clock,
    faults: Faults,
    calls: Calls,
}

impl Api {
    pub(super) fn new(
        settings: &Settings,
        location: Location,
        store: Arc<CredentialStore>,
        clock: Clock,
        faults: Faults,
        calls: Calls,
    ) -> Self {
        let region = settings.region.clone();
        let backend = settings.backend.clone().map(|base| Arc::new(Backend::new(base)));
        Self {
            websocket: WebSocketApi::new(region.clone(), settings.websocket, backend.clone(), clock.clone()),
            authorizer: Authorizer {
                routes: settings.api_routes.clone(),
                scope: Scope { region: region.clone(), service: "execute-api".to_owned() },
                location,
                clients: settings.clients.iter().map(|client| client.id.clone()).collect(),
            },
            region,
            backend,
            recording: Recording::new(settings.recorded_requests),
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
        mut request: Request<Incoming>,
        peer: SocketAddr,
        ids: &RequestIds,
    ) -> Result<Response<Body>, Hangup> {
        self.calls.add(INVOKE);
        let upgrade = websocket::is_asked(&request).then(|| hyper::upgrade::on(&mut request));
        let mut received = match Received::read(request).await {
            Ok(received) => received,
            Err(Unreadable::Broken) => return Err(Hangup),
            Err(Unreadable::TooLarge) => return Ok(too_large()),
        };
        let of_connect = upgrade.as_ref().and_then(|_| self.faults.take(CONNECT));
        let fault = of_connect.or_else(|| self.faults.take(INVOKE));
        match Form::Gateway.carry_out(fault.clone()).await {
            Ok(None) => {}
            disturbed => {
                self.recording.add(&received);
                return disturbed.map(|answer| answer.unwrap_or_else(too_large));
            }
        }
        let checked = self.check(&received);
        received.verdict = verdict(&checked);
        self.recording.add(&received);
        match checked {
            Ok((path, caller)) => {
                if let Some(upgrade) = upgrade {
                    let (received, path, caller) = (&received, path.as_str(), &caller);
                    let opening = Opening { received, path, caller, peer, fault };
                    return Ok(self.websocket.open(&opening, upgrade).await);
                }
                let integrated = self.integrate(&received, &path, &caller, peer, ids);
                tokio::time::timeout(INTEGRATION_TIMEOUT, integrated)
                    .await
                    .unwrap_or_else(|_| Ok(gateway_error::INTEGRATION_TIMEOUT.response()))
            }
            Err(error) => Ok(Form::Gateway.error(&error)),
        }
    }

    /// Closes the WebSocket connections.
    pub(super) async fn close_connections(&self) {
        self.websocket.close().await;
    }

    /// The latest requests, oldest first.
    pub(super) fn recorded(&self) -> Vec<Received> {
        self.recording.all()
    }

    pub(super) fn forget_recorded(&self) {
        self.recording.clear();
    }

    /// The path below the stage and the caller. An unknown stage has no authorisation to
    /// check, which is why it is found first.
    fn check(&self, received: &Received) -> Result<(String, Caller), AwsError> {
        let unknown = || AwsError::new("MissingAuthenticationTokenException", "Missing Authentication Token");
        let path = below_stage(received.path()).ok_or_else(unknown)?;
        let caller = self.authorizer.authorize(received, path, &self.store, self.clock.now())?;
        Ok((path.to_owned(), caller))
    }

    async fn integrate(
        &self,
        received: &Received,
        path: &str,
        caller: &Caller,
        peer: SocketAddr,
        ids: &RequestIds,
    ) -> Result<Response<Body>, Hangup> {
        if let Some(id) = websocket::connection_id(path) {
            return Ok(self.websocket.manage(received, &id));
        }
        if let Some(backend) = &self.backend {
            return Ok(Form::Gateway.with_request_id(backend.forward(received, path, caller, ids).await));
        }
        if let Some(answer) = fixtures::answer(received, path, caller, &self.region).await? {
            return Ok(Form::Gateway.with_request_id(answer));
        }
        let sender = event::Sender { caller, peer, region: &self.region };
        let event = event::event(received, path, &sender, ids, self.clock.now());
        Ok(Form::Gateway.ok_indented(&event))
    }
}

fn verdict(checked: &Result<(String, Caller), AwsError>) -> Verdict {
    match checked {
        Ok((_, Caller::Iam(issued))) => Verdict::Verified {
            access_key: issued.access_key.clone(),
            identity_id: issued.principal.identity_id.clone(),
            user_arn: issued.principal.user_arn(),
        },
        Ok((_, Caller::UserPool(_))) => Verdict::Admitted(Authorization::UserPool),
        Ok((_, Caller::Anonymous)) => Verdict::Admitted(Authorization::None),
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
