//! Puts frames together to messages, and counts both.

use super::{
    Close, Event, State,
    frame_head::{FrameFault, FrameHead, HeadBytes, Opcode},
};

/// A message, or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Message<'a> {
    /// Never [`Opcode::Continuation`].
    pub(in crate::proxy) opcode: Opcode,
    /// As it was sent, in bytes: of a compressed message, before it is inflated.
    pub(in crate::proxy) length: u64,
    /// An extension has encoded it.
    pub(in crate::proxy) is_compressed: bool,
    /// Of a Close frame.
    pub(in crate::proxy) code: Option<u16>,
    /// The beginning of a text message that is not compressed, or the reason of a Close frame, without the mask.
    pub(in crate::proxy) text: &'a [u8],
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct FrameCounts {
    /// Whole frames, control frames among them.
    pub(in crate::proxy) frames: u64,
    /// Whole messages.
    pub(in crate::proxy) text_messages: u64,
    pub(in crate::proxy) binary_messages: u64,
    /// Bytes of payload.
    pub(in crate::proxy) text_bytes: u64,
    pub(in crate::proxy) binary_bytes: u64,
    pub(in crate::proxy) pings: u64,
    pub(in crate::proxy) pongs: u64,
    /// The longest of each that is whole, in bytes of payload.
    pub(in crate::proxy) largest_frame: u64,
    pub(in crate::proxy) largest_message: u64,
}

impl FrameCounts {
    pub(in crate::proxy) fn messages(&self) -> u64 {
        self.text_messages + self.binary_messages
    }
}

/// A frame whose payload passes.
#[derive(Debug)]
pub(super) struct Frame {
    head: FrameHead,
    /// How much of the payload has passed, in bytes.
    passed: u64,
    /// The payload of a Close frame.
    close: Vec<u8>,
}

impl Frame {
    pub(super) fn new(head: FrameHead) -> Self {
        Self { head, passed: 0, close: Vec::new() }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.passed == self.head.length
    }
}

/// The messages of one direction.
#[derive(Debug)]
pub(super) struct Messages {
    /// How much of each text message is kept until the message ends, in bytes.
    max_text: usize,
    /// The message whose last frame has not ended.
    current: Option<CurrentMessage>,
    pub(super) counts: FrameCounts,
    pub(super) close: Option<Close>,
}

#[derive(Debug)]
struct CurrentMessage {
    opcode: Opcode,
    is_compressed: bool,
    /// With the whole of the frame that passes.
    length: u64,
    text: Vec<u8>,
}

impl Messages {
    pub(super) fn new(max_text: usize) -> Self {
        Self { max_text, current: None, counts: FrameCounts::default(), close: None }
    }

    /// Adds the frame of `head` to its message; returns the length of the message so far.
    pub(super) fn begin(&mut self, head: &FrameHead) -> Result<u64, FrameFault> {
        if head.opcode.is_control() {
            return Ok(0);
        }
        let message = match (&mut self.current, head.opcode) {
            (Some(message), Opcode::Continuation) => message,
            (Some(_), _) => return Err(FrameFault::InterruptedMessage),
            (None, Opcode::Continuation) => return Err(FrameFault::LoneContinuation),
            (current @ None, opcode) => current.insert(CurrentMessage {
                opcode,
                is_compressed: head.reserved != 0,
                length: 0,
                text: Vec::new(),
            }),
        };
        message.length = message.length.saturating_add(head.length);
        Ok(message.length)
    }

    /// Takes the payload of `frame` out of `rest`.
    pub(super) fn pass(&mut self, frame: &mut Frame, rest: &mut &[u8]) {
        let left = usize::try_from(frame.head.length - frame.passed).unwrap_or(usize::MAX);
        let (payload, behind) = rest.split_at(left.min(rest.len()));
        *rest = behind;
        let unmasked = unmasked(payload, frame.head.mask, frame.passed);
        frame.passed += payload.len() as u64;
        match &mut self.current {
            _ if frame.head.opcode == Opcode::Close => frame.close.extend(unmasked),
            Some(message) if !frame.head.opcode.is_control() => {
                if message.opcode == Opcode::Binary {
                    self.counts.binary_bytes += payload.len() as u64;
                    return;
                }
                self.counts.text_bytes += payload.len() as u64;
                if !message.is_compressed {
                    message.text.extend(unmasked.take(self.max_text - message.text.len()));
                }
            }
            _ => {}
        }
    }

    /// Ends `frame`, and its message if it is the last of one; returns what follows.
    pub(super) fn end(&mut self, frame: &Frame, on_event: &mut dyn FnMut(Event<'_>)) -> State {
        let FrameHead { is_final, opcode, length, .. } = frame.head;
        self.counts.frames += 1;
        self.counts.largest_frame = self.counts.largest_frame.max(length);
        match opcode {
            Opcode::Ping => self.counts.pings += 1,
            Opcode::Pong => self.counts.pongs += 1,
            Opcode::Close => {
                let close = self.close.insert(Close::parse(&frame.close));
                let text = close.reason.as_bytes();
                on_event(Event::Message(Message {
                    opcode,
                    length,
                    is_compressed: false,
                    code: close.code,
                    text,
                }));
                return State::Closed;
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                if let Some(message) = self.current.take_if(|_| is_final) {
                    self.count(&message);
                    on_event(Event::Message(message.as_message()));
                }
                return State::Head(HeadBytes::default());
            }
        }
        on_event(Event::Message(Message { opcode, length, is_compressed: false, code: None, text: &[] }));
        State::Head(HeadBytes::default())
    }

    /// Forgets the message whose end will not be recognised.
    pub(super) fn abandon(&mut self) {
        self.current = None;
    }

    fn count(&mut self, message: &CurrentMessage) {
        let counts = &mut self.counts;
        counts.largest_message = counts.largest_message.max(message.length);
        let messages = match message.opcode {
            Opcode::Text => &mut counts.text_messages,
            _ => &mut counts.binary_messages,
        };
        *messages += 1;
    }
}

impl CurrentMessage {
    fn as_message(&self) -> Message<'_> {
        Message {
            opcode: self.opcode,
            length: self.length,
            is_compressed: self.is_compressed,
            code: None,
            text: &self.text,
        }
    }
}

/// The bytes of a payload that begins `at` bytes behind the head of its frame, without the mask.
fn unmasked(payload: &[u8], mask: Option<[u8; 4]>, at: u64) -> impl Iterator<Item = u8> {
    let mask = mask.unwrap_or_default();
    payload.iter().zip((at..).map(move |at| mask[(at % 4) as usize])).map(|(byte, key)| byte ^ key)
}
