//! The request target on the wire: joined with the base path, ambiguous bytes encoded, everything else unchanged.

use std::{
    borrow::Cow,
    fmt,
    sync::{Mutex, PoisonError},
};

use bytes::{BufMut, BytesMut};
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode};

use super::percent::{RESERVED_IN_PATH, extend_encoded};
use crate::request_target::{MAX_LENGTH, has_sound_escapes};

/// The bytes that RFC 3986 allows neither in a path nor in a query.
const ILLEGAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The same for a query. REST APIs of API Gateway also split parameters at a raw semicolon.
const ILLEGAL_IN_QUERY: &AsciiSet = &ILLEGAL.add(b';');

/// What a signature in the query has besides the parameters of a presigned URL that are refused in any case.
const SIGNING_PARAMETERS: [&[u8]; 6] = [
    b"x-amz-credential",
    b"x-amz-date",
    b"x-amz-expires",
    b"x-amz-region-set",
    b"x-amz-security-token",
    b"x-amz-signedheaders",
];

/// How a service computes the canonical path from the path that it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Removes dot segments and empty segments, then encodes once more: every service except S3.
    Twice,
    /// Uses the path as sent: S3. The wire path is brought into the form that S3 computes.
    Once,
}

/// A path and query in ASCII, with the meaning of the client's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireTarget(PathAndQuery);

/// How many bytes are allocated for targets at a time. The targets of many requests share one allocation, which their
/// clones share as well.
const BUFFER_SIZE: usize = 8 * 1024;

/// Memory for the targets of one thread's requests.
// A lock, since the planner is shared; it is uncontended, because each thread has its own planner.
#[derive(Default)]
pub struct TargetBuffer(Mutex<BytesMut>);

impl fmt::Debug for TargetBuffer {
    /// Without the bytes, in which the query of an earlier request may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TargetBuffer")
    }
}

/// Why a target cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// A `%` without two hexadecimal digits after it.
    BadEscape,
    /// Longer than [`MAX_LENGTH`].
    TooLong,
    /// It does not start with a slash, or contains a control character.
    Malformed,
    /// It has parameters of a presigned URL, which AWS refuses beside an Authorization header.
    Presigned,
    /// It has a parameter that a signature in the query has as well. AWS takes the first one, or refuses both.
    SigningParameter,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadEscape => f.write_str("a percent sign in the request target is not followed by two hexadecimal digits"),
            Self::TooLong => write!(f, "the request target is longer than {MAX_LENGTH} bytes"),
            Self::Malformed => f.write_str("the request target is not a path"),
            Self::Presigned => f.write_str(
                "the request carries a presigned query (X-Amz-Signature, or AWSAccessKeyId and Signature); send it without, the proxy signs it",
            ),
            Self::SigningParameter => f.write_str(
                "the query has a parameter that its signature has as well (X-Amz-Date or X-Amz-Security-Token, for example); send it without, the proxy signs it",
            ),
        }
    }
}

impl std::error::Error for TargetError {}

impl WireTarget {
    /// Joins `base`, which has no slash at its end, with the client's raw path and query.
    ///
    /// # Errors
    /// When the target cannot be sent without changing what it means.
    pub fn new(
        base: &str,
        path: &[u8],
        query: Option<&[u8]>,
        encoding: Encoding,
    ) -> Result<Self, TargetError> {
        let mut wire = BytesMut::with_capacity(usual_length(base, path, query));
        Self::write(&mut wire, base, path, query, encoding)
    }

