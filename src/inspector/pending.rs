//! What an exchange has reported since it was last redacted.
//!
//! A request only copies what it has at hand and appends it here. Redaction costs several times as much, so that it
//! happens elsewhere: within a second, and before anybody is shown the exchange. Exchanges that give way to others within
//! that time are wiped without having been redacted, so that what redaction costs is bounded, however many requests come.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode, Version};

use super::{
    MAX_BODY,
    attempt::{Destination, Signatory},
    body::CapturedBody,
    messages::PendingMessages,
    raw::Raw,
    record::{Ending, Phase},
};

/// How many events an exchange has when nothing goes wrong.
const USUAL_EVENTS: usize = 5;

/// What happened in an exchange, with its secrets.
#[derive(Debug)]
pub(super) enum Event {
    Arrived(Arrived),
    /// The body of the request has come.
    Received(CapturedBody),
    /// An attempt begins.
    Attempted(Attempted),
    /// The current attempt got its connection, from the pool or a new one.
    Connected {
        reused: bool,
    },
    /// The current attempt failed.
    Failed(Raw),
    /// The head of the upstream's response.
    Answered {
        status: StatusCode,
        headers: Raw,
    },
    /// The head of the response to the client.
    Responded {
        status: StatusCode,
        headers: Raw,
        origin: &'static str,
    },
    /// What the answer means, as JSON. It may quote the answer.
    Explained(Raw),
}

/// A request that has arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) request_id: Box<str>,
    pub(super) method: Option<Method>,
    pub(super) version: Version,
    pub(super) path: Raw,
    pub(super) query: Option<Raw>,
    pub(super) headers: Raw,
}

/// An attempt that begins.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) reason: Option<&'static str>,
    pub(super) destination: Arc<Destination>,
    pub(super) signatory: Arc<Signatory>,
    pub(super) signed_at: SystemTime,
    pub(super) headers: Raw,
    pub(super) canonical_request: Raw,
    pub(super) string_to_sign: String,
}

/// The events that nobody has redacted yet, and what needs no redaction.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) events: Vec<Event>,
    pub(super) phases: [Option<Duration>; Phase::COUNT],
    pub(super) response: ResponseBytes,
    /// Of an exchange that has become a WebSocket.
    pub(super) messages: Option<Box<PendingMessages>>,
    pub(super) ended: Option<(Ending, Duration)>,
    /// Whether nothing more comes, so that the exchange's secrets need no longer be known.
    pub(super) is_closed: bool,
    /// Whether anything has changed.
    pub(super) has_changed: bool,
    /// The memory of the events' texts, in bytes.
    memory: usize,
}

/// The bytes of a response.
#[derive(Debug, Default)]
pub(super) struct ResponseBytes {
    /// How many there have been.
    pub(super) size: u64,
    /// Those that are kept and have not been redacted yet.
    pub(super) kept: Raw,
    /// How many more are kept.
    pub(super) room: usize,
}

impl Pending {
    pub(super) fn push(&mut self, event: Event) {
        if self.events.capacity() == 0 {
            self.events.reserve_exact(USUAL_EVENTS);
        }
        self.memory += event.memory();
        self.events.push(event);
        self.has_changed = true;
    }

    /// Takes the events.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        self.memory = 0;
        std::mem::take(&mut self.events)
    }

    pub(super) fn add(&mut self, phase: Phase, time: Duration) {
        let known = &mut self.phases[phase as usize];
        *known = Some(known.unwrap_or_default() + time);
        self.has_changed = true;
    }

    /// The memory that it takes besides itself, in bytes.
    pub(super) fn memory(&self) -> usize {
        let messages = self.messages.as_ref().map_or(0, |messages| messages.memory());
        self.memory + self.events.capacity() * size_of::<Event>() + self.response.kept.memory() + messages
    }

    /// Drops and wipes what takes memory.
    pub(super) fn free(&mut self) {
        drop(self.take_events());
        self.response.kept = Raw::default();
        self.response.room = 0;
        self.messages = None;
    }
}

impl ResponseBytes {
    /// From here on the beginning of the response is kept.
    pub(super) fn keep(&mut self) {
        self.room = MAX_BODY;
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.size += chunk.len() as u64;
        let kept = self.room.min(chunk.len());
        if kept > 0 {
            self.kept.push(&chunk[..kept]);
            self.room -= kept;
        }
    }
}

impl Event {
    fn memory(&self) -> usize {
        match self {
            Self::Arrived(Arrived { path, query, headers, .. }) => {
                path.memory() + headers.memory() + query.as_ref().map_or(0, Raw::memory)
            }
            Self::Received(body) => body.memory(),
            Self::Attempted(Attempted { headers, canonical_request, string_to_sign, .. }) => {
                headers.memory() + canonical_request.memory() + string_to_sign.capacity()
            }
            Self::Answered { headers, .. } | Self::Responded { headers, .. } => headers.memory(),
            Self::Failed(text) | Self::Explained(text) => text.memory(),
            Self::Connected { .. } => 0,
        }
    }
}
