//! What can be read of a refused request head.

use http::{HeaderValue, Method};
use memchr::memchr;
use percent_encoding::percent_encode;

use super::head::{HeadError, ILLEGAL};
use crate::request_target::MAX_LENGTH as MAX_TARGET;

/// A refused request head, and what its log line can say about the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedHead {
    /// Why it is refused.
    pub error: HeadError,
    /// Its method, if it has one.
    pub method: Option<Method>,
    /// The path of its target, percent-encoded; empty if there is none.
    pub path: String,
    /// Its `x-request-id`.
    pub request_id: Option<HeaderValue>,
}

impl RefusedHead {
    /// Reads what can be read of `bytes`, a head or the beginning of one.
    pub(in crate::downstream) fn of(bytes: &[u8], error: HeadError) -> Self {
        let mut lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let mut words = lines.next().unwrap_or_default().trim_ascii().split(|&byte| byte == b' ');
        let method = words.next().filter(|method| method.len() <= MAX_METHOD);
        let method = method.and_then(|method| Method::from_bytes(method).ok());
        // Without a method before it, the second word belongs to another protocol.
        let target = words.next().filter(|_| method.is_some()).unwrap_or_default();
        let path = target.split(|&byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        let path = &path[..path.len().min(MAX_TARGET)];
        let request_id = lines.find_map(|line| {
            let (name, value) = line.split_at(memchr(b':', line)?);
            let is_id = name.eq_ignore_ascii_case(b"x-request-id");
            is_id.then(|| HeaderValue::from_bytes(value[1..].trim_ascii()).ok()).flatten()
        });
        Self { error, method, path: percent_encode(path, ILLEGAL).to_string(), request_id }
    }
}

/// The longest method, in bytes. A longer first word is not logged as a method.
const MAX_METHOD: usize = 32;
