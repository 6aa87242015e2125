//! A signed payload as hyper sends it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{proxy::portions::Portions, signing::Payload};

/// Sends the chunks of a payload as they are, without joining them.
#[derive(Debug)]
pub(super) struct RequestBody {
    chunks: Arc<[Bytes]>,
    next: usize,
    left: u64,
    portions: Portions,
}

impl RequestBody {
    pub(super) fn new(payload: &Payload) -> Self {
        let (chunks, left) = (Arc::clone(payload.chunks()), payload.length());
        Self { chunks, next: 0, left, portions: Portions::default() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.portions.poll_next(context));
        let chunk = self.chunks.get(self.next).cloned();
        if let Some(chunk) = &chunk {
            self.next += 1;
            self.left -= chunk.len() as u64;
            self.portions.count(chunk.len());
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
    use std::future::poll_fn;

    use super::*;
    use crate::{proxy::portions::PORTION, signing::PayloadBuilder};

    #[tokio::test]
    async fn large_bodies_leave_turns_to_others_and_arrive_whole() {
        let mut builder = PayloadBuilder::default();
        for byte in 0..10_u8 {
            builder.push(vec![byte; PORTION / 2].into());
        }
        let payload = builder.finish();
        let mut body = RequestBody::new(&payload);
        let (mut sent, mut turns) = (Vec::new(), 0);
        let mut next = |context: &mut Context<'_>| {
            let frame = Pin::new(&mut body).poll_frame(context);
            turns += usize::from(frame.is_pending());
            frame
        };
        while let Some(frame) = poll_fn(&mut next).await {
            match frame {
                Ok(frame) => sent.extend(frame.into_data().expect("data")),
                Err(never) => match never {},
            }
        }
        assert!(sent == payload.chunks().concat());
        assert_eq!(turns, 5);
    }
}
