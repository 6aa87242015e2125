//! A WebSocket API on the API's stage: handshakes open connections, messages go to routes, and signed requests to
//! `@connections` reach a connection from outside.
//!
//! Limits, close codes, events and errors are API Gateway's. Handshakes are authorised like any other request.

mod connections;
mod event;
mod handshake;
mod integration;
mod management;
mod session;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use super::{
    authorizer::Caller,
    backend::{self, Backend},
    event::{self as http_event, Sender},
    gateway_error,
    received::Received,
};
use crate::{
    clock::Clock,
    sandbox::{
        answer::{Body, Form},
        faults::Fault,
        percent::Pairs,
        server::AfterUpgrade,
    },
};
use connections::{Connections, Registration};
use event::ConnectionFacts;
use handshake::Handshake;
pub(super) use handshake::is_asked;
pub(in crate::sandbox) use integration::is_sendable;
use integration::{BackendRoute, Integration};
pub(super) use management::connection_id;
pub(in crate::sandbox) use session::ABNORMAL;
use session::Session;

/// How long the end of the sandbox waits for clients to answer its Close frames.
const MAX_SHUTDOWN: Duration = Duration::from_secs(1);

/// The limits of a WebSocket API; the defaults are API Gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// Open connections at a time.
    pub max_connections: usize,
    /// Bytes of one frame.
    pub max_frame: usize,
    /// Bytes of one message.
    pub max_message: usize,
    /// How long a connection may be without a message.
    pub idle_timeout: Duration,
    /// How long a connection may last.
    pub max_lifetime: Duration,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            max_connections: 500,
            max_frame: 32 * 1024,
            max_message: 128 * 1024,
            idle_timeout: Duration::from_secs(10 * 60),
            max_lifetime: Duration::from_secs(2 * 3600),
        }
    }
}

pub(super) struct WebSocketApi {
    region: String,
    limits: WebSocketLimits,
    backend: Option<Arc<Backend>>,
    connections: Arc<Connections>,
    clock: Clock,
}

/// An authorised handshake.
pub(super) struct Opening<'a> {
    pub(super) received: &'a Received,
    /// The path below the stage.
    pub(super) path: &'a str,
    pub(super) caller: &'a Caller,
    pub(super) peer: SocketAddr,
    /// What is planned for this connection.
    pub(super) fault: Option<Fault>,
}

impl WebSocketApi {
    pub(super) fn new(
        region: String,
        limits: WebSocketLimits,
        backend: Option<Arc<Backend>>,
        clock: Clock,
    ) -> Self {
        Self { region, limits, backend, connections: Connections::new(limits.max_connections), clock }
    }

    /// Answers a handshake: 101 and a session behind it, or the gateway's refusal.
    pub(super) async fn open(&self, opening: &Opening<'_>, upgrade: OnUpgrade) -> Response<Body> {
        let mut handshake = match Handshake::parse(opening.received) {
            Ok(handshake) => handshake,
            Err(malformed) => return malformed.response(),
        };
        let Some(registration) = self.register(opening) else { return gateway_error::THROTTLED.response() };
        let integration = self.integration(opening, registration.id.clone());
        let chosen = match integration.connect().await {
            Ok(chosen) => chosen,
            Err(status) => {
                tracing::warn!(
                    status = status.as_u16(),
                    "WebSocket connection refused: backend did not accept it"
                );
                return refused(status);
            }
        };
        if matches!(opening.fault, Some(Fault::WrongAccept)) {
            handshake = handshake.with_wrong_accept();
        }
        // A browser gives up where it has offered subprotocols and the server chooses none.
        let preferred = handshake.preferred_protocol().filter(|_| self.backend.is_none());
        let mut response = handshake.response(chosen.as_deref().or(preferred));
        let close_after = match opening.fault {
            Some(Fault::CloseAfter { messages, code }) => Some((messages, code)),
            _ => None,
        };
        let session = Session {
            registration,
            limits: self.limits,
            integration: Arc::new(integration),
            clock: self.clock.clone(),
            close_after,
        };
        response.extensions_mut().insert(AfterUpgrade::new(session.run(upgrade)));
        response
    }

    /// Answers a request to `@connections`.
    pub(super) fn manage(&self, received: &Received, id: &str) -> Response<Body> {
        management::answer(&self.connections, received, id, self.limits.max_message)
    }

    /// Closes all connections, as the gateway does when an API goes away.
    pub(super) async fn close(&self) {
        let frame = CloseFrame { code: CloseCode::Away, reason: "Going away".into() };
        self.connections.close_all(&frame, MAX_SHUTDOWN).await;
    }

    fn register(&self, opening: &Opening<'_>) -> Option<Registration> {
        let user_agent = opening.received.header("user-agent").map(str::to_owned);
        self.connections.register(opening.peer.ip(), user_agent, self.clock.now())
    }

    fn integration(&self, opening: &Opening<'_>, connection_id: String) -> Integration {
        let Opening { received, path, caller, peer, .. } = *opening;
        let sender = Sender { caller, peer, region: &self.region };
        let query = received.query().map_or_else(String::new, |query| format!("?{query}"));
        let facts = ConnectionFacts {
            connection_id,
            connected_at: self.clock.now(),
            domain: received.header("host").unwrap_or_default().to_owned(),
            identity: http_event::identity(received, &sender),
            headers: http_event::headers(received, peer),
            query: Pairs::parse(received.query().unwrap_or_default()).into_vec(),
        };
        let backend = self.backend.as_ref().map(|backend| BackendRoute {
            backend: backend.clone(),
            path: format!("{path}{query}"),
            identity: backend::identity_headers(caller),
        });
        Integration { facts, clock: self.clock.clone(), backend }
    }
}

/// What the gateway answers where the integration of `$connect` does not answer 200.
fn refused(status: StatusCode) -> Response<Body> {
    let message = status.canonical_reason().unwrap_or("Forbidden");
    Form::Gateway.json(status, &json!({ "message": message }))
}
