//! The canonical request, computed from the wire request.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use memchr::memchr2;
use percent_encoding::percent_decode;
use smallvec::SmallVec;

use super::{
    percent::{RESERVED, extend_encoded},
    target::{Encoding, WireTarget},
};

/// The signed headers, sorted by name; values of the same name in wire order.
pub(super) type Selected<'a> = SmallVec<[(&'a str, &'a HeaderValue); 16]>;

/// Whether a header is signed. Only those that AWS requires are: a proxy on the way may rewrite others, which would
/// break the signature.
pub(super) fn is_signed(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-")
}

/// Selects the headers to sign; `host` is always one of them.
pub(super) fn select<'a>(
    headers: &'a HeaderMap,
    host: &'a HeaderValue,
    is_signed: impl Fn(&HeaderName) -> bool,
) -> Selected<'a> {
    let mut selected = Selected::new();
    selected.push(("host", host));
    selected.extend(
        headers
            .iter()
            .filter(|(name, _)| **name != header::HOST && is_signed(name))
            .map(|(name, value)| (name.as_str(), value)),
    );
    selected.sort_by_key(|&(name, _)| name);
    selected
}

/// Appends the canonical request.
pub(super) fn request(
    out: &mut Vec<u8>,
    method: &Method,
    target: &WireTarget,
    headers: &Selected<'_>,
    encoding: Encoding,
    payload_hash: &str,
) {
    out.extend(method.as_str().as_bytes());
    out.push(b'\n');
    push_path(out, target.path().as_bytes(), encoding);
    out.push(b'\n');
    push_query(out, target.query().unwrap_or_default().as_bytes());
    out.push(b'\n');
    push_headers(out, headers);
    out.push(b'\n');
    signed_names(headers).for_each(|piece| out.extend(piece.as_bytes()));
    out.push(b'\n');
    out.extend(payload_hash.as_bytes());
}

/// Appends the canonical path.
pub(super) fn push_path(out: &mut Vec<u8>, path: &[u8], encoding: Encoding) {
    match encoding {
        Encoding::Once => out.extend(path),
        Encoding::Twice => {
            let start = out.len();
            let mut directory = true;
            for segment in path.split(|&byte| byte == b'/') {
                // A path that ends in an empty or dot segment ends in a slash (RFC 3986 section 5.2.4).
                directory = match segment {
                    b"" | b"." => true,
                    b".." => {
                        let parent = out[start..].iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                        out.truncate(start + parent);
                        true
                    }
                    _ => {
                        out.push(b'/');
                        extend_encoded(out, segment, RESERVED);
                        false
                    }
                };
            }
            if directory {
                out.push(b'/');
            }
        }
    }
}

/// Appends the canonical query: decoded, encoded once, sorted by encoded key and then by encoded value.
pub(super) fn push_query(out: &mut Vec<u8>, query: &[u8]) {
    let parameters = || query.split(|&byte| byte == b'&').filter(|parameter| !parameter.is_empty());
    let start = out.len();
    let mut written: SmallVec<[Parameter; 16]> = SmallVec::new();
    for parameter in parameters() {
        let at = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
        let from = out.len();
        push_reencoded(out, &parameter[..at]);
        let middle = out.len();
        push_reencoded(out, parameter.get(at + 1..).unwrap_or_default());
        written.push(Parameter { from, middle, to: out.len() });
    }
    written.sort_unstable_by(|one, other| {
        (one.key(out), one.value(out)).cmp(&(other.key(out), other.value(out)))
    });
    // Appends the sorted parameters behind the unsorted ones and then removes the latter, which needs no second buffer.
    let ordered = out.len();
    for (number, parameter) in written.iter().enumerate() {
        if number > 0 {
            out.push(b'&');
        }
        out.extend_from_within(parameter.from..parameter.middle);
        out.push(b'=');
        out.extend_from_within(parameter.middle..parameter.to);
    }
    out.drain(start..ordered);
}

/// The positions of an encoded key and its encoded value in a buffer.
struct Parameter {
    from: usize,
    middle: usize,
    to: usize,
}

impl Parameter {
    fn key<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.from..self.middle]
    }

    fn value<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.middle..self.to]
    }
}

/// Decodes a part and encodes it again. A plus is decoded as a space.
fn push_reencoded(out: &mut Vec<u8>, part: &[u8]) {
    for (number, words) in part.split(|&byte| byte == b'+').enumerate() {
        if number > 0 {
            out.extend_from_slice(b"%20");
        }
        let decoded: Cow<'_, [u8]> = percent_decode(words).into();
        extend_encoded(out, &decoded, RESERVED);
    }
}

fn push_headers(out: &mut Vec<u8>, headers: &Selected<'_>) {
    for (at, (name, value)) in headers.iter().enumerate() {
        if at > 0 && headers[at - 1].0 == *name {
            // Another value of the same name follows on the line of the first.
            out.pop();
            out.push(b',');
        } else {
            out.extend(name.as_bytes());
            out.push(b':');
        }
        push_trimmed(out, value.as_bytes());
        out.push(b'\n');
    }
}

/// Appends a value without leading and trailing blanks, and with one space for each run of blanks inside.
fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    if memchr2(b' ', b'\t', value).is_none() {
        out.extend_from_slice(value);
        return;
    }
    let words = value.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend(word);
    }
}

/// The names of the signed headers, with semicolons between them.
pub(super) fn signed_names<'a>(headers: &Selected<'a>) -> impl Iterator<Item = &'a str> {
    headers.iter().enumerate().flat_map(|(at, &(name, _))| {
        let previous = at.checked_sub(1).map(|previous| headers[previous].0);
        match previous {
            None => ["", name],
            Some(previous) if previous == name => ["", ""],
            Some(_) => [";", name],
        }
    })
}
