//! Records exchanges as they happen, and redacts what they have reported.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderName;
use serde_json::{Map, Value};
use tokio::{
    sync::{Notify, Semaphore, futures::Notified},
    task::yield_now,
    time::{Instant, sleep},
};

use super::{
    Mode, Settings,
    attempt::{Signatory, SignedBy},
    pending::{Arrived, Event, Pending},
    raw::Raw,
    record::{self, Begin, Record},
    recording::Recording,
    redaction::Redaction,
    replay::{RecordedRequest, Replays},
    ring::{Dropped, Entry, Ring},
};
use crate::clock::Clock;

/// How many viewers follow at the same time at most.
const MAX_VIEWERS: usize = 8;

/// How long secrets of an exchange are kept at most until they are redacted, apart from the body of a response, which is
/// redacted as a whole. Longer would save nothing: of more than 500 requests in this time, only the last are redacted.
const MAX_UNREDACTED: Duration = Duration::from_secs(1);

/// How long exchanges are redacted before other tasks of the thread get their turn: it accepts connections and keeps
/// credentials fresh. One exchange without bodies takes some ten microseconds, and a body up to some milliseconds.
const MAX_TURN: Duration = Duration::from_millis(1);

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
    /// Notified at the first change after somebody has begun to wait for one.
    changed: Notify,
    is_awaited: AtomicBool,
    /// How many changes have been redacted.
    revisions: Mutex<u64>,
    ring: Mutex<Ring>,
    clock: Clock,
    /// That of the credentials in use.
    signatory: Mutex<Arc<Signatory>>,
    /// Begins each id, so that one from before a restart is not another exchange's.
    pub(super) prefix: u32,
    pub(super) replays: Replays,
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
            is_awaited: AtomicBool::new(false),
            revisions: Mutex::default(),
            ring: Mutex::default(),
            clock,
            signatory: Mutex::default(),
            prefix: rand::random(),
            replays: Replays::default(),
        })))
    }

    /// What is kept of exchanges.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Records a request that has arrived. An announced replay loses the id that announced it.
    #[must_use]
    pub fn begin(&self, request: &Begin<'_>) -> Recording {
        let shared = &self.0;
        let replay_of = shared.replays.take(request.request_id);
        let is_replay = replay_of.is_some();
        let mut pending = Pending::default();
        pending.push(Event::Arrived(Arrived {
            request_id: request.request_id.into(),
            method: request.method.cloned(),
            version: request.version,
            path: Raw::of(request.path.as_bytes()),
            query: request.query.map(|query| Raw::of(query.as_bytes())),
            headers: Raw::headers(request.headers, is_replay.then_some(&X_REQUEST_ID)),
        }));
        let begun = Instant::now();
        let record = Record::new(shared.prefix, replay_of, shared.clock.local(), begun);
        let mut dropped = Dropped::default();
        let entry = shared.ring().push(pending, record, &mut dropped);
        if is_replay {
            shared.replays.begun(request.request_id, record::id(shared.prefix, entry.number));
        }
        shared.announce_change();
        Recording::new(entry, Arc::clone(shared), begun, is_replay)
    }

    /// Redacts what exchanges report, within a second, until `ended`.
    pub async fn redact_until(self, ended: impl Future<Output = ()>) {
        let mut ended = pin!(ended);
        let shared = &self.0;
        let redact = async {
            loop {
                let mut changed = pin!(shared.change());
                // Before the look, or a change in between would be missed.
                changed.as_mut().enable();
                shared.await_change();
                shared.redact_in_turns().await;
                changed.await;
                sleep(MAX_UNREDACTED).await;
            }
        };
        tokio::select! {
            () = &mut ended => {}
            () = redact => {}
        }
    }

    /// One exchange in full, and the request of it.
    #[must_use]
    pub fn detail(&self, id: &str) -> Option<(Map<String, Value>, RecordedRequest)> {
        let entry = self.entry(id)?;
        let record = self.0.record(&entry);
        Some((record.detail(&self.0.redaction), RecordedRequest::of(&record)))
    }

    /// The request of one exchange.
    #[must_use]
    pub fn request(&self, id: &str) -> Option<RecordedRequest> {
        Some(RecordedRequest::of(&self.0.record(&*self.entry(id)?)))
    }

    /// Forgets all exchanges, and has the viewers forget them.
    pub fn clear(&self) {
        let mut dropped = Dropped::default();
        self.0.ring().clear(&mut dropped);
        self.0.announce_change();
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

    /// The number of the last change that has been redacted.
    pub(super) fn revision(&self) -> u64 {
        *self.revisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of an exchange, with everything that it has reported, without secrets.
    pub(super) fn record<'a>(&self, entry: &'a Entry) -> MutexGuard<'a, Record> {
        entry.record(&self.redaction, self.mode, &self.revisions)
    }

    /// Redacts everything that has been reported.
    pub(super) fn redact_all(&self) {
        let open = self.ring().open();
        self.redact(&open, None);
    }

    /// The same, while other tasks get their turns.
    pub(super) async fn redact_in_turns(&self) {
        let open = self.ring().open();
        let mut rest = &open[..];
        while !rest.is_empty() {
            let redacted = self.redact(rest, Some(Instant::now() + MAX_TURN));
            rest = &rest[redacted..];
            yield_now().await;
        }
    }

    /// Redacts the first of `entries`, or those for which there is time; how many these are.
    fn redact(&self, entries: &[Arc<Entry>], until: Option<Instant>) -> usize {
        let (mut closed, mut redacted) = (Vec::new(), 0);
        for entry in entries {
            redacted += 1;
            // It has made room since, and has been wiped.
            if entry.is_dropped() {
                continue;
            }
            let record = self.record(entry);
            // Seen by the update itself, which then has forgotten what the exchange knew. One that is closed right now is
            // looked at once more.
            if record.is_closed {
                closed.push(entry.number);
            }
            let memory = entry.memory(entry.pending().memory());
            drop(record);
            let mut dropped = Dropped::default();
            let is_kept = self.ring().recount(entry, memory, &mut dropped);
            if !is_kept {
                entry.free();
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
        self.ring().close(&closed);
        redacted
    }

    /// A change that somebody has announced to wait for.
    pub(super) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Makes the next change be announced. The caller looks for changes afterwards: one that it does not see is
    /// announced, since both take the lock of the exchange.
    pub(super) fn await_change(&self) {
        self.is_awaited.store(true, Ordering::Relaxed);
    }

    /// Announces a change, if somebody waits for one.
    pub(super) fn announce_change(&self) {
        if self.is_awaited.load(Ordering::Relaxed) && self.is_awaited.swap(false, Ordering::Relaxed) {
            self.changed.notify_waiters();
        }
    }

    /// Whose credentials sign.
    pub(super) fn signatory(&self, signed_by: &SignedBy<'_>) -> Arc<Signatory> {
        let mut current = self.signatory.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.is(signed_by) {
            *current = Arc::new(Signatory::new(signed_by));
        }
        Arc::clone(&current)
    }
}
