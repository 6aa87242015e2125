//! A request body and its hash, which is computed while the body arrives.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::percent::hex_digits;

/// The hash of a body as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PayloadHash([u8; 64]);

impl PayloadHash {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A complete body, in the chunks in which it arrived. Clones share the chunks.
#[derive(Clone)]
pub struct Payload {
    chunks: Arc<[Bytes]>,
    length: u64,
    hash: PayloadHash,
    sentinel: Option<&'static str>,
}

impl Payload {
    /// An empty body.
    #[must_use]
    pub fn empty() -> Self {
        static EMPTY: LazyLock<Payload> = LazyLock::new(|| PayloadBuilder::default().finish());
        EMPTY.clone()
    }

    /// The chunks, in order.
    #[must_use]
    pub fn chunks(&self) -> &Arc<[Bytes]> {
        &self.chunks
    }

    /// The total length, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The SHA-256 of the body.
    #[must_use]
    pub fn hash(&self) -> &PayloadHash {
        &self.hash
    }

    /// The same body in S3's `aws-chunked` form without signed chunks. A fixed word is signed in the place of its hash.
    #[must_use]
    pub fn with_unsigned_trailer(self) -> Self {
        Self { sentinel: Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ..self }
    }

    /// The same body, which the signature does not cover.
    #[must_use]
    pub fn unsigned(self) -> Self {
        Self { sentinel: Some("UNSIGNED-PAYLOAD"), ..self }
    }

    /// Whether a fixed word is signed in the place of the hash. The service has to be told which.
    pub(super) fn has_sentinel(&self) -> bool {
        self.sentinel.is_some()
    }

    /// The last line of the canonical request.
    pub(super) fn signed_as(&self) -> &str {
        self.sentinel.unwrap_or(self.hash.as_str())
    }
}

impl From<Bytes> for Payload {
    fn from(body: Bytes) -> Self {
        let mut builder = PayloadBuilder::default();
        builder.push(body);
        builder.finish()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Collects a body chunk by chunk.
#[derive(Debug, Default)]
pub struct PayloadBuilder {
    // Most bodies have one chunk, for which no list is allocated.
    chunks: SmallVec<[Bytes; 1]>,
    length: u64,
    hasher: Sha256,
}

impl PayloadBuilder {
    /// Adds the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.hasher.update(&chunk);
        self.length += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    /// The complete body.
    #[must_use]
    pub fn finish(self) -> Payload {
        let hash = PayloadHash(hex_digits(&self.hasher.finalize().into()));
        let chunks: Arc<[Bytes]> = match self.chunks.into_inner() {
            Ok(only) => Arc::new(only),
            Err(chunks) => chunks.into_vec().into(),
        };
        Payload { chunks, length: self.length, hash, sentinel: None }
    }
}
