//! What a request reports of itself while it is under way.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Mode,
    attempt::{Destination, SignedBy},
    body::{CapturedBody, Content},
    pending::{Attempted, Event, Pending},
    raw::Raw,
    record::{Ending, Phase},
    recorder::Shared,
    ring::{Dropped, Entry},
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

/// What was signed for an attempt.
#[derive(Debug)]
pub struct Signed<'a> {
    /// The request's headers at the upstream.
    pub headers: &'a HeaderMap,
    /// The canonical request.
    pub canonical_request: Vec<u8>,
    /// The string to sign.
    pub string_to_sign: String,
    /// When it was signed, in AWS's time.
    pub signed_at: SystemTime,
}

/// How an attempt got to the upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Course {
    /// Whether the connection came from the pool; absent when there was none.
    pub reused: Option<bool>,
    /// How long it took to get a connection, or to fail.
    pub connect: Duration,
    /// How long the request took to be sent, and how long the answer took then.
    pub send_and_wait: Option<[Duration; 2]>,
}

/// The record of an exchange that is under way. Clones share it.
#[derive(Clone, Debug)]
pub struct Recording(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    entry: Arc<Entry>,
    shared: Arc<Shared>,
    begun: Instant,
    is_replay: bool,
}

impl Recording {
    pub(super) fn new(entry: Arc<Entry>, shared: Arc<Shared>, begun: Instant, is_replay: bool) -> Self {
        Self(Arc::new(Handle { entry, shared, begun, is_replay }))
    }

    /// Whether it is that of an announced replay.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.0.is_replay
    }

    /// Records that the request has arrived, with these headers and this body.
    pub fn received(&self, headers: &HeaderMap, body: RequestBody<'_>) {
        let queued = self.0.begun.elapsed();
        self.report(|pending, shared| {
            pending.add(Phase::Queue, queued);
            pending.push(Event::Received(match body {
                RequestBody::Collected(chunks) => CapturedBody::of(chunks, headers, shared.mode),
                RequestBody::Streamed { length } => CapturedBody::streamed(headers, length),
            }));
        });
    }

    /// Adds to the time that a phase has taken.
    pub fn took(&self, phase: Phase, time: Duration) {
        self.report(|pending, _| pending.add(phase, time));
    }

    /// Records an attempt that begins. `reason` is why there is another one after the first.
    pub fn attempt(
        &self,
        reason: Option<&'static str>,
        destination: &Arc<Destination>,
        signed_by: &SignedBy<'_>,
        signed: Signed<'_>,
    ) {
        self.report(|pending, shared| {
            pending.push(Event::Attempted(Attempted {
                reason,
                destination: Arc::clone(destination),
                signatory: shared.signatory(signed_by),
                signed_at: signed.signed_at,
                headers: Raw::signed_headers(signed.headers),
                canonical_request: signed.canonical_request.into(),
                string_to_sign: signed.string_to_sign,
            }));
        });
    }

    /// Records how the current attempt went, and why it failed.
    pub fn attempted(&self, course: Course, error: Option<String>) {
        self.report(|pending, _| {
            pending.add(Phase::Connect, course.connect);
            if let Some([send, wait]) = course.send_and_wait {
                pending.add(Phase::Send, send);
                pending.add(Phase::Wait, wait);
            }
            if let Some(reused) = course.reused {
                pending.push(Event::Connected { reused });
            }
            if let Some(error) = error {
                pending.push(Event::Failed(error.into_bytes().into()));
            }
        });
    }

    /// Records the head of the upstream's response.
    pub fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        self.report(|pending, _| {
            pending.push(Event::Answered { status, headers: Raw::headers(headers, None) });
        });
    }

    /// Records the head of the response to the client.
    pub fn response(&self, status: StatusCode, headers: &HeaderMap, origin: &'static str) {
        self.report(|pending, shared| {
            if Content::of(headers).omitted(shared.mode).is_none() {
                pending.response.keep();
            }
            pending.push(Event::Responded { status, headers: Raw::headers(headers, None), origin });
        });
    }

    /// Records a chunk of the response.
    pub fn chunk(&self, chunk: &[u8]) {
        self.report(|pending, _| {
            pending.response.push(chunk);
            pending.has_changed = true;
        });
    }

    /// Records what a refusal means.
    pub fn explain(&self, meaning: &Value) {
        let text = meaning.to_string().into_bytes();
        self.report(|pending, _| pending.push(Event::Explained(text.into())));
    }

    /// Records the end, so long after the beginning, and how long the response took to be received. That of a WebSocket
    /// comes later.
    pub fn end(&self, ending: Ending, duration: Duration, receive: Option<Duration>) {
        self.report(|pending, _| {
            if pending.messages.is_some() {
                return;
            }
            if let Some(receive) = receive {
                pending.add(Phase::Receive, receive);
            }
            pending.ended = Some((ending, duration));
            pending.has_changed = true;
        });
    }

    pub(super) fn mode(&self) -> Mode {
        self.0.shared.mode
    }

    /// How long ago the request arrived.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.begun.elapsed()
    }

    pub(super) fn report(&self, change: impl FnOnce(&mut Pending, &Shared)) {
        let Handle { entry, shared, .. } = &*self.0;
        if entry.is_dropped() {
            return;
        }
        let mut pending = entry.pending();
        change(&mut pending, shared);
        let memory = entry.memory(pending.memory());
        drop(pending);
        if entry.exceeds(memory) {
            let mut dropped = Dropped::default();
            let is_kept = shared.ring().recount(entry, memory, &mut dropped);
            if !is_kept {
                entry.free();
            }
        }
        shared.announce_change();
    }
}

/// Nothing more comes, so that what the client presented is no longer needed to recognise it.
impl Drop for Handle {
    fn drop(&mut self) {
        self.entry.pending().is_closed = true;
        self.shared.announce_change();
    }
}

#[cfg(test)]
impl Recording {
    pub(super) fn id(&self) -> String {
        super::record::id(self.0.shared.prefix, self.0.entry.number)
    }

    pub(super) fn memory(&self) -> usize {
        self.0.entry.memory(self.0.entry.pending().memory())
    }
}
