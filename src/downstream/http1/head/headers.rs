//! Checks the header fields of a head, and finds out how the body is framed.

use memchr::memchr;

use super::{Framing, HeadError, Version, is_token, malformed};

/// How many header fields a head may have.
pub(super) const MAX_FIELDS: usize = 100;

/// What the header fields say about the body.
#[derive(Default)]
pub(super) struct BodyHeaders {
    count: usize,
    length: Option<u64>,
    chunked: bool,
    /// Set by any expectation: the service answers an unknown one with 417 before the body, too.
    pub(super) expects_continue: bool,
    /// Whether `Upgrade` offers a WebSocket, in whatever form: the bytes that follow such a head are held, and the
    /// service decides whether the request is a valid handshake.
    pub(super) offers_websocket: bool,
}

impl BodyHeaders {
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), HeadError> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(HeadError::TooLarge);
        }
        // Obsolete line folding, which parsers unfold in different ways (RFC 9112 section 5.2).
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(malformed("A header goes on in the next line"));
        }
        let colon = memchr(b':', line).ok_or_else(|| malformed("A header has no colon"))?;
        let (name, value) = (&line[..colon], trim_blanks(&line[colon + 1..]));
        // This also refuses white space before the colon, which some servers strip (RFC 9112 section 5.1).
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Err(malformed("A header's name is not a token"));
        }
        if value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(malformed("A header's value has a control character"));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            return self.take_length(value);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadError::TransferCoding);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expects_continue = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.offers_websocket |= names_websocket(value);
        } else if looks_like_framing(name) {
            return Err(malformed("A header's name is almost Content-Length or Transfer-Encoding"));
        }
        Ok(())
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.length.is_some() {
            return Err(malformed("Content-Length stands twice"));
        }
        // Signs, leading zeros and lists are numbers to some parsers only. 19 digits always fit into a `u64`.
        let plain = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let canonical = plain && (value == b"0" || value[0] != b'0');
        let length =
            std::str::from_utf8(value).ok().filter(|_| canonical).and_then(|digits| digits.parse().ok());
        self.length = Some(length.ok_or_else(|| malformed("Content-Length is not a plain number"))?);
        Ok(())
    }

    pub(super) fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        // RFC 9112 section 6.3 lets Transfer-Encoding win over Content-Length. Servers that let the other one win are
        // what request smuggling needs, so that both together are refused.
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(malformed("Content-Length and Transfer-Encoding exclude each other")),
            (true, None) if version == Version::Http10 => {
                Err(malformed("HTTP/1.0 knows no Transfer-Encoding"))
            }
            (true, None) => Ok(Framing::Chunked),
            (false, Some(0) | None) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

/// Whether a list of protocols has `websocket`, with or without a version.
fn names_websocket(protocols: &[u8]) -> bool {
    let mut names = protocols
        .split(|&byte| byte == b',')
        .map(|protocol| protocol.split(|&byte| byte == b'/').next().unwrap_or_default());
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// Whether a lenient server, one that maps hyphens and underscores to each other, may read the name as one that frames
/// the body.
fn looks_like_framing(name: &[u8]) -> bool {
    if name.len() < b"contentlength".len() {
        return false;
    }
    let letters = || name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    letters().eq(*b"contentlength") || letters().eq(*b"transferencoding")
}

/// Trims spaces and tabs only (RFC 9110 section 5.6.3): `trim_ascii` would also take a form feed, which is part of the
/// value.
fn trim_blanks(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}
