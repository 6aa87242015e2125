//! The messages of a WebSocket: the last ones, and of text ones the beginning.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value, json};

use super::{
    MAX_BODY, Mode,
    body::redacted,
    record::{Ending, rfc3339},
    recording::Recording,
    redaction::{KnownSecrets, Redaction},
};

/// How many messages of a WebSocket are kept at most.
const MAX_MESSAGES: usize = 200;

/// How much text of all kept messages of a WebSocket is kept at most, in bytes.
const MAX_TEXT: usize = 512 * 1024;

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

/// What is kept of one WebSocket.
#[derive(Debug, Default)]
pub(super) struct Messages {
    kept: VecDeque<KeptMessage>,
    /// Of all kept messages, in bytes.
    text: usize,
    /// How many messages have made room for later ones.
    forgotten: u64,
    up: Count,
    down: Count,
    end: Option<TunnelEnd>,
}

#[derive(Debug, Default)]
struct Count {
    /// Control frames excepted.
    messages: u64,
    /// That have passed, frame heads included.
    bytes: u64,
}

#[derive(Debug)]
struct KeptMessage {
    /// From the arrival of the handshake.
    after: Duration,
    is_up: bool,
    opcode: u8,
    size: u64,
    code: Option<u16>,
    /// Without secrets.
    text: Option<String>,
    omitted: Option<&'static str>,
    truncated: bool,
}

impl Recording {
    /// How much of the text of a message is of use, in bytes.
    #[must_use]
    pub fn max_message_text(&self) -> usize {
        if self.shared().mode == Mode::Bodies { MAX_BODY } else { 0 }
    }

    /// Records that the exchange goes on as a WebSocket: [`close_tunnel`](Self::close_tunnel) ends it.
    pub fn open_tunnel(&self) {
        self.update(|record, _| record.messages = Some(Box::default()));
    }

    /// Records a message.
    pub fn message(&self, message: &WebSocketMessage<'_>) {
        self.update(|record, shared| {
            let after = record.begun.elapsed();
            if let Some(messages) = &mut record.messages {
                messages.add(message, after, shared.mode, &shared.redaction, &mut record.known);
            }
        });
    }

    /// Records the end of a WebSocket, and with it of the exchange.
    pub fn close_tunnel(&self, end: TunnelEnd) {
        self.update(|record, _| {
            record.duration = Some(record.begun.elapsed());
            record.meaning = end.explained.clone().or_else(|| record.meaning.take());
            record.ended = Some(Ending { aborted: None, code: None });
            if let Some(messages) = &mut record.messages {
                [messages.up.bytes, messages.down.bytes] = end.bytes;
                messages.end = Some(end);
            }
        });
    }
}

impl Messages {
    fn add(
        &mut self,
        message: &WebSocketMessage<'_>,
        after: Duration,
        mode: Mode,
        redaction: &Redaction,
        known: &mut KnownSecrets,
    ) {
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
        let mut text = omitted.is_none().then(|| redacted(message.text, redaction, known));
        text.iter_mut().for_each(String::shrink_to_fit);
        self.text += text.as_ref().map_or(0, String::capacity);
        self.kept.push_back(KeptMessage {
            after,
            is_up: message.is_up,
            opcode: message.opcode,
            size: message.size,
            code: message.code,
            text,
            omitted,
            truncated: omitted.is_none() && message.opcode == 1 && (message.text.len() as u64) < message.size,
        });
        while self.kept.len() > MAX_MESSAGES || self.text > MAX_TEXT {
            let Some(forgotten) = self.kept.pop_front() else { break };
            self.text -= forgotten.text.as_ref().map_or(0, String::capacity);
            self.forgotten += 1;
        }
    }

    /// The memory that they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.kept.capacity() * size_of::<KeptMessage>() + self.text
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
        let messages: Value = self.kept.iter().map(|message| message.json(started)).collect();
        json!({ "forgotten": self.forgotten, "kept": messages })
    }

    /// As Chrome writes them into an HTTP Archive: seconds since 1970, and the data as text.
    pub(super) fn har(&self, started: SystemTime) -> Value {
        let seconds = |after: Duration| {
            let time = (started + after).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (time.as_secs_f64() * 1_000.0).round() / 1_000.0
        };
        let messages = self.kept.iter().map(|message| {
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

impl KeptMessage {
    fn json(&self, started: SystemTime) -> Value {
        let mut message = Map::new();
        let mut put = |name: &str, value: Value| message.insert(name.to_owned(), value);
        put("time", json!(rfc3339(started + self.after)));
        put("direction", json!(if self.is_up { "up" } else { "down" }));
        put("opcode", json!(self.opcode));
        put("size", json!(self.size));
        if let Some(code) = self.code {
            put("code", json!(code));
        }
        if let Some(text) = &self.text {
            put("text", json!(text));
            put("truncated", json!(self.truncated));
        }
        if let Some(omitted) = self.omitted {
            put("omitted", json!(omitted));
        }
        Value::Object(message)
    }
}

#[cfg(test)]
mod tests;
