//! The Content-Length that goes up.

use http::{HeaderMap, HeaderValue, Method, header};

/// Writes the length of a body in memory. An empty POST needs a length of 0 (RFC 9110 section 8.6); an empty GET needs
/// none.
pub(super) fn write(headers: &mut HeaderMap, method: &Method, length: u64, declared: Option<HeaderValue>) {
    if length > 0 || headers.contains_key(header::CONTENT_TYPE) || !is_usually_empty(method) {
        headers.insert(header::CONTENT_LENGTH, value(length, declared));
    }
}

/// `length` as a header: the client's own `declared` one where it says the same, since another takes two allocations.
pub(super) fn value(length: u64, declared: Option<HeaderValue>) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(length).as_bytes();
    declared.filter(|declared| declared.as_bytes() == digits).unwrap_or_else(|| HeaderValue::from(length))
}

fn is_usually_empty(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_client_goes_up_only_where_it_is_that_of_the_body() {
        for declared in [None, Some("5"), Some("04"), Some("4 "), Some("44"), Some("4"), Some("")] {
            let declared = declared.map(HeaderValue::from_static);
            assert_eq!(value(4, declared.clone()), "4", "{declared:?}");
        }
    }
}
