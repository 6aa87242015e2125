//! The record of one exchange while it is under way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::{
    attempt::{Attempt, RecordedAttempt, Signed},
    body::CapturedBody,
    record::{Ending, Phase, Record},
    recorder::Shared,
    redaction::{KnownSecrets, Place, Redaction},
    ring::Entry,
};

/// The body of a request, as far as the inspector can keep it.
#[derive(Clone, Copy, Debug)]
pub enum RequestBody<'a> {
    /// In memory as a whole.
    Collected(&'a [Bytes]),
    /// On its way to the upstream; of these only the declared length is recorded, in bytes.
    Streamed {
        /// Absent if the client did not declare one.
        length: Option<u64>,
    },
}

/// The record of an exchange that is under way. Clones share it.
#[derive(Clone, Debug)]
pub struct Recording(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    entry: Arc<Entry>,
    shared: Arc<Shared>,
}

impl Recording {
    pub(super) fn new(entry: Arc<Entry>, shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle { entry, shared }))
    }

    /// Whether it is that of an announced replay.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.0.entry.record().replay_of.is_some()
    }

    /// Records that the request has arrived, with these headers and this body.
    pub fn received(&self, headers: &HeaderMap, body: RequestBody<'_>) {
        self.update(|record, shared| {
            let queued = record.begun.elapsed();
            record.add(Phase::Queue, queued);
            record.request_body = match body {
                RequestBody::Collected(chunks) => CapturedBody::of(chunks, headers, shared.mode),
                RequestBody::Streamed { length } => CapturedBody::streamed(headers, length),
            };
            record.request_body.redact(&shared.redaction, &mut record.known);
        });
    }

    /// Adds to the time that a phase has taken.
    pub fn took(&self, phase: Phase, time: Duration) {
        if !self.0.entry.is_dropped() {
            self.0.entry.record().add(phase, time);
        }
    }

    /// Records whose credentials sign the request; they are not to appear in anything.
    pub fn identity(&self, username: Option<&str>, identity_id: Option<&str>, secrets: [&str; 2]) {
        if self.0.entry.is_dropped() {
            return;
        }
        let secrets = self.0.shared.credential_secrets(secrets);
        let mut record = self.0.entry.record();
        record.username = username.map(str::to_owned);
        record.identity_id = identity_id.map(str::to_owned);
        record.known.share(secrets);
    }

    /// Records an attempt that begins. `set` are the headers whose values the settings give.
    pub fn attempt(&self, attempt: Attempt, signed: &Signed<'_>, set: &[(HeaderName, HeaderValue)]) {
        self.update(|record, shared| {
            let redaction = &shared.redaction;
            record.sent_headers = redaction.headers(signed.headers, set, &mut record.known);
            record.canonical_request = redaction.canonical(signed.canonical_request, set, &mut record.known);
            record.string_to_sign =
                redaction.text(signed.string_to_sign.to_owned(), Place::Body, &mut record.known);
            let names = record.canonical_request.lines().rev().nth(1).unwrap_or_default();
            let signed_headers = names.to_owned();
            record.attempts.push(RecordedAttempt {
                attempt,
                signed_headers,
                status: None,
                error: None,
                reused: None,
            });
        });
    }

    /// Records how the current attempt got its connection.
    pub fn connected(&self, reused: bool, time: Duration) {
        self.update(|record, _| {
            record.add(Phase::Connect, time);
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.reused = Some(reused);
            }
        });
    }

    /// Records that the current attempt failed.
    pub fn failed(&self, error: &str) {
        self.update(|record, shared| {
            let error = shared.redaction.text(error.to_owned(), Place::Body, &mut record.known);
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.error = Some(error);
            }
        });
    }

    /// Records the head of the upstream's response.
    pub fn answered(&self, status: StatusCode, headers: &HeaderMap, upstream_request_id: Option<&str>) {
        self.update(|record, shared| {
            record.upstream_headers = shared.redaction.headers(headers, &[], &mut record.known);
            let without_secrets =
                |id: &str| shared.redaction.text(id.to_owned(), Place::Body, &mut record.known);
            record.upstream_request_id = upstream_request_id.map(without_secrets);
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.status = Some(status);
            }
        });
    }

    /// Records the head of the response to the client.
    pub fn response(&self, status: StatusCode, headers: &HeaderMap, origin: &'static str) {
        self.update(|record, shared| {
            record.response_headers = shared.redaction.headers(headers, &[], &mut record.known);
            record.response_body = CapturedBody::new(headers, shared.mode);
            (record.status, record.origin) = (Some(status), Some(origin));
        });
    }

    /// Records a chunk of the response.
    pub fn chunk(&self, chunk: &[u8]) {
        if self.0.entry.is_dropped() {
            return;
        }
        let mut record = self.0.entry.record();
        let kept = record.response_body.room_for(chunk.len());
        record.response_body.push(chunk, kept);
        record.revision = self.0.shared.next_revision();
        let is_full = record.response_body.is_full();
        drop(record);
        if kept > 0 || is_full {
            self.update(|record, shared| {
                if is_full {
                    record.response_body.redact(&shared.redaction, &mut record.known);
                }
            });
        } else {
            self.0.shared.changed.notify_waiters();
        }
    }

    /// Records what a refusal means.
    pub fn explain(&self, meaning: Value) {
        self.update(|record, shared| {
            record.meaning = Some(without_secrets(meaning, &shared.redaction, &mut record.known));
        });
    }

    /// Records the end. That of a WebSocket comes later.
    pub fn end(&self, ending: Ending) {
        self.update(|record, shared| {
            if record.messages.is_some() {
                return;
            }
            let duration = record.begun.elapsed();
            record.duration = Some(duration);
            record.code = ending.code;
            record.ended = Some(ending);
            record.response_body.redact(&shared.redaction, &mut record.known);
        });
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Record, &Shared)) {
        let Handle { entry, shared } = &*self.0;
        if entry.is_dropped() {
            return;
        }
        let memory = {
            let mut record = entry.record();
            change(&mut record, shared);
            record.revision = shared.next_revision();
            record.memory()
        };
        let mut dropped = Vec::new();
        let is_kept = shared.ring().recount(entry.number, memory, &mut dropped);
        dropped.iter().for_each(|entry| entry.free());
        if !is_kept {
            entry.free();
        }
        shared.changed.notify_waiters();
    }
}

/// Nothing more comes, so that what the client presented is no longer needed to recognise it.
impl Drop for Handle {
    fn drop(&mut self) {
        self.entry.record().known = KnownSecrets::default();
    }
}

fn without_secrets(value: Value, redaction: &Redaction, known: &mut KnownSecrets) -> Value {
    let mut inner = |value| without_secrets(value, redaction, known);
    match value {
        Value::String(text) => Value::String(redaction.text(text, Place::Body, known)),
        Value::Array(values) => values.into_iter().map(inner).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, inner(value))).collect(),
        plain => plain,
    }
}

#[cfg(test)]
impl Recording {
    pub(super) fn id(&self) -> String {
        self.0.entry.record().id.clone()
    }

    pub(super) fn memory(&self) -> usize {
        self.0.entry.record().memory()
    }
}
