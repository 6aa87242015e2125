//! Close frames: what one says, and how the proxy makes its own (RFC 6455 section 5.5.1).

use super::frame_reader::{MAX_CONTROL, Opcode};

/// The longest reason, in bytes: a control frame has 125, and the code takes two.
const MAX_REASON: usize = MAX_CONTROL - 2;

/// What a Close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Close {
    /// Absent when the frame is empty.
    pub(in crate::proxy) code: Option<u16>,
    /// Bytes that are not UTF-8 are replaced.
    pub(in crate::proxy) reason: String,
}

impl Close {
    /// Reads a payload that is not masked any more. One byte alone is no code.
    pub(super) fn parse(payload: &[u8]) -> Self {
        let (code, reason) = match payload.split_first_chunk::<2>() {
            Some((code, reason)) => (Some(u16::from_be_bytes(*code)), reason),
            None => (None, &[][..]),
        };
        Self { code, reason: String::from_utf8_lossy(reason).into_owned() }
    }
}

/// A Close frame. A frame that goes to a server must have a `mask`, and one that goes to a client must have none.
///
/// A reason that is too long is cut between two characters.
pub(in crate::proxy) fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let length = u8::try_from(payload.len()).expect("a control frame has at most 125 bytes");
    let mut frame = vec![0x80 | Opcode::Close.number(), masked | length];
    if let Some(mask) = mask {
        frame.extend_from_slice(&mask);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_has_code_and_reason_and_a_mask_only_towards_the_server() {
        assert_eq!(close_frame(1001, "", None), [0x88, 2, 0x03, 0xE9]);
        assert_eq!(
            close_frame(1000, "ok", Some([1, 2, 3, 4])),
            [0x88, 0x84, 1, 2, 3, 4, 0x03 ^ 1, 0xE8 ^ 2, b'o' ^ 3, b'k' ^ 4]
        );
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close_frame(4000, &"ä".repeat(100), None);
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert_eq!(Close::parse(&frame[2..]), Close { code: Some(4000), reason: "ä".repeat(61) });
    }

    #[test]
    fn what_is_no_code_is_absent_and_what_is_no_text_is_replaced() {
        for payload in [&[][..], &[3]] {
            assert_eq!(Close::parse(payload), Close { code: None, reason: String::new() });
        }
        let reason = Close::parse(&[0x03, 0xE8, b'a', 0xFF, b'b']).reason;
        assert_eq!(reason, "a\u{FFFD}b");
    }
}