    /// The same target in the memory of `buffer`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_in(
        buffer: &TargetBuffer,
        base: &str,
        path: &[u8],
        query: Option<&[u8]>,
        encoding: Encoding,
    ) -> Result<Self, TargetError> {
        let mut wire = buffer.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A target that could not be sent may have left its beginning.
        wire.clear();
        if wire.capacity() < usual_length(base, path, query) {
            wire.reserve(BUFFER_SIZE);
        }
        Self::write(&mut wire, base, path, query, encoding)
    }

    fn write(
        wire: &mut BytesMut,
        base: &str,
        path: &[u8],
        query: Option<&[u8]>,
        encoding: Encoding,
    ) -> Result<Self, TargetError> {
        if !path.starts_with(b"/") || path.iter().chain(query.unwrap_or_default()).any(u8::is_ascii_control) {
            return Err(TargetError::Malformed);
        }
        if !has_sound_escapes(path) || !query.is_none_or(has_sound_escapes) {
            return Err(TargetError::BadEscape);
        }
        if query.is_some_and(is_presigned) {
            return Err(TargetError::Presigned);
        }
        push_path(wire, base.as_bytes(), encoding);
        push_path(wire, path, encoding);
        if let Some(query) = query {
            wire.put_u8(b'?');
            push_query(wire, query);
        }
        if wire.len() > MAX_LENGTH {
            return Err(TargetError::TooLong);
        }
        PathAndQuery::from_maybe_shared(wire.split().freeze()).map(Self).map_err(|_| TargetError::Malformed)
    }

    /// The target for a request line or `:path`.
    #[must_use]
    pub fn as_path_and_query(&self) -> &PathAndQuery {
        &self.0
    }

    /// Whether a signature can be added to the query.
    ///
    /// # Errors
    /// When the query has one of its parameters already.
    pub fn check_for_query_signature(&self) -> Result<(), TargetError> {
        match self.query() {
            Some(query) if has_parameter(query.as_bytes(), &SIGNING_PARAMETERS) => {
                Err(TargetError::SigningParameter)
            }
            _ => Ok(()),
        }
    }

    /// The same target with further `parameters`, which are encoded. `None` when they are no query.
    pub(super) fn with_parameters(&self, parameters: &[u8]) -> Option<Self> {
        let mut wire = self.0.as_str().as_bytes().to_vec();
        match self.0.query() {
            None => wire.push(b'?'),
            Some("") => {}
            Some(_) => wire.push(b'&'),
        }
        wire.extend(parameters);
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(wire)).ok().map(Self)
    }

    pub(super) fn path(&self) -> &str {
        self.0.path()
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.0.query()
    }
}

/// The length of a target with nothing to encode. One that grows only costs another allocation.
fn usual_length(base: &str, path: &[u8], query: Option<&[u8]>) -> usize {
    base.len() + path.len() + query.map_or(0, |query| query.len() + 1)
}

fn push_path(wire: &mut BytesMut, path: &[u8], encoding: Encoding) {
    match encoding {
        // Encodes only what RFC 3986 does not allow in a path: other bytes may mean something else when encoded.
        Encoding::Twice => extend_encoded(wire, path, ILLEGAL),
        Encoding::Once => {
            let key: Cow<'_, [u8]> = percent_decode(path).into();
            extend_encoded(wire, &key, RESERVED_IN_PATH);
        }
    }
}

fn push_query(wire: &mut BytesMut, query: &[u8]) {
    for (number, words) in query.split(|&byte| byte == b'+').enumerate() {
        if number > 0 {
            // AWS decodes a plus as a space, and other parsers may not. Every parser decodes %20 as a space.
            wire.put_slice(b"%20");
        }
        extend_encoded(wire, words, ILLEGAL_IN_QUERY);
    }
}

/// Whether the query carries a signature: of version 4, or of version 2, where one parameter alone proves nothing.
fn is_presigned(query: &[u8]) -> bool {
    let has = |names: &[&[u8]]| has_parameter(query, names);
    has(&[b"x-amz-signature", b"x-amz-algorithm"]) || (has(&[b"awsaccesskeyid"]) && has(&[b"signature"]))
}

/// Whether the query has a parameter with one of these `names`, in whatever case.
fn has_parameter(query: &[u8], names: &[&[u8]]) -> bool {
    query.split(|&byte| byte == b'&').any(|parameter| {
        let key = parameter.split(|&byte| byte == b'=').next().unwrap_or_default();
        let key: Cow<'_, [u8]> = percent_decode(key).into();
        names.iter().any(|name| key.eq_ignore_ascii_case(name))
    })
}
