//! Records exchanges as they happen.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore};

use super::{
    Mode, Settings,
    body::CapturedBody,
    record::{Attempt, Begin, Ending, Phase, Record, RecordedAttempt, Signed, fields},
    redaction::{KnownSecrets, MARK, Place, Redaction, URL_MARK},
    ring::{Entry, Ring},
};
use crate::clock::Clock;

/// How many viewers follow at the same time at most.
const MAX_VIEWERS: usize = 8;

/// By this a request that is sent again from the inspector finds its record.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Keeps the last exchanges. Clones share them.
#[derive(Clone, Debug)]
pub struct Recorder(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mode: Mode,
    pub(super) redaction: Redaction,
    pub(super) viewers: Arc<Semaphore>,
    /// Notified at each change.
    pub(super) changed: Notify,
    /// How many changes there have been.
    revision: AtomicU64,
    ring: Mutex<Ring>,
    clock: Clock,
    /// Those of the credentials in use: requests share them, since their spellings take longer than the rest.
    credential_secrets: Mutex<Arc<KnownSecrets>>,
    /// Begins each id, so that one from before a restart is not another exchange's.
    prefix: u32,
    replays: Mutex<HashMap<String, Replay>>,
    /// How many replays have not arrived yet: most requests need not look for theirs.
    expected_replays: AtomicUsize,
}

/// A request that is sent again from the inspector.
#[derive(Debug)]
struct Replay {
    of: String,
    /// Its own id, once it has arrived.
    id: Option<String>,
}

/// A request as it can be sent again.
#[derive(Debug)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query.
    pub query: Option<String>,
    /// The client's headers.
    pub headers: Vec<(String, String)>,
    /// The body, if all of it is known.
    pub body: Option<String>,
}

/// An announced replay. Dropping it withdraws the announcement.
#[derive(Debug)]
pub struct Replayable {
    shared: Arc<Shared>,
    request_id: String,
}

impl Recorder {
    /// A recorder as `settings` ask for it, or none.
    #[must_use]
    pub fn new(settings: &Settings, clock: Clock) -> Option<Self> {
        let mode = settings.mode?;
        Some(Self(Arc::new(Shared {
            mode,
            redaction: Redaction::new(&settings.redact),
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
            changed: Notify::new(),
            revision: AtomicU64::new(0),
            ring: Mutex::default(),
            clock,
            credential_secrets: Mutex::default(),
            prefix: rand::random(),
            replays: Mutex::default(),
            expected_replays: AtomicUsize::new(0),
        })))
    }

    /// What is kept of exchanges.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Records a request that has arrived. An announced replay loses the id that announced it.
    #[must_use]
    pub fn begin(&self, request: Begin<'_>) -> Recording {
        let shared = &self.0;
        let is_awaited = shared.expected_replays.load(Ordering::Relaxed) > 0;
        let is_replay =
            is_awaited && shared.replays().get(request.request_id).is_some_and(|replay| replay.id.is_none());
        let mut known = KnownSecrets::default();
        let mut headers = shared.redaction.headers(request.headers, &[], &mut known);
        if is_replay {
            headers = fields(&headers)
                .filter(|(name, _)| *name != X_REQUEST_ID.as_str())
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect();
        }
        headers.shrink_to_fit();
        let url =
            |text: &str, known: &KnownSecrets| shared.redaction.text(text.to_owned(), Place::Url, known);
        let mut record = Record {
            id: String::new(),
            request_id: shared.redaction.text(request.request_id.to_owned(), Place::Body, &known),
            started: shared.clock.local(),
            begun: tokio::time::Instant::now(),
            method: request.method.map(|method| method.as_str().to_owned()).unwrap_or_default(),
            path: url(request.path, &known),
            query: request.query.map(|query| url(query, &known)),
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
            request_headers: headers,
            sent_headers: String::new(),
            upstream_headers: String::new(),
            response_headers: String::new(),
            canonical_request: String::new(),
            string_to_sign: String::new(),
            meaning: None,
            request_body: CapturedBody::default(),
            response_body: CapturedBody::default(),
            known,
            revision: 0,
        };
        let mut dropped = Vec::new();
        let entry = shared.ring().push(
            |number| {
                record.id = format!("{:08x}-{number}", shared.prefix);
                // Under the ring's lock: a viewer that has seen this change then finds the exchange.
                record.revision = shared.next_revision();
                record
            },
            &mut dropped,
        );
        dropped.iter().for_each(|entry| entry.free());
        if is_replay {
            let mut record = entry.record();
            record.replay_of = shared.arrived(request.request_id, &record.id);
        }
        shared.changed.notify_waiters();
        Recording(Arc::new(Handle { entry, shared: Arc::clone(shared) }))
    }

    /// One exchange in full, and the request of it.
    #[must_use]
    pub fn detail(&self, id: &str) -> Option<(Map<String, Value>, RecordedRequest)> {
        let entry = self.entry(id)?;
        let record = entry.record();
        Some((record.detail(&self.0.redaction), RecordedRequest::of(&record)))
    }

