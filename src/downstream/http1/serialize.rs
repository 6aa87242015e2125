//! Complete responses as bytes, for connections that are closed without being served.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, header};

/// `response` as it goes over the wire, with `Content-Length` and `Connection: close`.
#[must_use]
pub fn serialized(response: &Response<Bytes>) -> Bytes {
    let (status, body) = (response.status(), response.body());
    let line = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    let mut bytes = BytesMut::from(line.as_bytes());
    let mut push = |name: &HeaderName, value: &HeaderValue| {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(piece);
        }
    };
    let framing = [header::CONNECTION, header::CONTENT_LENGTH];
    for (name, value) in response.headers().iter().filter(|(name, _)| !framing.contains(name)) {
        push(name, value);
    }
    push(&header::CONNECTION, &HeaderValue::from_static("close"));
    push(&header::CONTENT_LENGTH, &HeaderValue::from(body.len()));
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_how_long_it_is_and_that_it_is_the_last() {
        let response = Response::builder()
            .status(401)
            .header("connection", "keep-alive")
            .header("x-a", "1")
            .body(Bytes::from_static(b"no"))
            .expect("a response");
        let expected =
            "HTTP/1.1 401 Unauthorized\r\nx-a: 1\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(serialized(&response), expected);
    }
}
