//! What answers a connection's events: the user's own server, or else an echo.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::event::{ConnectionFacts, DEFAULT};
use crate::{
    clock::Clock,
    sandbox::api::{
        INTEGRATION_TIMEOUT,
        backend::{Backend, EventAnswer, PREFIX},
    },
};

/// The code of a connection that `{"action":"close"}` closes, where the message names none.
const DEFAULT_CLOSE_CODE: u16 = 1000;
/// Bytes of a Close frame's reason (RFC 6455 section 5.5).
const MAX_REASON: usize = 123;

/// What the events of one connection go to.
pub(super) struct Integration {
    pub(super) facts: ConnectionFacts,
    pub(super) clock: Clock,
    /// The server, with the path and the headers of the handshake.
    pub(super) backend: Option<BackendRoute>,
}

/// Where a connection's events go.
pub(super) struct BackendRoute {
    pub(super) backend: Arc<Backend>,
    /// Path below the stage, and query.
    pub(super) path: String,
    /// Who is connected, in the headers that a request gets as well.
    pub(super) identity: HeaderMap,
}

/// How the sandbox itself answers a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Close(CloseFrame),
}

/// The routes that the sandbox has without a backend.
#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Action {
    Event,
    Close { code: Option<u16>, reason: Option<String> },
}

impl Integration {
    /// Whether the client may connect, and the subprotocol that the server chose; else the status of the refusal.
    pub(super) async fn connect(&self) -> Result<Option<String>, StatusCode> {
        let event = self.facts.connect(self.clock.now());
        match self.call(&event).await {
            None => Ok(None),
            Some(Ok(answer)) if answer.status.is_success() => Ok(answer.protocol),
            Some(Ok(answer)) if answer.status.is_client_error() || answer.status.is_server_error() => {
                Err(answer.status)
            }
            Some(Ok(_) | Err(_)) => Err(StatusCode::BAD_GATEWAY),
        }
    }

    /// The server's answer to a message, as the gateway passes it on; nothing where it answers nothing.
    pub(super) async fn message(&self, body: &str) -> Option<String> {
        let event = self.facts.message(&route_key(body), body, self.clock.now());
        match self.call(&event).await? {
            Ok(answer) => Some(answer.body).filter(|body| !body.is_empty()),
            Err(message) => Some(self.facts.gateway_message(message)),
        }
    }

    pub(super) async fn disconnect(&self, code: u16, reason: &str) {
        // The connection has ended, so that there is nobody to pass an answer on to.
        self.call(&self.facts.disconnect(code, reason, self.clock.now())).await;
    }

    /// What the sandbox answers where there is no backend.
    pub(super) fn own_reply(&self, body: &str) -> Reply {
        match serde_json::from_str(body) {
            Ok(Action::Event) => {
                let event = self.facts.message("event", body, self.clock.now());
                Reply::Text(format!("{event:#}"))
            }
            Ok(Action::Close { code, reason }) => {
                let code = code.filter(|code| is_sendable(*code)).unwrap_or(DEFAULT_CLOSE_CODE);
                let mut reason = reason.unwrap_or_default();
                reason.truncate(reason.floor_char_boundary(MAX_REASON));
                Reply::Close(CloseFrame { code: code.into(), reason: reason.into() })
            }
            Err(_) => Reply::Text(body.to_owned()),
        }
    }

    /// `None` without a backend; the error is the gateway's message.
    async fn call(&self, event: &Value) -> Option<Result<EventAnswer, &'static str>> {
        let route = self.backend.as_ref()?;
        let mut headers = route.identity.clone();
        let context = &event["requestContext"];
        for (name, key) in
            [("event-type", "eventType"), ("route-key", "routeKey"), ("connection-id", "connectionId")]
        {
            let value = context[key].as_str().and_then(|value| HeaderValue::try_from(value).ok());
            if let (Ok(name), Some(value)) = (HeaderName::try_from(format!("{PREFIX}{name}")), value) {
                headers.insert(name, value);
            }
        }
        let posted =
            timeout(INTEGRATION_TIMEOUT, route.backend.post_event(&route.path, headers, event)).await;
        Some(match posted {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err("Internal server error"),
            Err(_) => Err("Endpoint request timed out"),
        })
    }
}

/// `$request.body.action`; a message without one goes to `$default`.
fn route_key(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let action = parsed.as_ref().and_then(|body| body["action"].as_str());
    action.filter(|action| !action.is_empty()).unwrap_or(DEFAULT).to_owned()
}

/// Whether a server may send this code in a Close frame (RFC 6455 section 7.4).
pub(in crate::sandbox) fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_action_of_a_json_message_selects_its_route() {
        for (body, key) in [
            (r#"{"action":"send","to":"a"}"#, "send"),
            (r#"{"action":""}"#, DEFAULT),
            (r#"{"action":1}"#, DEFAULT),
            (r#"{"type":"send"}"#, DEFAULT),
            (r#"["action"]"#, DEFAULT),
            ("hello", DEFAULT),
            ("", DEFAULT),
        ] {
            assert_eq!(route_key(body), key, "{body}");
        }
    }
}
