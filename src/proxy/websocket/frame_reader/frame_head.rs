//! The head of a frame: opcode, length and masking key (RFC 6455 section 5.2).

/// The longest head, in bytes: two, a length of eight, and a masking key of four.
const MAX_HEAD: usize = 14;

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub(in crate::proxy::websocket) const MAX_CONTROL: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Opcode {
    /// A further part of a message.
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// The number on the wire.
    pub(in crate::proxy) fn number(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Which bits of a head an extension has given a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Extensions {
    #[default]
    None,
    /// RSV1 marks a compressed message (RFC 7692 section 6).
    PermessageDeflate,
    /// Any bit may mean anything.
    Other,
}

impl Extensions {
    /// The extensions that a `Sec-WebSocket-Extensions` of the server's has accepted.
    pub(in crate::proxy) fn accepted<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut extensions = Self::None;
        for name in values.into_iter().flat_map(|value| value.split(',')) {
            let name = name.split(';').next().unwrap_or_default().trim();
            extensions = match (extensions, name) {
                (unchanged, "") => unchanged,
                (Self::None, name) if name.eq_ignore_ascii_case("permessage-deflate") => {
                    Self::PermessageDeflate
                }
                _ => Self::Other,
            };
        }
        extensions
    }
}

/// Why frames cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum FrameFault {
    ReservedOpcode,
    /// A reserved bit that no accepted extension uses.
    ReservedBit,
    FragmentedControl,
    LongControl,
    /// A length of 2^63 or more.
    Length,
    /// A continuation without a message that it continues.
    LoneContinuation,
    /// A message that begins within another.
    InterruptedMessage,
}

impl FrameFault {
    /// What is wrong, in words.
    pub(in crate::proxy) fn as_str(self) -> &'static str {
        match self {
            Self::ReservedOpcode => "a frame has a reserved opcode",
            Self::ReservedBit => "a frame has a reserved bit that no accepted extension uses",
            Self::FragmentedControl => "a control frame is fragmented",
            Self::LongControl => "a control frame has more than 125 bytes",
            Self::Length => "the length of a frame is 2^63 bytes or more",
            Self::LoneContinuation => "a continuation frame belongs to no message",
            Self::InterruptedMessage => "a message begins before the last fragment of another",
        }
    }
}

/// The head of one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) is_final: bool,
    /// RSV1 is the highest of three bits.
    pub(super) reserved: u8,
    pub(super) opcode: Opcode,
    pub(super) mask: Option<[u8; 4]>,
    /// Of the payload, in bytes.
    pub(super) length: u64,
}

/// Collects the bytes of one head, which may arrive one at a time.
#[derive(Debug, Default)]
pub(super) struct HeadBytes {
    bytes: [u8; MAX_HEAD],
    filled: usize,
}

impl HeadBytes {
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Takes the bytes of the head out of `input`; `None` when more are needed.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<FrameHead>, FrameFault> {
        while self.filled < self.length() {
            let taken = input.len().min(self.length() - self.filled);
            if taken == 0 {
                return Ok(None);
            }
            self.bytes[self.filled..self.filled + taken].copy_from_slice(&input[..taken]);
            self.filled += taken;
            *input = &input[taken..];
        }
        self.parse().map(Some)
    }

    /// How many bytes the head has, as far as is known.
    fn length(&self) -> usize {
        if self.filled < 2 {
            return 2;
        }
        let mask = if self.is_masked() { 4 } else { 0 };
        2 + self.length_bytes() + mask
    }

    fn is_masked(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// How many bytes the length has behind the first two.
    fn length_bytes(&self) -> usize {
        match self.bytes[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn parse(&self) -> Result<FrameHead, FrameFault> {
        let [first, second] = [self.bytes[0], self.bytes[1]];
        let opcode = Opcode::of(first & 0x0F).ok_or(FrameFault::ReservedOpcode)?;
        let (length, mask) = self.bytes[2..self.filled].split_at(self.length_bytes());
        let length = match length {
            [] => u64::from(second & 0x7F),
            bytes => bytes.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        };
        let head = FrameHead {
            is_final: first & 0x80 != 0,
            reserved: first >> 4 & 0b111,
            opcode,
            mask: mask.first_chunk().copied(),
            length,
        };
        if length >> 63 != 0 {
            return Err(FrameFault::Length);
        }
        if opcode.is_control() && !head.is_final {
            return Err(FrameFault::FragmentedControl);
        }
        if opcode.is_control() && length > MAX_CONTROL as u64 {
            return Err(FrameFault::LongControl);
        }
        Ok(head)
    }
}
