//! Takes what an exchange has reported into its record, without secrets.

use http::Method;
use serde_json::Value;

use super::{
    Mode,
    attempt::RecordedAttempt,
    body::{CapturedBody, Content},
    pending::{Arrived, Attempted, Event},
    raw::Raw,
    record::{Record, fields},
    redaction::{KnownSecrets, Place, Redaction},
    ring::Entry,
};

/// The upstream's own id of a request.
const X_AMZN_REQUESTID: &str = "x-amzn-requestid";

impl Record {
    /// Takes over what `entry` has reported since the last time; `false` when that is nothing.
    pub(super) fn update(&mut self, entry: &Entry, redaction: &Redaction, mode: Mode) -> bool {
        let mut pending = entry.pending();
        let has_changed = std::mem::take(&mut pending.has_changed);
        let (events, kept) = (pending.take_events(), std::mem::take(&mut pending.response.kept));
        let (size, is_closed) = (pending.response.size, pending.is_closed);
        self.phases = pending.phases;
        let messages = pending.messages.as_mut().map(|messages| messages.take());
        let ended = pending.ended.take();
        // Requests may report more while this is redacted.
        drop(pending);
        self.number = entry.number;
        let mut meaning = None;
        for event in events {
            match event {
                Event::Explained(explained) => meaning = Some(explained),
                event => self.apply(event, redaction, mode),
            }
        }
        self.response_body.take_over(kept, size);
        if ended.is_some() || self.response_body.is_full() {
            self.response_body.redact(redaction, &mut self.known);
        }
        if let Some((ending, duration)) = ended {
            (self.ended, self.duration) = (Some(ending), Some(duration));
        }
        // After the answer that it may quote.
        if let Some(meaning) = meaning.and_then(|text: Raw| serde_json::from_slice(text.bytes()).ok()) {
            self.meaning = Some(without_secrets(meaning, redaction, &mut self.known));
        }
        if let Some(messages) = messages {
            self.add_messages(messages, redaction);
        }
        self.is_closed = is_closed;
        if is_closed {
            self.known = KnownSecrets::default();
        }
        has_changed
    }

    fn apply(&mut self, event: Event, redaction: &Redaction, mode: Mode) {
        match event {
            Event::Arrived(arrived) => self.arrived(arrived, redaction),
            Event::Received(mut body) => {
                body.redact(redaction, &mut self.known);
                self.request_body = body;
            }
            Event::Attempted(attempted) => self.attempted(attempted, redaction),
            Event::Connected { reused } => {
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.reused = Some(reused);
                }
            }
            Event::Failed(error) => {
                let error = redaction.text(error.text().into_owned(), Place::Body, &mut self.known);
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.error = Some(error);
                }
            }
            Event::Answered { status, headers } => {
                self.upstream_headers = redaction.headers(&headers, &[], &mut self.known);
                let mut ids = fields(&self.upstream_headers).filter(|(name, _)| *name == X_AMZN_REQUESTID);
                self.upstream_request_id = ids.next().map(|(_, id)| id.to_owned());
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.status = Some(status);
                }
            }
            Event::Responded { status, headers, origin } => {
                self.response_body = CapturedBody::new(Content::of_lines(&headers), mode);
                self.response_headers = redaction.headers(&headers, &[], &mut self.known);
                (self.status, self.origin) = (Some(status), Some(origin));
            }
            Event::Explained(_) => {}
        }
    }

    fn arrived(&mut self, arrived: Arrived, redaction: &Redaction) {
        let Arrived { request_id, method, version, path, query, headers } = arrived;
        self.method = method.as_ref().map(Method::as_str).unwrap_or_default().to_owned();
        self.version = version;
        self.request_body = CapturedBody::unread(&headers);
        self.request_headers = redaction.headers(&headers, &[], &mut self.known);
        let mut text = |text: String, place| redaction.text(text, place, &mut self.known);
        // The query first: what it names may be in the path as well.
        self.query = query.map(|query| text(query.text().into_owned(), Place::Url));
        self.path = text(path.text().into_owned(), Place::Url);
        self.request_id = text(request_id.into_string(), Place::Body);
    }

    fn attempted(&mut self, attempted: Attempted, redaction: &Redaction) {
        let Attempted { reason, destination, signatory, signed_at, headers, .. } = attempted;
        self.username.clone_from(&signatory.username);
        self.identity_id.clone_from(&signatory.identity_id);
        self.known.share(signatory.secrets.clone());
        let set = &destination.set_headers;
        self.sent_headers = redaction.headers(&headers, set, &mut self.known);
        let target = [&self.path, self.query.as_deref().unwrap_or_default()];
        self.canonical_request =
            redaction.canonical(&attempted.canonical_request, target, set, &mut self.known);
        // An algorithm, a time, a scope of the settings and a digest: nothing of a client.
        self.string_to_sign = attempted.string_to_sign;
        let signed_headers = self.canonical_request.lines().rev().nth(1).unwrap_or_default().to_owned();
        self.attempts.push(RecordedAttempt {
            reason,
            destination,
            access_key_end: signatory.access_key_end.clone(),
            signed_at,
            signed_headers,
            status: None,
            error: None,
            reused: None,
        });
    }
}

fn without_secrets(value: Value, redaction: &Redaction, known: &mut KnownSecrets) -> Value {
    let mut inner = |value| without_secrets(value, redaction, known);
    match value {
        Value::String(text) => Value::String(redaction.text(text, Place::Body, known)),
        Value::Array(values) => values.into_iter().map(inner).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, inner(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
