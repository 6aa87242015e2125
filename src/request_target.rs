//! The rules for request targets that hold on both wires.

use memchr::memchr_iter;

/// The longest target, in bytes. The limit of API Gateway for regional endpoints.
pub const MAX_LENGTH: usize = 10_240;

/// Whether every `%` is followed by two hexadecimal digits, so that all parsers decode it in the same way.
#[must_use]
pub fn has_sound_escapes(target: &[u8]) -> bool {
    let digit = |at: usize| target.get(at).is_some_and(u8::is_ascii_hexdigit);
    memchr_iter(b'%', target).all(|at| digit(at + 1) && digit(at + 2))
}
