//! A signed payload as hyper sends it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::signing::Payload;

/// Sends the chunks of a payload as they are, without joining them.
#[derive(Debug)]
pub(super) struct RequestBody {
    chunks: Arc<[Bytes]>,
    next: usize,
    left: u64,
}

impl RequestBody {
    pub(super) fn new(payload: &Payload) -> Self {
        Self { chunks: Arc::clone(payload.chunks()), next: 0, left: payload.length() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.chunks.get(self.next).cloned();
        if let Some(chunk) = &chunk {
            self.next += 1;
            self.left -= chunk.len() as u64;
        }
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
