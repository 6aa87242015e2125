//! Answers of the inspector: problems, and bodies that come in pieces.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Body, Frame};
use serde_json::json;

/// A problem document (RFC 9457), as the proxy's other answers have it.
pub(super) fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let problem = json!({
        "type": format!("urn:countersign:{code}"),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    });
    let media_type = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, media_type)], problem.to_string()).into_response()
}

/// A body whose pieces are made when the client takes them.
pub(super) struct Pieces<I>(pub(super) I);

impl<I: Iterator<Item = Bytes> + Unpin> Body for Pieces<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}
