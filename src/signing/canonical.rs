//! The canonical request, computed from the wire request.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    percent::{self, is_unreserved, push_encoded},
    target::{Encoding, WireTarget},
};

/// The headers that are signed, sorted by name; several values of a name stand together in wire order.
pub(super) type Selected<'a> = Vec<(&'a str, &'a HeaderValue)>;

/// Whether a header is signed: what AWS requires and nothing that a hop on the way may rewrite.
pub(super) fn is_signed(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-")
}

/// Chooses the headers to sign; `host` is always one of them.
pub(super) fn select<'a>(
    headers: &'a HeaderMap,
    host: &'a HeaderValue,
    is_signed: impl Fn(&HeaderName) -> bool,
) -> Selected<'a> {
    let mut selected = Vec::with_capacity(8);
    selected.push(("host", host));
    selected.extend(
        headers.iter().filter(|(name, _)| is_signed(name)).map(|(name, value)| (name.as_str(), value)),
    );
    selected.sort_by_key(|&(name, _)| name);
    selected
}

/// Writes the canonical request.
pub(super) fn request(
    method: &Method,
    target: &WireTarget,
    headers: &Selected<'_>,
    encoding: Encoding,
    payload_hash: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(2_048);
    out.extend(method.as_str().as_bytes());
    out.push(b'\n');
    push_path(&mut out, target.path().as_bytes(), encoding);
    out.push(b'\n');
    push_query(&mut out, target.query().unwrap_or_default().as_bytes());
    out.push(b'\n');
    push_headers(&mut out, headers);
    out.push(b'\n');
    out.extend(SignedHeaders(headers).to_string().as_bytes());
    out.push(b'\n');
    out.extend(payload_hash.as_bytes());
    out
}

/// Appends the canonical path.
pub(super) fn push_path(out: &mut Vec<u8>, path: &[u8], encoding: Encoding) {
    match encoding {
        Encoding::Once => out.extend(path),
        Encoding::Twice => {
            let start = out.len();
            let mut directory = true;
            for segment in path.split(|&byte| byte == b'/') {
                // After an empty or a dot segment the path ends in a slash, as in RFC 3986 section 5.2.4.
                directory = match segment {
                    b"" | b"." => true,
                    b".." => {
                        let parent = out[start..].iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                        out.truncate(start + parent);
                        true
                    }
                    _ => {
                        out.push(b'/');
                        segment.iter().for_each(|&byte| push_encoded(out, byte, is_unreserved));
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
    let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = query
        .split(|&byte| byte == b'&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let at = parameter.iter().position(|&byte| byte == b'=');
            let (key, value) =
                at.map_or((parameter, &b""[..]), |at| (&parameter[..at], &parameter[at + 1..]));
            (reencode(key), reencode(value))
        })
        .collect();
    parameters.sort_unstable();
    for (at, (key, value)) in parameters.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend(key);
        out.push(b'=');
        out.extend(value);
    }
}

fn reencode(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    let spaced: Vec<u8> = part.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent::decode(&spaced).for_each(|byte| push_encoded(&mut out, byte, is_unreserved));
    out
}

fn push_headers(out: &mut Vec<u8>, headers: &Selected<'_>) {
    for (at, (name, value)) in headers.iter().enumerate() {
        if at > 0 && headers[at - 1].0 == *name {
            // The previous value ended its line: go on in it.
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

/// Leading and trailing blanks go, each run of blanks inside becomes one space.
fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend(word);
    }
}

/// Shows the names of the signed headers, separated by semicolons.
pub(super) struct SignedHeaders<'a>(pub(super) &'a Selected<'a>);

impl fmt::Display for SignedHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, _)) in self.0.iter().enumerate() {
            match at.checked_sub(1).map(|previous| self.0[previous].0) {
                Some(previous) if previous == *name => {}
                Some(_) => write!(f, ";{name}")?,
                None => f.write_str(name)?,
            }
        }
        Ok(())
    }
}