    /// The request of one exchange.
    #[must_use]
    pub fn request(&self, id: &str) -> Option<RecordedRequest> {
        Some(RecordedRequest::of(&self.entry(id)?.record()))
    }

    /// Forgets all exchanges.
    pub fn clear(&self) {
        let mut dropped = Vec::new();
        self.0.ring().clear(&mut dropped);
        dropped.iter().for_each(|entry| entry.free());
    }

    /// Announces that the request `request_id` is the exchange `of`, sent again.
    #[must_use]
    pub fn announce_replay(&self, request_id: String, of: &str) -> Replayable {
        self.0.replays().insert(request_id.clone(), Replay { of: of.to_owned(), id: None });
        self.0.expected_replays.fetch_add(1, Ordering::Relaxed);
        Replayable { shared: Arc::clone(&self.0), request_id }
    }

    pub(super) fn entry(&self, id: &str) -> Option<Arc<Entry>> {
        let (prefix, number) = id.split_once('-')?;
        let number = number.parse().ok()?;
        if u32::from_str_radix(prefix, 16) != Ok(self.0.prefix) {
            return None;
        }
        self.0.ring().entry(number)
    }
}

impl Shared {
    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replays(&self) -> MutexGuard<'_, HashMap<String, Replay>> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last change.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn next_revision(&self) -> u64 {
        self.revision.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The secrets of credentials, in all spellings.
    fn credential_secrets(&self, secrets: [&str; 2]) -> Arc<KnownSecrets> {
        let mut current = self.credential_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.iter().all(|secret| current.has(secret)) {
            let mut known = KnownSecrets::default();
            secrets.into_iter().for_each(|secret| known.add(secret));
            *current = Arc::new(known);
        }
        Arc::clone(&current)
    }

    /// Marks a replay as arrived; the id of what it repeats.
    fn arrived(&self, request_id: &str, id: &str) -> Option<String> {
        let mut replays = self.replays();
        let replay = replays.get_mut(request_id)?;
        replay.id = Some(id.to_owned());
        Some(replay.of.clone())
    }
}

impl Replayable {
    /// The id of the new exchange, once it has begun.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.shared.replays().get(&self.request_id)?.id.clone()
    }
}

impl Drop for Replayable {
    fn drop(&mut self) {
        self.shared.replays().remove(&self.request_id);
        self.shared.expected_replays.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RecordedRequest {
    fn of(record: &Record) -> Self {
        Self {
            method: record.method.clone(),
            path: record.path.clone(),
            query: record.query.clone(),
            headers: fields(&record.request_headers)
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: record.request_body.whole().map(str::to_owned),
        }
    }

    /// Whether a secret has been taken out of `text`.
    #[must_use]
    pub fn is_redacted(text: &str) -> bool {
        text.contains(MARK) || text.contains(URL_MARK)
    }
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
    /// Whether it is that of an announced replay.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.0.entry.record().replay_of.is_some()
    }

    /// Records that the request has arrived as a whole, with these headers and this body.
    pub fn received(&self, headers: &HeaderMap, chunks: &[Bytes]) {
        self.update(|record, shared| {
            let queued = record.begun.elapsed();
            record.add(Phase::Queue, queued);
            record.request_body = CapturedBody::new(headers, shared.mode);
            for chunk in chunks {
                let kept = record.request_body.room_for(chunk.len());
                record.request_body.push(chunk, kept);
            }
            record.request_body.redact(&shared.redaction, &record.known);
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
            record.canonical_request = redaction.canonical(signed.canonical_request, &record.known);
            record.string_to_sign = redaction.canonical(signed.string_to_sign.as_bytes(), &record.known);
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
            let error = shared.redaction.text(error.to_owned(), Place::Body, &record.known);
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.error = Some(error);
            }
        });
    }

    /// Records the head of the upstream's response.
    pub fn answered(&self, status: StatusCode, headers: &HeaderMap, upstream_request_id: Option<&str>) {
        self.update(|record, shared| {
            record.upstream_headers = shared.redaction.headers(headers, &[], &mut record.known);
            record.upstream_request_id = upstream_request_id.map(str::to_owned);
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
                    record.response_body.redact(&shared.redaction, &record.known);
                }
            });
        } else {
            self.0.shared.changed.notify_waiters();
        }
    }

    /// Records what a refusal means.
    pub fn explain(&self, meaning: Value) {
        self.update(|record, shared| {
            record.meaning = Some(without_secrets(meaning, &shared.redaction, &record.known));
        });
    }

    /// Records the end.
    pub fn end(&self, ending: Ending) {
        self.update(|record, shared| {
            let duration = record.begun.elapsed();
            record.duration = Some(duration);
            record.code = ending.code;
            record.ended = Some(ending);
            record.response_body.redact(&shared.redaction, &record.known);
        });
    }

    fn update(&self, change: impl FnOnce(&mut Record, &Shared)) {
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

fn without_secrets(value: Value, redaction: &Redaction, known: &KnownSecrets) -> Value {
    let inner = |value| without_secrets(value, redaction, known);
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
