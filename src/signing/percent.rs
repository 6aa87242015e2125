//! Percent-encoding as SigV4 defines it, and hexadecimal digits.

use bytes::BufMut;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

const LOWER: &[u8; 16] = b"0123456789abcdef";

/// All bytes except `A-Z a-z 0-9 - . _ ~`, which SigV4 leaves unencoded.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same for a path, in which slashes stay.
pub(super) const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Appends `bytes`. Percent-encodes those in `encoded` and all beyond ASCII.
pub(super) fn extend_encoded(out: &mut impl BufMut, bytes: &[u8], encoded: &'static AsciiSet) {
    for part in percent_encode(bytes, encoded) {
        out.put_slice(part.as_bytes());
    }
}

/// A digest as lower-case hexadecimal digits.
pub(super) fn hex_digits(digest: &[u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[LOWER[usize::from(byte >> 4)], LOWER[usize::from(byte & 15)]]);
    }
    digits
}
