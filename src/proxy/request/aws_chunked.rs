//! Bodies in S3's `aws-chunked` form whose chunks the client has signed (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD` and its
//! like): taken apart, checked against the length that the client announced, and put together again without signatures.
//!
//! Each chunk's signature depends on the client's own key, so that the proxy can neither check nor repeat it. The
//! client's user has been admitted by other means, and the proxy signs the decoded body or leaves it unsigned.

mod decoder;
mod framer;
#[cfg(fuzzing)]
pub(in crate::proxy) mod fuzzing;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use decoder::Decoder;
pub(super) use framer::Framer;

const X_AMZ_DECODED_CONTENT_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const X_AMZ_TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");

/// How the names of checksum headers begin. S3 has no other trailers.
const CHECKSUM: &str = "x-amz-checksum-";

/// How much of a trailer's name is repeated to the client and in the log, in bytes.
const MAX_SHOWN_NAME: usize = 64;

/// What is wrong with a body of signed chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsChunkedError {
    /// The headers say that the body has chunks, and not of which form.
    NoForm,
    /// `x-amz-decoded-content-length` is absent, repeated or not a number.
    NoLength,
    /// The chunks have another total length than was announced, in bytes.
    Length {
        /// What `x-amz-decoded-content-length` says.
        announced: u64,
        /// What the chunks contain, at least.
        sent: u64,
    },
    /// What stands at this byte of the body is not what must stand there.
    Malformed {
        /// The byte, counted from zero.
        at: u64,
        /// What must stand there.
        expected: &'static str,
    },
    /// A trailer is no checksum, was not announced, or did not come.
    Trailer {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl fmt::Display for AwsChunkedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoForm => f.write_str(
                "The body is in aws-chunked form (x-amz-decoded-content-length, or one of several \
                 x-amz-content-sha256), and no single x-amz-content-sha256 says in which. Send one, \
                 STREAMING-UNSIGNED-PAYLOAD-TRAILER for example.",
            ),
            Self::NoLength => f.write_str(
                "The body has signed chunks (x-amz-content-sha256), and the request has no single \
                 x-amz-decoded-content-length with the number of bytes in them.",
            ),
            Self::Length { announced, sent } if sent > announced => write!(
                f,
                "x-amz-decoded-content-length is {announced}, and the chunks contain at least {sent} bytes."
            ),
            Self::Length { announced, sent } => {
                write!(f, "x-amz-decoded-content-length is {announced}, and the chunks contain {sent} bytes.")
            }
            Self::Malformed { at, expected } => {
                write!(f, "The aws-chunked body is malformed at byte {at}: expected {expected}.")
            }
            Self::Trailer { name, problem } => write!(f, "The trailer {name} {problem}."),
        }
    }
}

/// A body of signed chunks: what its head announced, and how much has come.
#[derive(Debug)]
pub(in crate::proxy) struct SignedChunks {
    decoder: Decoder,
    announced: u64,
    decoded: u64,
    trailer_names: Vec<HeaderName>,
    /// The bytes that complete the announced length. They wait for the last chunk and the trailers: an upstream that has
    /// a whole body by its length would take it before the rest of it has been checked.
    last: Option<Bytes>,
}

impl SignedChunks {
    /// The body that a request with these headers has; `with_trailers` is whether its form has trailers.
    ///
    /// # Errors
    /// When the headers do not say how long it is, or announce a trailer that is no checksum.
    pub(super) fn announced_by(headers: &HeaderMap, with_trailers: bool) -> Result<Self, AwsChunkedError> {
        let mut lengths = headers.get_all(X_AMZ_DECODED_CONTENT_LENGTH).iter();
        let length = match (lengths.next(), lengths.next()) {
            (Some(length), None) => length.to_str().ok(),
            _ => None,
        };
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let announced =
            length.filter(is_number).and_then(|text| text.parse().ok()).ok_or(AwsChunkedError::NoLength)?;
        let trailer_names = if with_trailers { trailer_names(headers)? } else { Vec::new() };
        Ok(Self { decoder: Decoder::new(with_trailers), announced, decoded: 0, trailer_names, last: None })
    }

