//! The messages of a WebSocket: the last ones, and of text ones the beginning.

mod last;

use std::{
    mem,
    time::{Duration, SystemTime},
};

use last::{LastMessages, Message};
use serde_json::{Value, json};

use super::{
    MAX_BODY, Mode,
    body::redacted,
    raw::Raw,
    record::{Ending, Record},
    recording::Recording,
    redaction::{KnownSecrets, Redaction},
};

/// A message that has passed, or a control frame.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketMessage<'a> {
    /// Whether the client sent it.
    pub is_up: bool,
    /// Its opcode (RFC 6455 section 5.2).
    pub opcode: u8,
    /// Its length in bytes, as it was sent.
    pub size: u64,
    /// Whether an extension has encoded it.
    pub is_compressed: bool,
    /// The code of a Close frame.
    pub code: Option<u16>,
    /// How many bytes have passed in its direction so far, frame heads included.
    pub passed: u64,
    /// The first [`Recording::max_message_text`] bytes of a text message, or the reason of a Close frame.
    pub text: &'a [u8],
}

/// How a WebSocket ended.
#[derive(Clone, Debug)]
pub struct TunnelEnd {
    /// `client`, `upstream` or `proxy`.
    pub closed_by: &'static str,
    /// The code of the first Close frame.
    pub code: Option<u16>,
    /// The name of what the end means.
    pub meaning: &'static str,
    /// How many bytes have passed, up and down, frame heads included.
    pub bytes: [u64; 2],
    /// Name, cause and cure of what went wrong, if anything did.
    pub explained: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Control frames excepted.
    messages: u64,
    /// That have passed, frame heads included.
    bytes: u64,
}

/// What a WebSocket has reported since it was last redacted. A message that has to make room for later ones before that
/// is wiped, however fast they come.
#[derive(Debug, Default)]
pub(super) struct PendingMessages {
    last: LastMessages<Raw>,
    up: Count,
    down: Count,
    end: Option<(TunnelEnd, Duration)>,
}

/// What is kept of one WebSocket, without secrets.
#[derive(Debug, Default)]
pub(super) struct Messages {
    last: LastMessages<String>,
    up: Count,
    down: Count,
    end: Option<TunnelEnd>,
}

impl Recording {
    /// How much of the text of a message is of use, in bytes.
    #[must_use]
    pub fn max_message_text(&self) -> usize {
        if self.mode() == Mode::Bodies { MAX_BODY } else { 0 }
    }

    /// Records that the exchange goes on as a WebSocket: [`close_tunnel`](Self::close_tunnel) ends it.
    pub fn open_tunnel(&self) {
        self.report(|pending, _| {
            pending.messages = Some(Box::default());
            pending.has_changed = true;
        });
    }

    /// Records a message.
    pub fn message(&self, message: &WebSocketMessage<'_>) {
        let after = self.elapsed();
        self.report(|pending, shared| {
            if let Some(messages) = &mut pending.messages {
                messages.add(message, after, shared.mode);
                pending.has_changed = true;
            }
        });
    }

    /// Records the end of a WebSocket, and with it of the exchange.
    pub fn close_tunnel(&self, end: TunnelEnd) {
        let after = self.elapsed();
        self.report(|pending, _| {
            if let Some(messages) = &mut pending.messages {
                [messages.up.bytes, messages.down.bytes] = end.bytes;
                messages.end = Some((end, after));
                pending.has_changed = true;
            }
        });
    }
}

impl PendingMessages {
    fn add(&mut self, message: &WebSocketMessage<'_>, after: Duration, mode: Mode) {
        let count = if message.is_up { &mut self.up } else { &mut self.down };
        count.messages += u64::from(matches!(message.opcode, 1 | 2));
        count.bytes = message.passed;
        let is_text = matches!(message.opcode, 1 | 8);
        let omitted = match mode {
            _ if message.size == 0 => None,
            Mode::Heads => Some("heads"),
            Mode::Bodies if message.is_compressed => Some("encoded"),
            Mode::Bodies if !is_text => Some("binary"),
            Mode::Bodies => None,
        };
        let text = omitted.is_none().then(|| Raw::of(message.text));
        self.last.push(Message {
            after,
            is_up: message.is_up,
            opcode: message.opcode,
            size: message.size,
            code: message.code,
            memory: text.as_ref().map_or(0, Raw::memory),
            text,
            omitted,
            truncated: omitted.is_none() && message.opcode == 1 && (message.text.len() as u64) < message.size,
        });
    }

    /// What has been reported since the last time. The counts go on.
    pub(super) fn take(&mut self) -> Self {
        Self { last: mem::take(&mut self.last), up: self.up, down: self.down, end: self.end.take() }
    }

    /// The memory that they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.last.memory()
    }
}

impl Record {
    /// Takes over what a WebSocket has reported.
    pub(super) fn add_messages(&mut self, pending: PendingMessages, redaction: &Redaction) {
        let messages = self.messages.get_or_insert_default();
        (messages.up, messages.down) = (pending.up, pending.down);
        messages.last.forgotten += pending.last.forgotten;
        for message in pending.last.messages {
            messages.add(message, redaction, &mut self.known);
        }
        if let Some((end, after)) = pending.end {
            self.duration = Some(after);
            self.meaning = end.explained.clone().or_else(|| self.meaning.take());
            self.ended = Some(Ending { aborted: None, code: None });
            messages.end = Some(end);
        }
    }
}

impl Messages {
    fn add(&mut self, message: Message<Raw>, redaction: &Redaction, known: &mut KnownSecrets) {
        let Message { after, is_up, opcode, size, code, text, omitted, truncated, .. } = message;
        let mut text = text.map(|raw| redacted(&raw, redaction, known));
        text.iter_mut().for_each(String::shrink_to_fit);
        let memory = text.as_ref().map_or(0, String::capacity);
        self.last.push(Message { after, is_up, opcode, size, code, text, memory, omitted, truncated });
    }

    /// The memory that they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.last.memory()
    }

    /// The bytes that have passed, up and down.
    pub(super) fn bytes(&self) -> [u64; 2] {
        [self.up.bytes, self.down.bytes]
    }

    /// For the list.
    pub(super) fn summary(&self) -> Value {
        let mut summary = json!({
            "state": if self.end.is_some() { "closed" } else { "open" },
            "messages_up": self.up.messages,
            "messages_down": self.down.messages,
        });
        if let Some(end) = &self.end {
            summary["closed_by"] = json!(end.closed_by);
            summary["code"] = json!(end.code);
            summary["meaning"] = json!(end.meaning);
        }
        summary
    }

    /// For the page that shows one exchange, which began then.
    pub(super) fn json(&self, started: SystemTime) -> Value {
        let messages: Value = self.last.messages.iter().map(|message| message.json(started)).collect();
        json!({ "forgotten": self.last.forgotten, "kept": messages })
    }

    /// As Chrome writes them into an HTTP Archive: seconds since 1970, and the data as text.
    pub(super) fn har(&self, started: SystemTime) -> Value {
        let seconds = |after: Duration| {
            let time = (started + after).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (time.as_secs_f64() * 1_000.0).round() / 1_000.0
        };
        let messages = self.last.messages.iter().map(|message| {
            json!({
                "type": if message.is_up { "send" } else { "receive" },
                "time": seconds(message.after),
                "opcode": message.opcode,
                "data": message.text.as_deref().unwrap_or_default(),
            })
        });
        messages.collect()
    }
}

#[cfg(test)]
mod tests;
