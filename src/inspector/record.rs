//! One exchange as it is kept.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, Version};
use memchr::memchr;
use serde_json::Value;
use tokio::time::Instant;

use super::{attempt::RecordedAttempt, body::CapturedBody, messages::Messages, redaction::KnownSecrets};

/// A request as it has arrived.
#[derive(Debug)]
pub struct Begin<'a> {
    /// Its id in the log and in answers.
    pub request_id: &'a str,
    /// Absent when its head was refused and had none.
    pub method: Option<&'a Method>,
    /// The path, percent-encoded.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// The client's version of HTTP.
    pub version: Version,
    /// The client's headers.
    pub headers: &'a HeaderMap,
}

/// A phase of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the body and for a place.
    Queue,
    /// Waiting for credentials.
    Credentials,
    /// Waiting for a connection.
    Connect,
    /// Sending the request.
    Send,
    /// Waiting for the head of the response.
    Wait,
    /// Receiving the response.
    Receive,
}

impl Phase {
    pub(super) const COUNT: usize = Self::Receive as usize + 1;
}

/// How an exchange ended.
#[derive(Debug)]
pub struct Ending {
    /// Why the client does not have its whole answer.
    pub aborted: Option<&'static str>,
    /// The code of the proxy's own answer.
    pub code: Option<&'static str>,
}

/// Everything that is kept of an exchange, without secrets.
#[derive(Debug)]
pub(super) struct Record {
    /// Begins the id, so that one from before a restart is not another exchange's.
    pub(super) prefix: u32,
    pub(super) number: u64,
    pub(super) request_id: String,
    pub(super) started: SystemTime,
    pub(super) begun: Instant,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) version: Version,
    pub(super) replay_of: Option<String>,
    pub(super) ended: Option<Ending>,
    pub(super) status: Option<StatusCode>,
    pub(super) origin: Option<&'static str>,
    pub(super) duration: Option<Duration>,
    pub(super) phases: [Option<Duration>; Phase::COUNT],
    pub(super) attempts: Vec<RecordedAttempt>,
    pub(super) username: Option<String>,
    pub(super) identity_id: Option<String>,
    pub(super) upstream_request_id: Option<String>,
    /// Lines of `name: value`, here and below.
    pub(super) request_headers: String,
    pub(super) sent_headers: String,
    pub(super) upstream_headers: String,
    pub(super) response_headers: String,
    pub(super) canonical_request: String,
    pub(super) string_to_sign: String,
    pub(super) meaning: Option<Value>,
    pub(super) request_body: CapturedBody,
    pub(super) response_body: CapturedBody,
    /// Of a WebSocket.
    pub(super) messages: Option<Box<Messages>>,
    /// Only until the end: what must not appear in what is still to come.
    pub(super) known: KnownSecrets,
    /// Whether nothing more comes.
    pub(super) is_closed: bool,
    /// The number of its last change among all changes.
    pub(super) revision: u64,
}

impl Record {
    /// The record of a request that has just arrived.
    pub(super) fn new(prefix: u32, replay_of: Option<String>, started: SystemTime, begun: Instant) -> Self {
        Self {
            prefix,
            number: 0,
            request_id: String::new(),
            started,
            begun,
            method: String::new(),
            path: String::new(),
            query: None,
            version: Version::HTTP_11,
            replay_of,
            ended: None,
            status: None,
            origin: None,
            duration: None,
            phases: [None; Phase::COUNT],
            attempts: Vec::new(),
            username: None,
            identity_id: None,
            upstream_request_id: None,
            request_headers: String::new(),
            sent_headers: String::new(),
            upstream_headers: String::new(),
            response_headers: String::new(),
            canonical_request: String::new(),
            string_to_sign: String::new(),
            meaning: None,
            request_body: CapturedBody::default(),
            response_body: CapturedBody::default(),
            messages: None,
            known: KnownSecrets::default(),
            is_closed: false,
            revision: 0,
        }
    }

    /// By this the page asks for the exchange.
    pub(super) fn id(&self) -> String {
        id(self.prefix, self.number)
    }

    /// The memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        let texts = [
            &self.request_id,
            &self.method,
            &self.path,
            &self.request_headers,
            &self.sent_headers,
            &self.upstream_headers,
            &self.response_headers,
            &self.canonical_request,
            &self.string_to_sign,
        ];
        let options =
            [&self.query, &self.replay_of, &self.username, &self.identity_id, &self.upstream_request_id];
        let attempts = self.attempts.iter().map(RecordedAttempt::memory);
        texts.iter().map(|text| text.capacity()).sum::<usize>()
            + options.iter().filter_map(|text| text.as_ref()).map(String::capacity).sum::<usize>()
            + attempts.sum::<usize>()
            + self.meaning.as_ref().map_or(0, json_memory)
            + self.request_body.memory()
            + self.response_body.memory()
            + self.messages.as_ref().map_or(0, |messages| messages.memory())
            + self.known.memory()
    }

    /// Drops what takes memory.
    pub(super) fn free(&mut self) {
        let texts = [
            &mut self.request_headers,
            &mut self.sent_headers,
            &mut self.upstream_headers,
            &mut self.response_headers,
            &mut self.canonical_request,
            &mut self.string_to_sign,
        ];
        texts.into_iter().for_each(|text| *text = String::new());
        (self.request_body, self.response_body) = (CapturedBody::default(), CapturedBody::default());
        (self.attempts, self.meaning, self.messages) = (Vec::new(), None, None);
        self.known = KnownSecrets::default();
    }
}

pub(super) fn id(prefix: u32, number: u64) -> String {
    format!("{prefix:08x}-{number}")
}

/// The headers in lines of `name: value`.
pub(super) fn fields(lines: &str) -> impl Iterator<Item = (&str, &str)> {
    lines.lines().filter_map(field)
}

/// A line as name and value. A name has no colon.
pub(super) fn field(line: &str) -> Option<(&str, &str)> {
    let colon = memchr(b':', line.as_bytes())?;
    Some((&line[..colon], line[colon + 1..].strip_prefix(' ')?))
}

/// Milliseconds to the tenth.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn json_memory(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.capacity(),
            Value::Array(values) => values.iter().map(json_memory).sum(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| name.capacity() + json_memory(value)).sum()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}
