//! Reads the frames of one direction of a WebSocket as their bytes pass.
//!
//! It never changes, delays or refuses a byte: client and API judge each other's frames. What it learns goes to the log,
//! the metrics and the inspector, and says where a Close frame of the proxy's may stand. Payload is neither copied nor
//! kept, except for the text that the inspector asks for.

mod frame_head;
#[cfg(fuzzing)]
pub(in crate::proxy) mod fuzzing;
mod messages;
#[cfg(test)]
mod tests;

use std::mem;

use super::close_frame::Close;
use frame_head::{FrameHead, HeadBytes};
use messages::{Frame, Messages};

pub(super) use frame_head::MAX_CONTROL;
pub(in crate::proxy) use frame_head::{Extensions, FrameFault, Opcode};
pub(in crate::proxy) use messages::{FrameCounts, Message};

/// The longest frame that API Gateway takes, in bytes of payload.
pub(in crate::proxy) const MAX_GATEWAY_FRAME: u64 = 32 * 1024;

/// The longest message that API Gateway takes, in bytes.
pub(in crate::proxy) const MAX_GATEWAY_MESSAGE: u64 = 128 * 1024;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) enum Direction {
    /// From the client to the upstream. Frames must be masked.
    Up,
    /// From the upstream to the client. Frames must not be masked.
    Down,
}

impl Direction {
    /// The name in the log and in metrics.
    pub(in crate::proxy) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What has been read.
#[derive(Debug)]
pub(in crate::proxy) enum Event<'a> {
    /// A message or a control frame has ended.
    Message(Message<'a>),
    /// A frame has more than [`MAX_GATEWAY_FRAME`] bytes; once in each direction.
    LargeFrame(u64),
    /// A message has more than [`MAX_GATEWAY_MESSAGE`] bytes; once in each direction. The length so far.
    LargeMessage(u64),
    /// A frame is masked, or not masked, against the rule for its direction; once in each direction.
    WrongMask,
    /// Nothing further is read.
    Unreadable(FrameFault),
}

/// Reads one direction.
#[derive(Debug)]
pub(in crate::proxy) struct FrameReader {
    direction: Direction,
    extensions: Extensions,
    state: State,
    messages: Messages,
    has_large_frame: bool,
    has_large_message: bool,
    has_wrong_mask: bool,
}

#[derive(Debug)]
enum State {
    Head(HeadBytes),
    Payload(Frame),
    /// Behind a Close frame, after which no frame may follow.
    Closed,
    /// The sender has broken the framing, so that nobody can tell where the next frame begins.
    Unreadable,
}

impl FrameReader {
    /// A reader that gives the first `max_text` bytes of each text message along.
    pub(in crate::proxy) fn new(direction: Direction, extensions: Extensions, max_text: usize) -> Self {
        Self {
            direction,
            extensions,
            state: State::Head(HeadBytes::default()),
            messages: Messages::new(max_text),
            has_large_frame: false,
            has_large_message: false,
            has_wrong_mask: false,
        }
    }

    /// Reads bytes that have passed, however they are split.
    pub(in crate::proxy) fn read(&mut self, bytes: &[u8], on_event: &mut dyn FnMut(Event<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let begun = match &mut self.state {
                State::Head(head) => match head.read(&mut rest) {
                    Ok(None) => return,
                    Ok(Some(head)) => self.begin(head, on_event),
                    Err(fault) => Err(fault),
                },
                State::Payload(frame) => {
                    self.messages.pass(frame, &mut rest);
                    if frame.is_complete() {
                        self.state = self.messages.end(frame, on_event);
                    }
                    Ok(())
                }
                State::Closed | State::Unreadable => return,
            };
            if let Err(fault) = begun {
                self.messages.abandon();
                self.state = State::Unreadable;
                on_event(Event::Unreadable(fault));
            }
        }
    }

    pub(in crate::proxy) fn counts(&self) -> &FrameCounts {
        &self.messages.counts
    }

    /// The Close frame that has passed.
    pub(in crate::proxy) fn close(&self) -> Option<&Close> {
        self.messages.close.as_ref()
    }

    /// Whether a further frame may be sent in this direction now: no frame is half sent, and no Close has passed.
    pub(in crate::proxy) fn is_at_boundary(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.is_empty())
    }

    /// Begins the frame of `head`.
    fn begin(&mut self, head: FrameHead, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), FrameFault> {
        self.check_reserved(&head)?;
        let length = self.messages.begin(&head)?;
        if length > MAX_GATEWAY_MESSAGE && !mem::replace(&mut self.has_large_message, true) {
            on_event(Event::LargeMessage(length));
        }
        if head.length > MAX_GATEWAY_FRAME && !mem::replace(&mut self.has_large_frame, true) {
            on_event(Event::LargeFrame(head.length));
        }
        let is_wrong = head.mask.is_some() != (self.direction == Direction::Up);
        if is_wrong && !mem::replace(&mut self.has_wrong_mask, true) {
            on_event(Event::WrongMask);
        }
        let frame = Frame::new(head);
        let is_complete = frame.is_complete();
        self.state = if is_complete { self.messages.end(&frame, on_event) } else { State::Payload(frame) };
        Ok(())
    }

    fn check_reserved(&self, head: &FrameHead) -> Result<(), FrameFault> {
        let begins_message = matches!(head.opcode, Opcode::Text | Opcode::Binary);
        let allowed = match self.extensions {
            Extensions::PermessageDeflate if begins_message => 0b100,
            Extensions::None | Extensions::PermessageDeflate => 0,
            Extensions::Other => 0b111,
        };
        if head.reserved & !allowed == 0 { Ok(()) } else { Err(FrameFault::ReservedBit) }
    }
}
