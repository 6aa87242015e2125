//! Checks of a response that RFC 9112 asks for and hyper does not make: one status, one length.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// Refuses a response whose end is ambiguous, and leaves at most one Content-Length.
///
/// # Errors
/// With what is wrong, for the log.
pub(super) fn validate_framing<B>(
    mut response: Response<B>,
    is_head: bool,
) -> Result<Response<B>, &'static str> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err("a switch of protocols that was not requested");
    }
    if status.as_u16() > 599 {
        return Err("a status above 599");
    }
    let has_none = has_no_body(status, is_head);
    let headers = response.headers_mut();
    if !has_none {
        check_coding(headers)?;
    } else if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    single_length(headers);
    Ok(response)
}

/// Whether the body of a response has no bytes whatever its fields say (RFC 9112 section 6.3).
pub(super) fn has_no_body(status: StatusCode, is_head: bool) -> bool {
    is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// The length that a validated response declares, in bytes.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_coding(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err("a transfer coding other than chunked");
    }
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err("Content-Length beside Transfer-Encoding");
    }
    Ok(())
}

/// Keeps one of several equal lengths, and removes lengths that differ or are not numbers.
fn single_length(headers: &mut HeaderMap) {
    let is_number = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    match (values.next(), values.next()) {
        (None, _) => return,
        // Most answers have one; writing it again would allocate for each of them.
        (Some(only), None) if is_number(only.as_bytes()) => return,
        _ => {}
    }
    let lengths: Vec<&[u8]> = headers
        .get_all(header::CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    let Some(first) = lengths.first() else { return };
    let sound = lengths.iter().all(|length| length == first) && is_number(first);
    match HeaderValue::from_bytes(first) {
        Ok(value) if sound => {
            headers.insert(header::CONTENT_LENGTH, value);
        }
        _ => {
            headers.remove(header::CONTENT_LENGTH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&'static str, &'static str)]) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).expect("three digits");
        for (name, value) in headers {
            response.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        response
    }

    #[test]
    fn responses_without_one_clear_end_are_refused() {
        for (status, headers) in [
            (101, &[][..]),
            (600, &[]),
            (999, &[]),
            (200, &[("content-length", "5"), ("transfer-encoding", "chunked")]),
            (200, &[("transfer-encoding", "gzip, chunked")]),
            (200, &[("transfer-encoding", "gzip")]),
            (200, &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
        ] {
            assert!(validate_framing(response(status, headers), false).is_err(), "{status} {headers:?}");
        }
    }

    #[test]
    fn the_name_of_a_coding_may_have_capitals() {
        assert!(validate_framing(response(200, &[("transfer-encoding", "Chunked")]), false).is_ok());
    }

    #[test]
    fn a_repeated_length_is_written_once() {
        for (headers, expected) in [
            (&[("content-length", "5"), ("content-length", "5")][..], Some("5")),
            (&[("content-length", "5, 5")], Some("5")),
            (&[("content-length", "5")], Some("5")),
            (&[("content-length", "5, 6")], None),
            (&[("content-length", "+5")], None),
            (&[], None),
        ] {
            let validated = validate_framing(response(200, headers), true).expect("sound");
            let lengths: Vec<_> = validated.headers().get_all("content-length").iter().collect();
            assert_eq!(lengths, expected.into_iter().collect::<Vec<_>>(), "{headers:?}");
        }
    }

    #[test]
    fn framing_headers_of_bodiless_responses_are_harmless() {
        let headers = &[("content-length", "5"), ("transfer-encoding", "chunked")];
        for (status, is_head) in [(200, true), (204, false), (304, false)] {
            let validated = validate_framing(response(status, headers), is_head).expect("sound");
            assert!(!validated.headers().contains_key("content-length"), "{status}");
        }
    }
}
