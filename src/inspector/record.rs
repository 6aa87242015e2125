//! One exchange as it is kept.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, Version};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use super::{
    body::CapturedBody,
    redaction::{KnownSecrets, Redaction},
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

/// What was signed for an attempt.
#[derive(Debug)]
pub struct Signed<'a> {
    /// The request's headers at the upstream.
    pub headers: &'a HeaderMap,
    /// The canonical request.
    pub canonical_request: &'a [u8],
    /// The string to sign.
    pub string_to_sign: &'a str,
}

/// An attempt to send the request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Why there is another attempt after the one before.
    pub reason: Option<&'static str>,
    /// `https://` and the name that is connected to.
    pub upstream: String,
    /// The region that is signed for.
    pub region: String,
    /// The service that is signed for.
    pub service: String,
    /// The last four letters of the access key id.
    pub access_key_end: String,
    /// When it was signed, in AWS's time.
    pub signed_at: Option<SystemTime>,
}

/// An attempt and what came of it.
#[derive(Debug)]
pub(super) struct RecordedAttempt {
    pub(super) attempt: Attempt,
    /// The names in the signature.
    pub(super) signed_headers: String,
    /// The status of the response.
    pub(super) status: Option<StatusCode>,
    /// Why there is none.
    pub(super) error: Option<String>,
    /// Whether the connection came from the pool.
    pub(super) reused: Option<bool>,
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
    /// Only until the end: what must not appear in what is still to come.
    pub(super) known: KnownSecrets,
    /// The number of its last change among all changes.
    pub(super) revision: u64,
}

/// What a record takes besides its texts: itself, its place in the ring, and the allocator's own.
const OVERHEAD: usize = 2 * size_of::<Record>();

impl Record {
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
        (self.attempts, self.meaning) = (Vec::new(), None);
    }

    /// For the list: without bodies and without what was signed.
    pub(super) fn summary(&self) -> Map<String, Value> {
        let mut exchange = Map::new();
        let mut put = |name: &str, value: Value| exchange.insert(name.to_owned(), value);
        put("id", json!(self.id));
        put("revision", json!(self.revision));
        put("request_id", json!(self.request_id));
        put("started", json!(rfc3339(self.started)));
        put("method", json!(self.method));
        put("path", json!(self.path));
        put("query", json!(self.query));
        put("http", json!(if self.version == Version::HTTP_10 { "1.0" } else { "1.1" }));
        put("origin", json!(self.origin));
        put("status", json!(self.status.map(|status| status.as_u16())));
        let aborted = self.ended.as_ref().and_then(|ended| ended.aborted);
        put(
            "state",
            json!(match (&self.ended, aborted) {
                (None, _) => "active",
                (Some(_), None) => "complete",
                (Some(_), Some(_)) => "aborted",
            }),
        );
        put("bytes_up", json!(self.request_body.size));
        put("bytes_down", json!(self.response_body.size));
        put("duration_ms", json!(millis(self.duration.unwrap_or_else(|| self.begun.elapsed()))));
        put("timing", self.timing());
        put(
            "attempts",
            self.attempts.iter().zip(1..).map(|(attempt, number)| attempt.json(number)).collect(),
        );
        put("upstream_request_id", json!(self.upstream_request_id));
        put("request_headers", pairs(&self.request_headers));
        put("sent_headers", pairs(&self.sent_headers));
        put("upstream_headers", pairs(&self.upstream_headers));
        put("response_headers", pairs(&self.response_headers));
        put("has_detail", json!(true));
        let page_origin =
            fields(&self.request_headers).find(|(name, _)| *name == "origin").map(|(_, value)| value);
        let optional = [
            ("aborted", aborted.map(Value::from)),
            ("code", self.code.map(Value::from)),
            ("page_origin", page_origin.map(Value::from)),
            ("replay_of", self.replay_of.as_deref().map(Value::from)),
            ("meaning", self.meaning.clone()),
            ("identity", self.identity()),
        ];
        exchange.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        exchange
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
        exchange.insert("request_body".to_owned(), self.request_body.json(redaction, &self.known));
        exchange.insert("response_body".to_owned(), self.response_body.json(redaction, &self.known));
        exchange
    }
}

impl RecordedAttempt {
    fn memory(&self) -> usize {
        let Attempt { upstream, region, service, access_key_end, .. } = &self.attempt;
        let texts = [upstream, region, service, access_key_end, &self.signed_headers];
        size_of::<Self>()
            + texts.iter().map(|text| text.capacity()).sum::<usize>()
            + self.error.as_ref().map_or(0, String::capacity)
    }

    fn json(&self, number: usize) -> Value {
        let Attempt { reason, upstream, region, service, access_key_end, signed_at } = &self.attempt;
        let mut attempt = json!({
            "number": number,
            "status": self.status.map(|status| status.as_u16()),
            "upstream": upstream,
            "connection": self.reused.map(|reused| if reused { "reused" } else { "new" }),
            "region": region,
            "service": service,
            "access_key_id": format!("…{access_key_end}"),
            "signed_headers": self.signed_headers.split(';').filter(|name| !name.is_empty()).collect::<Vec<_>>(),
            "signed_at": signed_at.map(rfc3339),
        });
        let optional =
            [("reason", reason.map(Value::from)), ("error", self.error.as_deref().map(Value::from))];
        for (name, value) in optional {
            if let Some(value) = value {
                attempt[name] = value;
            }
        }
        attempt
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
