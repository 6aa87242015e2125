//! Finds the end of a chunked body (RFC 9112 section 7.1). Every line must end in CRLF.

/// How many hexadecimal digits a chunk size may have: one fewer than could overflow a `u64`.
const MAX_SIZE_DIGITS: u32 = 15;

/// The longest extension or trailer line, in bytes. They are skipped, but a client must not send one without end.
const MAX_LINE: u32 = 8 * 1024;

/// The state of a chunked body, which arrives in arbitrary pieces.
#[derive(Debug, Default)]
pub(super) struct Chunked(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u32 },
    Extension { size: u64, length: u32 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { length: u32 },
    TrailerEnd { empty: bool },
}

impl Default for State {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

/// How much of a piece belongs to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of the piece belongs to the body.
    Inside,
    /// The body ends before this byte of the piece.
    Ended(usize),
    /// The body is not chunked as RFC 9112 asks.
    Broken,
}

impl Chunked {
    /// Takes the next piece.
    pub(super) fn advance(&mut self, piece: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            // Data is skipped at once. Only the framing is read byte by byte.
            if let State::Data { left } = &mut self.0 {
                let rest = piece.len() - at;
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest);
                *left -= taken as u64;
                at += taken;
                if *left == 0 {
                    self.0 = State::DataCr;
                }
                continue;
            }
            let Some(next) = self.0.after(byte) else { return Progress::Broken };
            at += 1;
            if next == (State::TrailerEnd { empty: true }) && byte == b'\n' {
                return Progress::Ended(at);
            }
            self.0 = next;
        }
        Progress::Inside
    }
}

impl State {
    /// The state after `byte`; `None` if the body is broken. The state stays at the last line feed of an empty trailer,
    /// by which the caller recognises the end.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { size, digits }, byte) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. } | Self::Extension { size, .. }, b'\r') => {
                Self::SizeEnd { size }
            }
            // White space before the semicolon is refused: parsers disagree about this "bad whitespace" of RFC 9112
            // section 7.1.1.
            (Self::Size { size, digits: 1.. }, b';') => Self::Extension { size, length: 0 },
            (Self::Extension { size, length }, byte) if length < MAX_LINE && is_text(byte) => {
                Self::Extension { size, length: length + 1 }
            }
            (Self::SizeEnd { size: 0 } | Self::TrailerEnd { empty: false }, b'\n') => {
                Self::Trailer { length: 0 }
            }
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::default(),
            (Self::Trailer { length }, b'\r') => Self::TrailerEnd { empty: length == 0 },
            (Self::Trailer { length }, byte) if length < MAX_LINE && is_text(byte) => {
                Self::Trailer { length: length + 1 }
            }
            (Self::TrailerEnd { empty: true }, b'\n') => self,
            _ => return None,
        })
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_at_once(body: &[u8]) -> Progress {
        Chunked::default().advance(body)
    }

    fn byte_by_byte(body: &[u8]) -> Progress {
        let mut chunked = Chunked::default();
        for (at, byte) in body.iter().enumerate() {
            match chunked.advance(std::slice::from_ref(byte)) {
                Progress::Inside => {}
                Progress::Ended(taken) => return Progress::Ended(at + taken),
                Progress::Broken => return Progress::Broken,
            }
        }
        Progress::Inside
    }

    #[test]
    fn a_chunked_body_ends_at_the_same_byte_however_it_is_split() {
        for (body, rest) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n"),
            ("3;a=b\r\nabc\r\n00\r\n\r\n", ""),
            ("A\r\n0123456789\r\n0\r\nx-checksum: 1\r\ny: 2\r\n\r\n", "more"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ] {
            let whole = format!("{body}{rest}");
            assert_eq!(all_at_once(whole.as_bytes()), Progress::Ended(body.len()), "{whole:?}");
            assert_eq!(byte_by_byte(whole.as_bytes()), Progress::Ended(body.len()), "{whole:?}");
        }
    }

    #[test]
    fn invalid_chunked_bodies_are_broken() {
        for body in [
            "\r\n",
            "g\r\n",
            "3\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "-1\r\n",
            "0x3\r\n",
            " 3\r\n",
            "3 \r\nabc\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nx\ny\r\n",
            "0\r\r\n",
            "3;\0\r\n",
            "3;\x7f\r\n",
        ] {
            assert_eq!(all_at_once(body.as_bytes()), Progress::Broken, "{body:?}");
            assert_eq!(byte_by_byte(body.as_bytes()), Progress::Broken, "{body:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_end_at_their_limit() {
        let longest = "x".repeat(MAX_LINE as usize);
        for (before, after) in [("1;", "\r\na\r\n0\r\n\r\n"), ("0\r\n", "\r\n\r\n")] {
            let body = format!("{before}{longest}{after}");
            assert_eq!(all_at_once(body.as_bytes()), Progress::Ended(body.len()), "{before:?}");
            let body = format!("{before}{longest}x{after}");
            assert_eq!(all_at_once(body.as_bytes()), Progress::Broken, "{before:?}");
        }
    }

    #[test]
    fn sizes_have_as_many_digits_as_a_number_of_64_bits_holds_and_no_more() {
        let digits = |count| format!("{}1\r\na\r\n0\r\n\r\n", "0".repeat(count));
        let most = digits(MAX_SIZE_DIGITS as usize - 1);
        assert_eq!(all_at_once(most.as_bytes()), Progress::Ended(most.len()));
        assert_eq!(all_at_once(digits(MAX_SIZE_DIGITS as usize).as_bytes()), Progress::Broken);
    }

    #[test]
    fn an_unfinished_body_goes_on() {
        for body in ["", "3", "3\r\nab", "3\r\nabc\r\n0\r\n", "0\r\nx: 1\r\n"] {
            assert_eq!(all_at_once(body.as_bytes()), Progress::Inside, "{body:?}");
        }
    }
}
