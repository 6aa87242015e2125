//! Reports what has been read in one direction of a tunnel: messages to the inspector, warnings to the log.

use tracing::warn;

use super::HandshakeFacts;
use crate::{
    inspector::WebSocketMessage,
    proxy::websocket::frame_reader::{Direction, Event, MAX_GATEWAY_FRAME, MAX_GATEWAY_MESSAGE, Message},
};

/// Reports the events of one direction.
pub(super) struct EventReporter<'a> {
    pub(super) facts: &'a HandshakeFacts,
    pub(super) direction: Direction,
    /// How many bytes have passed in this direction.
    pub(super) passed: u64,
    pub(super) is_gateway: bool,
}

impl EventReporter<'_> {
    pub(super) fn report(&self, event: &Event<'_>) {
        match event {
            Event::Message(message) => self.record(message),
            Event::LargeFrame(bytes) => self.warn_of_limit(
                *bytes,
                MAX_GATEWAY_FRAME,
                "API Gateway closes a WebSocket with 1009 when a frame is longer than 32 KiB",
                "split the message into shorter frames",
            ),
            Event::LargeMessage(bytes) => self.warn_of_limit(
                *bytes,
                MAX_GATEWAY_MESSAGE,
                "API Gateway closes a WebSocket with 1009 when a message is longer than 128 KiB",
                "send shorter messages",
            ),
            Event::WrongMask => {
                self.warn_of_frames("RFC 6455 wants a mask from the client, and none from the server");
            }
            Event::Unreadable(fault) => self.warn_of_frames(fault.as_str()),
        }
    }

    fn record(&self, message: &Message<'_>) {
        let Some(recording) = &self.facts.recording else { return };
        recording.message(&WebSocketMessage {
            is_up: self.direction == Direction::Up,
            opcode: message.opcode.number(),
            size: message.length,
            is_compressed: message.is_compressed,
            code: message.code,
            passed: self.passed,
            text: message.text,
        });
    }

    fn warn_of_limit(&self, bytes: u64, limit: u64, message: &'static str, cure: &'static str) {
        if !self.is_gateway {
            return;
        }
        warn!(
            request.id = self.facts.id.as_str(),
            request.path = self.facts.path,
            direction = self.direction.as_str(),
            bytes,
            limit,
            cure,
            "{message}"
        );
    }

    /// Bytes pass all the same: the receiver judges them.
    fn warn_of_frames(&self, cause: &'static str) {
        warn!(
            request.id = self.facts.id.as_str(),
            request.path = self.facts.path,
            direction = self.direction.as_str(),
            cause,
            "a WebSocket has frames that RFC 6455 forbids"
        );
    }
}