    /// The length of the decoded body, in bytes.
    pub(super) fn announced(&self) -> u64 {
        self.announced
    }

    pub(super) fn has_trailers(&self) -> bool {
        !self.trailer_names.is_empty()
    }

    /// Takes the next data out of `input`; `None` when it needs more input.
    ///
    /// # Errors
    /// When the body is malformed or longer than announced.
    pub(super) fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, AwsChunkedError> {
        let Some(data) = self.decoder.decode(input)? else { return Ok(None) };
        self.decoded += data.len() as u64;
        if self.decoded > self.announced {
            return Err(AwsChunkedError::Length { announced: self.announced, sent: self.decoded });
        }
        if self.decoded < self.announced {
            return Ok(Some(data));
        }
        self.last = Some(data);
        self.decode(input)
    }

    /// The rest of the data and the trailers, when the input has ended.
    ///
    /// # Errors
    /// When the body is incomplete, shorter than announced, or lacks a trailer.
    pub(super) fn finish(&mut self) -> Result<(Option<Bytes>, HeaderMap), AwsChunkedError> {
        let trailers = self.decoder.finish()?;
        if self.decoded != self.announced {
            return Err(AwsChunkedError::Length { announced: self.announced, sent: self.decoded });
        }
        let wrong = |name: &HeaderName, problem| AwsChunkedError::Trailer { name: name.to_string(), problem };
        if let Some(name) = trailers.keys().find(|name| !self.trailer_names.contains(name)) {
            return Err(wrong(name, "is not among those of x-amz-trailer"));
        }
        if let Some(name) = self.trailer_names.iter().find(|name| !trailers.contains_key(*name)) {
            return Err(wrong(name, "is announced by x-amz-trailer and does not follow the last chunk"));
        }
        Ok((self.last.take(), trailers))
    }
}

/// Whether the headers say that the body has chunks.
pub(super) fn is_announced(headers: &HeaderMap) -> bool {
    headers.contains_key(X_AMZ_DECODED_CONTENT_LENGTH)
}

/// Whether checksums follow the last chunk.
pub(super) fn announces_trailers(headers: &HeaderMap) -> bool {
    headers.contains_key(X_AMZ_TRAILER)
}

/// The names in `x-amz-trailer`.
fn trailer_names(headers: &HeaderMap) -> Result<Vec<HeaderName>, AwsChunkedError> {
    let lines = headers.get_all(X_AMZ_TRAILER).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let names = names.filter(|name| !name.is_empty()).map(|name| {
        let known = HeaderName::from_bytes(name).ok().filter(|name| name.as_str().starts_with(CHECKSUM));
        known.ok_or_else(|| AwsChunkedError::Trailer {
            name: String::from_utf8_lossy(&name[..name.len().min(MAX_SHOWN_NAME)]).into_owned(),
            problem: "is not a checksum of S3 (x-amz-checksum-...)",
        })
    });
    names.collect()
}

/// Removes what describes the encoded body: `aws-chunked` among the content codings, the decoded length, and the names
/// of trailers.
pub(super) fn remove_encoding(headers: &mut HeaderMap) {
    headers.remove(X_AMZ_DECODED_CONTENT_LENGTH);
    headers.remove(X_AMZ_TRAILER);
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let others: Vec<&[u8]> =
        codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"aws-chunked")).collect();
    let rest = others.join(&b", "[..]);
    headers.remove(header::CONTENT_ENCODING);
    if let Some(rest) = HeaderValue::from_bytes(&rest).ok().filter(|rest| !rest.is_empty()) {
        headers.insert(header::CONTENT_ENCODING, rest);
    }
}

#[cfg(test)]
mod tests;
