//! Requests that are sent again from the inspector.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    record::{Record, fields},
    recorder::{Recorder, Shared},
    redaction::{MARK, URL_MARK},
};

/// The replays that have been announced, by the ids of their requests.
#[derive(Debug, Default)]
pub(super) struct Replays {
    by_id: Mutex<HashMap<String, Replay>>,
    /// How many there are: most requests need not look for theirs.
    count: AtomicUsize,
}

/// An exchange that is repeated.
#[derive(Debug)]
struct Replay {
    of: String,
    /// Whether its request has arrived.
    has_arrived: bool,
    /// The id of the new exchange, once it has begun.
    id: Option<String>,
}

/// An announced replay. Dropping it withdraws the announcement.
#[derive(Debug)]
pub struct AnnouncedReplay {
    shared: Arc<Shared>,
    request_id: String,
}

impl Recorder {
    /// Announces that the request `request_id`, which nobody else can know, is the exchange `of`, sent again.
    #[must_use]
    pub fn announce_replay(&self, request_id: String, of: &str) -> AnnouncedReplay {
        let replays = &self.0.replays;
        replays.lock().insert(request_id.clone(), Replay { of: of.to_owned(), has_arrived: false, id: None });
        replays.count.fetch_add(1, Ordering::Release);
        AnnouncedReplay { shared: Arc::clone(&self.0), request_id }
    }
}

impl Replays {
    /// The exchange that a request repeats, if it is a replay that has not arrived yet.
    pub(super) fn take(&self, request_id: &str) -> Option<String> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut replays = self.lock();
        let replay = replays.get_mut(request_id).filter(|replay| !replay.has_arrived)?;
        replay.has_arrived = true;
        Some(replay.of.clone())
    }

    /// Notes that a replay is the exchange `id`.
    pub(super) fn begun(&self, request_id: &str, id: String) {
        if let Some(replay) = self.lock().get_mut(request_id) {
            replay.id = Some(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Replay>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnnouncedReplay {
    /// The id of the new exchange, once it has begun.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.shared.replays.lock().get(&self.request_id)?.id.clone()
    }
}

impl Drop for AnnouncedReplay {
    fn drop(&mut self) {
        self.shared.replays.lock().remove(&self.request_id);
        self.shared.replays.count.fetch_sub(1, Ordering::Release);
    }
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

impl RecordedRequest {
    pub(super) fn of(record: &Record) -> Self {
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
