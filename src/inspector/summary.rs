//! An exchange as the feed and the page have it. It is written without a tree in between, since each change of each
//! exchange is written for each viewer.

use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::{Map, Value, json};

use super::{
    attempt::RecordedAttempt,
    record::{Phase, Record, fields, millis},
    redaction::Redaction,
};
use crate::rfc3339;

/// An exchange for the list: without bodies and without what was signed.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    id: String,
    revision: u64,
    request_id: &'a str,
    started: String,
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    http: &'static str,
    origin: Option<&'static str>,
    status: Option<u16>,
    state: &'static str,
    bytes_up: u64,
    bytes_down: u64,
    duration_ms: f64,
    timing: Timing,
    attempts: Vec<Attempt<'a>>,
    upstream_request_id: Option<&'a str>,
    has_detail: bool,
    request_headers: Headers<'a>,
    sent_headers: Headers<'a>,
    upstream_headers: Headers<'a>,
    response_headers: Headers<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aborted: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    websocket: Option<Value>,
}

/// How long each phase took, in milliseconds.
#[derive(Serialize)]
struct Timing {
    queue: Option<f64>,
    credentials: Option<f64>,
    connect: Option<f64>,
    send: Option<f64>,
    wait: Option<f64>,
    receive: Option<f64>,
}

#[derive(Serialize)]
struct Identity<'a> {
    username: Option<&'a str>,
    identity_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Attempt<'a> {
    number: usize,
    status: Option<u16>,
    upstream: &'a str,
    connection: Option<&'static str>,
    region: &'a str,
    service: &'a str,
    access_key_id: String,
    signed_headers: Vec<&'a str>,
    signed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Lines of headers as pairs of name and value.
struct Headers<'a>(&'a str);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(None)?;
        for pair in fields(self.0) {
            pairs.serialize_element(&pair)?;
        }
        pairs.end()
    }
}

impl Record {
    /// For the list.
    pub(super) fn summary(&self) -> Summary<'_> {
        let aborted = self.ended.as_ref().and_then(|ended| ended.aborted);
        let bodies = [self.request_body.size, self.response_body.size];
        let [bytes_up, bytes_down] = self.messages.as_ref().map_or(bodies, |messages| messages.bytes());
        let mut page_origin = fields(&self.request_headers).filter(|(name, _)| *name == "origin");
        Summary {
            id: self.id(),
            revision: self.revision,
            request_id: &self.request_id,
            started: rfc3339::millis(self.started).unwrap_or_default(),
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            http: if self.version == http::Version::HTTP_10 { "1.0" } else { "1.1" },
            origin: self.origin,
            status: self.status.map(|status| status.as_u16()),
            state: match (&self.ended, aborted) {
                (None, _) => "active",
                (Some(_), None) => "complete",
                (Some(_), Some(_)) => "aborted",
            },
            bytes_up,
            bytes_down,
            duration_ms: millis(self.duration.unwrap_or_else(|| self.begun.elapsed())),
            timing: self.timing(),
            attempts: self
                .attempts
                .iter()
                .zip(1..)
                .map(|(attempt, number)| attempt.summary(number))
                .collect(),
            upstream_request_id: self.upstream_request_id.as_deref(),
            has_detail: true,
            request_headers: Headers(&self.request_headers),
            sent_headers: Headers(&self.sent_headers),
            upstream_headers: Headers(&self.upstream_headers),
            response_headers: Headers(&self.response_headers),
            aborted,
            code: self.ended.as_ref().and_then(|ended| ended.code),
            page_origin: page_origin.next().map(|(_, value)| value),
            replay_of: self.replay_of.as_deref(),
            meaning: self.meaning.as_ref(),
            identity: self.identity(),
            websocket: self.messages.as_ref().map(|messages| messages.summary()),
        }
    }

    fn identity(&self) -> Option<Identity<'_>> {
        let (username, identity_id) = (self.username.as_deref(), self.identity_id.as_deref());
        (username.is_some() || identity_id.is_some()).then_some(Identity { username, identity_id })
    }

    fn timing(&self) -> Timing {
        let of = |phase: Phase| self.phases[phase as usize].map(millis);
        Timing {
            queue: of(Phase::Queue),
            credentials: of(Phase::Credentials),
            connect: of(Phase::Connect),
            send: of(Phase::Send),
            wait: of(Phase::Wait),
            receive: of(Phase::Receive),
        }
    }

    /// Everything, for the page that shows one exchange.
    pub(super) fn detail(&self, redaction: &Redaction) -> Map<String, Value> {
        let mut exchange = match serde_json::to_value(self.summary()) {
            Ok(Value::Object(exchange)) => exchange,
            Ok(_) | Err(_) => Map::new(),
        };
        exchange.insert("canonical_request".to_owned(), json!(self.canonical_request));
        exchange.insert("string_to_sign".to_owned(), json!(self.string_to_sign));
        exchange.insert("request_body".to_owned(), self.request_body.json(redaction, self.known.clone()));
        exchange.insert("response_body".to_owned(), self.response_body.json(redaction, self.known.clone()));
        if let Some(messages) = &self.messages {
            exchange.insert("messages".to_owned(), messages.json(self.started));
        }
        exchange
    }
}

impl RecordedAttempt {
    fn summary(&self, number: usize) -> Attempt<'_> {
        let signed = self.signed_headers.split(';').filter(|name| !name.is_empty());
        Attempt {
            number,
            status: self.status.map(|status| status.as_u16()),
            upstream: &self.destination.upstream,
            connection: self.reused.map(|reused| if reused { "reused" } else { "new" }),
            region: &self.destination.region,
            service: &self.destination.service,
            access_key_id: format!("…{}", self.access_key_end),
            signed_headers: signed.collect(),
            signed_at: rfc3339::millis(self.signed_at).unwrap_or_default(),
            reason: self.reason,
            error: self.error.as_deref(),
        }
    }
}
