//! Percent-encoding as SigV4 defines it, and hexadecimal digits.

use memchr::memchr_iter;

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// `A-Z a-z 0-9 - . _ ~`, the only bytes that SigV4 leaves as they are.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Appends `byte`, percent-encoded unless `keep` holds for it.
pub(super) fn push_encoded(out: &mut Vec<u8>, byte: u8, keep: impl Fn(u8) -> bool) {
    if keep(byte) {
        out.push(byte);
    } else {
        out.extend([b'%', UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]);
    }
}

/// Appends `bytes`, percent-encoded but for those that `keep` holds for; what is kept is copied as a whole.
pub(super) fn extend_encoded(out: &mut Vec<u8>, bytes: &[u8], keep: impl Fn(u8) -> bool) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let kept = rest.iter().position(|&byte| !keep(byte)).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..kept]);
        rest = &rest[kept..];
        if let Some((&byte, after)) = rest.split_first() {
            push_encoded(out, byte, |_| false);
            rest = after;
        }
    }
}

/// The bytes that `encoded` stands for; a `%` that no two digits follow stays as it is.
pub(crate) fn decode(encoded: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *encoded.get(at)?;
        let escaped = (byte == b'%').then(|| escape_at(encoded, at)).flatten();
        at += if escaped.is_some() { 3 } else { 1 };
        Some(escaped.unwrap_or(byte))
    })
}

/// Whether every `%` is followed by two hexadecimal digits.
pub(crate) fn is_well_formed(encoded: &[u8]) -> bool {
    memchr_iter(b'%', encoded).all(|at| escape_at(encoded, at).is_some())
}

fn escape_at(encoded: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| {
        let value = char::from(*encoded.get(at + offset)?).to_digit(16)?;
        u8::try_from(value).ok()
    };
    Some(digit(1)? << 4 | digit(2)?)
}

/// A digest as lower-case hexadecimal digits.
pub(super) fn hex_digits(digest: &[u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[LOWER[usize::from(byte >> 4)], LOWER[usize::from(byte & 15)]]);
    }
    digits
}
