//! What holds for a request target wherever it is looked at: when it arrives, and when it is sent.

use memchr::memchr_iter;

/// The longest target, in bytes: API Gateway's own limit for regional endpoints.
pub const MAX_LENGTH: usize = 10_240;

/// Whether every `%` is followed by two hexadecimal digits, so that all parsers decode it alike.
#[must_use]
pub fn has_sound_escapes(target: &[u8]) -> bool {
    let digit = |at: usize| target.get(at).is_some_and(u8::is_ascii_hexdigit);
    memchr_iter(b'%', target).all(|at| digit(at + 1) && digit(at + 2))
}
