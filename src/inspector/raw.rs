//! Text that may hold secrets, until it is redacted.

use std::{borrow::Cow, fmt, hint::black_box};

use http::{HeaderMap, HeaderName, header};

use super::redaction::MARK;

/// Headers that the signer sets, and that are secret.
const SIGNERS: [HeaderName; 2] = [header::AUTHORIZATION, HeaderName::from_static("x-amz-security-token")];

/// How much a header takes on average, in bytes.
const MEAN_HEADER: usize = 48;

/// Text as it was sent. It is a copy: a slice of the buffer that it was read into would keep that whole buffer.
#[derive(Default)]
pub(super) struct Raw(Vec<u8>);

impl Raw {
    /// A copy of `text`.
    pub(super) fn of(text: &[u8]) -> Self {
        Self(text.to_vec())
    }

    /// Headers as lines of `name: value`, without one of the name `left_out`.
    pub(super) fn headers(headers: &HeaderMap, left_out: Option<&HeaderName>) -> Self {
        let mut lines = Vec::with_capacity(headers.len() * MEAN_HEADER);
        for (name, value) in headers {
            if left_out != Some(name) {
                push_line(&mut lines, name, value.as_bytes());
            }
        }
        Self(lines)
    }

    /// The same of a signed request, without the signature and the session token.
    pub(super) fn signed_headers(headers: &HeaderMap) -> Self {
        let mut lines = Vec::with_capacity(headers.len() * MEAN_HEADER);
        for (name, value) in headers {
            let is_secret = value.is_sensitive() && SIGNERS.contains(name);
            push_line(&mut lines, name, if is_secret { MARK.as_bytes() } else { value.as_bytes() });
        }
        Self(lines)
    }

    /// The value of the first line of this name.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &self.0) {
            let line = &self.0[start..end];
            if let Some(value) = line.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b": "))
            {
                return Some(value);
            }
            start = end + 1;
        }
        None
    }

    /// The text, with replacement characters for what is no UTF-8.
    pub(super) fn text(&self) -> Cow<'_, str> {
        // Nearly all text is UTF-8, and `from_utf8_lossy` looks at each byte.
        match std::str::from_utf8(&self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.0),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.0.capacity()
    }
}

fn push_line(lines: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    lines.extend_from_slice(name.as_str().as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.push(b'\n');
}

impl From<Vec<u8>> for Raw {
    fn from(text: Vec<u8>) -> Self {
        Self(text)
    }
}

/// Wiped by the block: `zeroize` writes byte by byte, which would cost more than recording does. `black_box` keeps the
/// compiler from leaving the writes out.
impl Drop for Raw {
    fn drop(&mut self) {
        self.0.fill(0);
        black_box(&self.0);
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({})", self.0.len())
    }
}
