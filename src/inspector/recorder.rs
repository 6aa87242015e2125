//! Records exchanges as they happen.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use http::HeaderName;
use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore};

use super::{
    Mode, Settings,
    record::{Begin, Record},
    recording::Recording,
    redaction::{KnownSecrets, Redaction},
    replay::{RecordedRequest, Replays},
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
            revision: AtomicU64::new(0),
            ring: Mutex::default(),
            clock,
            credential_secrets: Mutex::default(),
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
        let is_replay = shared.replays.expects(request.request_id);
        let mut record = Record::new(request, &shared.redaction, shared.clock.local());
        if is_replay {
            record.remove_request_header(&X_REQUEST_ID);
        }
        let mut dropped = Vec::new();
        let entry = shared.ring().push(
            |number| {
                record.id = format!("{:08x}-{number}", shared.prefix);
                if is_replay {
                    record.replay_of = shared.replays.arrived(request.request_id, &record.id);
                }
                // Under the ring's lock: a viewer that has seen this change then finds the exchange.
                record.revision = shared.next_revision();
                record
            },
            &mut dropped,
        );
        dropped.iter().for_each(|entry| entry.free());
        shared.changed.notify_waiters();
        Recording::new(entry, Arc::clone(shared))
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

    /// The number of the last change.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub(super) fn next_revision(&self) -> u64 {
        self.revision.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The secrets of credentials, in all spellings.
    pub(super) fn credential_secrets(&self, secrets: [&str; 2]) -> Arc<KnownSecrets> {
        let mut current = self.credential_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.iter().all(|secret| current.has(secret)) {
            let mut known = KnownSecrets::default();
            secrets.into_iter().for_each(|secret| known.add(secret));
            *current = Arc::new(known);
        }
        Arc::clone(&current)
    }
}
