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

/// Encrypting and sending hold the thread: after this many bytes other requests get their turn.
const TURN: usize = 64 * 1024;

/// Sends the chunks of a payload as they are, without joining them.
#[derive(Debug)]
pub(super) struct RequestBody {
    chunks: Arc<[Bytes]>,
    next: usize,
    left: u64,
    /// Sent in this turn.
    sent: usize,
}

impl RequestBody {
    pub(super) fn new(payload: &Payload) -> Self {
        Self { chunks: Arc::clone(payload.chunks()), next: 0, left: payload.length(), sent: 0 }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent >= TURN {
            self.sent = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let chunk = self.chunks.get(self.next).cloned();
        if let Some(chunk) = &chunk {
            self.next += 1;
            self.left -= chunk.len() as u64;
            self.sent += chunk.len();
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::signing::PayloadBuilder;

    #[test]
    fn large_bodies_leave_turns_to_others_and_arrive_whole() {
        let mut builder = PayloadBuilder::default();
        for byte in 0..10_u8 {
            builder.push(vec![byte; TURN / 2].into());
        }
        let payload = builder.finish();
        let mut body = RequestBody::new(&payload);
        let mut context = Context::from_waker(Waker::noop());
        let (mut sent, mut turns) = (Vec::new(), 0);
        loop {
            match Pin::new(&mut body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => sent.extend(frame.into_data().expect("data")),
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(never))) => match never {},
                Poll::Pending => turns += 1,
            }
        }
        assert_eq!((sent, turns), (payload.chunks().concat(), 5));
    }
}
