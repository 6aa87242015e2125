//! The events that a Lambda proxy integration of a WebSocket API receives.

use std::time::SystemTime;

use serde_json::{Value, json};
use time::{UtcDateTime, format_description::StaticFormatDescription, macros::format_description};

use super::connections::random_id;
use crate::sandbox::api::{STAGE, event};

pub(super) const CONNECT: &str = "$connect";
pub(super) const DISCONNECT: &str = "$disconnect";
pub(super) const DEFAULT: &str = "$default";

const REQUEST_TIME: StaticFormatDescription =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// What all events of one connection have in common.
pub(super) struct ConnectionFacts {
    pub(super) connection_id: String,
    pub(super) connected_at: SystemTime,
    /// Host and port at which `@connections` is reached.
    pub(super) domain: String,
    pub(super) identity: Value,
    /// The fields of the handshake, as pairs.
    pub(super) headers: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
}

impl ConnectionFacts {
    pub(super) fn connect(&self, now: SystemTime) -> Value {
        let mut event = self.event("CONNECT", CONNECT, now);
        event["headers"] = json!(event::last_values(&self.headers));
        event["multiValueHeaders"] = json!(event::all_values(&self.headers));
        if !self.query.is_empty() {
            event["queryStringParameters"] = json!(event::last_values(&self.query));
            event["multiValueQueryStringParameters"] = json!(event::all_values(&self.query));
        }
        event
    }

    pub(super) fn message(&self, route_key: &str, body: &str, now: SystemTime) -> Value {
        let mut event = self.event("MESSAGE", route_key, now);
        event["requestContext"]["messageId"] = random_id().into();
        event["body"] = body.into();
        event
    }

    pub(super) fn disconnect(&self, code: u16, reason: &str, now: SystemTime) -> Value {
        let mut event = self.event("DISCONNECT", DISCONNECT, now);
        event["requestContext"]["disconnectStatusCode"] = code.into();
        event["requestContext"]["disconnectReason"] = reason.into();
        event
    }

    /// What the gateway itself says to a client in place of an integration.
    pub(super) fn gateway_message(&self, message: &str) -> String {
        json!({ "message": message, "connectionId": self.connection_id, "requestId": random_id() })
            .to_string()
    }

    fn event(&self, event_type: &str, route_key: &str, now: SystemTime) -> Value {
        let request_id = random_id();
        json!({
            "requestContext": {
                "routeKey": route_key,
                "eventType": event_type,
                "extendedRequestId": request_id,
                "requestTime": UtcDateTime::from(now).format(REQUEST_TIME).expect("no component can fail"),
                "messageDirection": "IN",
                "stage": STAGE,
                "connectedAt": epoch_millis(self.connected_at),
                "requestTimeEpoch": epoch_millis(now),
                "identity": self.identity,
                "requestId": request_id,
                "domainName": self.domain,
                "connectionId": self.connection_id,
                "apiId": "sandbox",
            },
            "isBase64Encoded": false,
        })
    }
}

fn epoch_millis(time: SystemTime) -> i64 {
    let time = UtcDateTime::from(time);
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}
