//! One exchange as it is kept.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use super::{
    attempt::RecordedAttempt,
    body::CapturedBody,
    messages::Messages,
    redaction::{KnownSecrets, Place, Redaction},
};

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
    const ALL: [Self; 6] =
        [Self::Queue, Self::Credentials, Self::Connect, Self::Send, Self::Wait, Self::Receive];

    fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Credentials => "credentials",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Receive => "receive",
        }
    }
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
    pub(super) id: String,
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
    pub(super) code: Option<&'static str>,
    pub(super) duration: Option<Duration>,
    pub(super) phases: [Option<Duration>; 6],
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
    /// The number of its last change among all changes.
    pub(super) revision: u64,
}

/// What a record takes besides its texts: itself, its place in the ring, and the allocator's own.
const OVERHEAD: usize = 2 * size_of::<Record>();

impl Record {
    /// The record of a request that has just arrived; the ring gives it its number.
    pub(super) fn new(request: &Begin<'_>, redaction: &Redaction, started: SystemTime) -> Self {
        let begun = Instant::now();
        let mut known = KnownSecrets::default();
        let mut request_headers = redaction.headers(request.headers, &[], &mut known);
        request_headers.shrink_to_fit();
        let mut without_secrets = |text: &str, place| redaction.text(text.to_owned(), place, &mut known);
        // The query first: what it names may be in the path as well.
        let query = request.query.map(|query| without_secrets(query, Place::Url));
        let path = without_secrets(request.path, Place::Url);
        let request_id = without_secrets(request.request_id, Place::Body);
        Self {
            id: String::new(),
            request_id,
            started,
            begun,
            method: request.method.map(|method| method.as_str().to_owned()).unwrap_or_default(),
            path,
            query,
            version: request.version,
            replay_of: None,
            ended: None,
            status: None,
            origin: None,
            code: None,
            duration: None,
            phases: [None; 6],
            attempts: Vec::new(),
            username: None,
            identity_id: None,
            upstream_request_id: None,
            request_headers,
            sent_headers: String::new(),
            upstream_headers: String::new(),
            response_headers: String::new(),
            canonical_request: String::new(),
            string_to_sign: String::new(),
            meaning: None,
            request_body: CapturedBody::unread(request.headers),
            response_body: CapturedBody::default(),
            messages: None,
            known,
            revision: 0,
        }
    }

    /// Removes a header of the request.
    pub(super) fn remove_request_header(&mut self, removed: &HeaderName) {
        let kept = fields(&self.request_headers).filter(|(name, _)| *name != removed.as_str());
        self.request_headers = kept.map(|(name, value)| format!("{name}: {value}\n")).collect();
    }

    pub(super) fn add(&mut self, phase: Phase, time: Duration) {
        let known = &mut self.phases[phase as usize];
        *known = Some(known.unwrap_or_default() + time);
    }

    /// The memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        let texts = [
            &self.id,
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
        OVERHEAD
            + texts.iter().map(|text| text.capacity()).sum::<usize>()
            + options.iter().filter_map(|text| text.as_ref()).map(String::capacity).sum::<usize>()
            + attempts.sum::<usize>()
            + self.meaning.as_ref().map_or(0, json_memory)
            + self.request_body.memory()
            + self.response_body.memory()
            + self.messages.as_ref().map_or(0, |messages| messages.memory())
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
    }

    /// For the list: without bodies and without what was signed.
    pub(super) fn summary(&self) -> Map<String, Value> {
        let aborted = self.ended.as_ref().and_then(|ended| ended.aborted);
        let state = match (&self.ended, aborted) {
            (None, _) => "active",
            (Some(_), None) => "complete",
            (Some(_), Some(_)) => "aborted",
        };
        let attempts = self.attempts.iter().zip(1..).map(|(attempt, number)| attempt.json(number));
        let mut page_origin = fields(&self.request_headers).filter(|(name, _)| *name == "origin");
        let bodies = [self.request_body.size, self.response_body.size];
        let [bytes_up, bytes_down] = self.messages.as_ref().map_or(bodies, |messages| messages.bytes());
        let present = [
            ("id", json!(self.id)),
            ("revision", json!(self.revision)),
            ("request_id", json!(self.request_id)),
            ("started", json!(rfc3339(self.started))),
            ("method", json!(self.method)),
            ("path", json!(self.path)),
            ("query", json!(self.query)),
            ("http", json!(if self.version == Version::HTTP_10 { "1.0" } else { "1.1" })),
            ("origin", json!(self.origin)),
            ("status", json!(self.status.map(|status| status.as_u16()))),
            ("state", json!(state)),
            ("bytes_up", json!(bytes_up)),
            ("bytes_down", json!(bytes_down)),
            ("duration_ms", json!(millis(self.duration.unwrap_or_else(|| self.begun.elapsed())))),
            ("timing", self.timing()),
            ("attempts", attempts.collect()),
            ("upstream_request_id", json!(self.upstream_request_id)),
            ("has_detail", json!(true)),
        ];
        let optional = [
            ("aborted", aborted.map(Value::from)),
            ("code", self.code.map(Value::from)),
            ("page_origin", page_origin.next().map(|(_, value)| value.into())),
            ("replay_of", self.replay_of.as_deref().map(Value::from)),
            ("meaning", self.meaning.clone()),
            ("identity", self.identity()),
            ("websocket", self.messages.as_ref().map(|messages| messages.summary())),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let exchange = present.into_iter().chain(self.headers()).chain(optional);
        exchange.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn headers(&self) -> [(&'static str, Value); 4] {
        [
            ("request_headers", pairs(&self.request_headers)),
            ("sent_headers", pairs(&self.sent_headers)),
            ("upstream_headers", pairs(&self.upstream_headers)),
            ("response_headers", pairs(&self.response_headers)),
        ]
    }

    fn identity(&self) -> Option<Value> {
        let known = self.username.is_some() || self.identity_id.is_some();
        known.then(|| json!({ "username": self.username, "identity_id": self.identity_id }))
    }

    fn timing(&self) -> Value {
        let phases = Phase::ALL.into_iter().zip(self.phases);
        phases
            .map(|(phase, time)| (phase.name().to_owned(), json!(time.map(millis))))
            .collect::<Map<_, _>>()
            .into()
    }

    /// Everything, for the page that shows one exchange.
    pub(super) fn detail(&self, redaction: &Redaction) -> Map<String, Value> {
        let mut exchange = self.summary();
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

/// The headers in lines of `name: value`.
pub(super) fn fields(lines: &str) -> impl Iterator<Item = (&str, &str)> {
    lines.lines().filter_map(|line| line.split_once(": "))
}

fn pairs(lines: &str) -> Value {
    fields(lines).map(|(name, value)| json!([name, value])).collect()
}

/// Milliseconds to the tenth.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let whole = time.replace_nanosecond(time.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
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
