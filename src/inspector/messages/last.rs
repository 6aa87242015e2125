//! The last messages of a WebSocket, before and after their redaction.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value, json};

use crate::rfc3339;

/// How many messages of a WebSocket are kept at most.
pub(super) const MAX_MESSAGES: usize = 200;

/// How much text of all kept messages of a WebSocket is kept at most, in bytes.
pub(super) const MAX_TEXT: usize = 512 * 1024;

/// The last messages of a WebSocket, within the limits; their texts are of type `T`.
#[derive(Debug)]
pub(super) struct LastMessages<T> {
    pub(super) messages: VecDeque<Message<T>>,
    /// Of all texts, in bytes.
    pub(super) text: usize,
    /// How many messages have made room for later ones.
    pub(super) forgotten: u64,
}

#[derive(Debug)]
pub(super) struct Message<T> {
    /// From the arrival of the handshake.
    pub(super) after: Duration,
    pub(super) is_up: bool,
    pub(super) opcode: u8,
    pub(super) size: u64,
    pub(super) code: Option<u16>,
    pub(super) text: Option<T>,
    /// The memory of the text, in bytes.
    pub(super) memory: usize,
    pub(super) omitted: Option<&'static str>,
    pub(super) truncated: bool,
}

impl<T> Default for LastMessages<T> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), text: 0, forgotten: 0 }
    }
}

impl<T> LastMessages<T> {
    pub(super) fn push(&mut self, message: Message<T>) {
        self.text += message.memory;
        self.messages.push_back(message);
        while self.messages.len() > MAX_MESSAGES || self.text > MAX_TEXT {
            let Some(forgotten) = self.messages.pop_front() else { break };
            self.text -= forgotten.memory;
            self.forgotten += 1;
        }
    }

    /// The memory that they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.messages.capacity() * size_of::<Message<T>>() + self.text
    }
}

impl Message<String> {
    pub(super) fn json(&self, started: SystemTime) -> Value {
        let mut message = Map::new();
        let mut put = |name: &str, value: Value| message.insert(name.to_owned(), value);
        put("time", json!(rfc3339::millis(started + self.after)));
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
