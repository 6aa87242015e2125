//! Checks a request target, and percent-encodes what of it is illegal.

use std::{borrow::Cow, ops::Range};

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::{HeadError, describe, malformed};
use crate::request_target::{MAX_LENGTH as MAX_TARGET, has_sound_escapes};

/// The bytes that RFC 3986 allows neither in a path nor in a query. Browsers and curl send some of them unencoded, and
/// they mean the same when percent-encoded. Bytes beyond ASCII are always encoded.
pub(in crate::downstream::http1) const ILLEGAL: &AsciiSet =
    &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// A part of the request line and the text that replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::downstream::http1) struct TargetEncoding {
    /// The bytes of the head that are replaced.
    pub(in crate::downstream::http1) range: Range<usize>,
    pub(in crate::downstream::http1) text: String,
}

impl TargetEncoding {
    pub(super) fn offset_by(self, length: usize) -> Self {
        Self { range: self.range.start + length..self.range.end + length, ..self }
    }
}

/// Checks a target, and finds out what of it has to be percent-encoded.
pub(super) fn check_target(method: &[u8], target: &[u8]) -> Result<Option<TargetEncoding>, HeadError> {
    if target.len() > MAX_TARGET {
        return Err(HeadError::TargetTooLong);
    }
    if let Some(&byte) = target.iter().find(|byte| byte.is_ascii_control() || **byte == b'#') {
        let what = format!("The request target has {}; send it as %{byte:02X}", describe(byte));
        return Err(HeadError::Malformed(what.into()));
    }
    if !has_sound_escapes(target) {
        return Err(malformed(
            "A percent sign in the request target is not followed by two hexadecimal digits; \
             send a percent sign itself as %25",
        ));
    }
    let encoding = encoding(method, target);
    // The usual target, for which `Uri` would allocate. What is left are bytes that RFC 3986 allows in a path or query.
    if encoding.is_none() && target.starts_with(b"/") && !target.contains(&b' ') {
        return Ok(None);
    }
    let parsed = match &encoding {
        None => Uri::try_from(target),
        Some(encoding) => {
            // The limit holds for what goes up, and hyper refuses longer targets without saying why.
            let length = encoding.range.start + encoding.text.len();
            if length > MAX_TARGET {
                return Err(HeadError::TargetTooLong);
            }
            Uri::try_from([&target[..encoding.range.start], encoding.text.as_bytes()].concat())
        }
    };
    parsed.map(|_| encoding).map_err(|_| malformed("The request target is neither a path nor an http URL"))
}

/// The encoded path and query, if they have illegal bytes or the path is missing. An authority cannot be encoded.
fn encoding(method: &[u8], target: &[u8]) -> Option<TargetEncoding> {
    let start = if target.starts_with(b"/") {
        0
    } else {
        let authority = target.windows(3).position(|window| window == b"://")? + 3;
        match target[authority..].iter().position(|byte| matches!(byte, b'/' | b'?')) {
            Some(path) => authority + path,
            // With neither path nor query it asks about the server as a whole (RFC 9112 section 3.2.4).
            None if method == b"OPTIONS" => {
                return Some(TargetEncoding { range: 0..target.len(), text: "*".to_owned() });
            }
            None => return None,
        }
    };
    let range = start..target.len();
    match Cow::from(percent_encode(&target[start..], ILLEGAL)) {
        // An empty path is "/" (RFC 9110 section 4.2.3).
        text if target[start] == b'?' => Some(TargetEncoding { range, text: format!("/{text}") }),
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(TargetEncoding { range, text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_passes_is_a_uri() {
        for byte in 0..=u8::MAX {
            for target in
                [vec![b'/', byte], vec![b'/', b'?', byte], vec![b'/', byte, byte, b'a', b'?', b'a', byte]]
            {
                if let Ok(None) = check_target(b"GET", &target) {
                    assert!(Uri::try_from(target.as_slice()).is_ok(), "{byte:02x}");
                }
            }
        }
        assert_eq!(check_target(b"GET", b"/a~b?c=d&e=%20"), Ok(None));
        assert!(check_target(b"GET", b"/a b").is_err());
    }
}
