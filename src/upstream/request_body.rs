//! A request body as it goes up, and how much of it the system has taken.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::UpstreamError;
use crate::cooperative_yield::CooperativeYield;

/// Sends the chunks of a payload as they are, without joining them.
#[derive(Debug)]
pub(super) struct RequestBody {
    chunks: Arc<[Bytes]>,
    next: usize,
    left: u64,
    portions: CooperativeYield,
    /// Absent where there is nothing to send.
    progress: Option<Arc<Progress>>,
}

impl RequestBody {
    /// A body of these chunks, which are `left` bytes together.
    pub(super) fn new(chunks: Arc<[Bytes]>, left: u64) -> Self {
        let progress = (left > 0).then(|| Arc::new(Progress::new(left)));
        Self { chunks, next: 0, left, portions: CooperativeYield::default(), progress }
    }

    /// How much of this body has been sent; `None` for one of no bytes.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.progress.clone()
    }

    /// The next chunk.
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        ready!(self.portions.poll_next(context));
        let (Some(bytes), Some(progress)) = (self.chunks.get(self.next), &self.progress) else {
            return Poll::Ready(None);
        };
        let chunk = Chunk { bytes: bytes.clone(), progress: Arc::clone(progress) };
        self.next += 1;
        self.left -= chunk.bytes.len() as u64;
        self.portions.count(chunk.bytes.len());
        Poll::Ready(Some(chunk))
    }
}

impl Body for RequestBody {
    type Data = Chunk;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Infallible>>> {
        self.poll_chunk(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Bytes that note when they are written. The HTTP libraries queue bodies without copying them, and advance them by what
/// the system has taken.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Bytes,
    progress: Arc<Progress>,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.progress.record(count);
    }
}

/// How far the sending of a body has come.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Sent>);

#[derive(Clone, Copy, Debug)]
struct Sent {
    /// In bytes.
    left: u64,
    /// When the system last took some.
    at: Instant,
}

impl Progress {
    fn new(left: u64) -> Self {
        Self(Mutex::new(Sent { left, at: Instant::now() }))
    }

    fn record(&self, count: usize) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sent = Sent { left: sent.left.saturating_sub(count as u64), at: Instant::now() };
    }

    fn sent(&self) -> Sent {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the system has taken the last byte.
    pub(super) fn is_complete(&self) -> bool {
        self.sent().left == 0
    }

    /// When the system last took some of a body that is still being sent.
    pub(super) fn last_sent(&self) -> Option<Instant> {
        let sent = self.sent();
        (sent.left > 0).then_some(sent.at)
    }

    /// Until when to wait for the response head: `response` from the last byte of the body, and `idle` from one byte to
    /// the next until then. May be too early while the body is being sent, and is to be asked again then.
    ///
    /// # Errors
    /// When there is nothing to wait for any more.
    pub(super) fn deadline(&self, response: Duration, idle: Duration) -> Result<Instant, UpstreamError> {
        self.sent().deadline(Instant::now(), response, idle)
    }
}

impl Sent {
    fn deadline(self, now: Instant, response: Duration, idle: Duration) -> Result<Instant, UpstreamError> {
        if self.left == 0 {
            let end = self.at + response;
            return if end > now { Ok(end) } else { Err(UpstreamError::ResponseTimeout) };
        }
        let end = self.at + idle;
        // The last byte may go at any moment, and nobody is told.
        if end > now { Ok(end.min(now + response)) } else { Err(UpstreamError::SendTimeout) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::cooperative_yield::YIELD_EVERY;

    fn chunks() -> Arc<[Bytes]> {
        (0..10_u8).map(|byte| vec![byte; YIELD_EVERY / 2].into()).collect()
    }

    fn body() -> RequestBody {
        RequestBody::new(chunks(), 5 * YIELD_EVERY as u64)
    }

    #[tokio::test]
    async fn large_bodies_leave_turns_to_others_and_arrive_whole() {
        let mut body = body();
        let (mut sent, mut turns) = (Vec::new(), 0);
        let mut next = |context: &mut Context<'_>| {
            let chunk = body.poll_chunk(context);
            turns += usize::from(chunk.is_pending());
            chunk
        };
        while let Some(mut chunk) = poll_fn(&mut next).await {
            sent.extend(chunk.copy_to_bytes(chunk.remaining()));
        }
        assert!(sent == chunks().concat());
        assert_eq!(turns, 5);
    }

    #[tokio::test]
    async fn a_body_is_sent_when_its_last_byte_is_written() {
        let mut body = body();
        let progress = body.progress().expect("a body");
        let mut chunks = Vec::new();
        while let Some(chunk) = poll_fn(|context| body.poll_chunk(context)).await {
            chunks.push(chunk);
        }
        assert!(body.is_end_stream() && !progress.is_complete(), "taken by the library, and by nobody else");
        for chunk in &mut chunks {
            chunk.advance(chunk.remaining());
        }
        assert!(progress.is_complete());
    }

    #[test]
    fn the_response_has_its_time_from_the_last_byte_and_the_body_from_each() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (response, idle) = (10 * second, 30 * second);
        for (left, now, expected) in [
            (0, 5, Ok(10)),
            (0, 10, Err("no response from the upstream in time")),
            (1, 0, Ok(10)),
            (1, 5, Ok(15)),
            (1, 25, Ok(30)),
            (1, 30, Err("the upstream stopped reading the request")),
        ] {
            let deadline = Sent { left, at: start }.deadline(start + now * second, response, idle);
            let deadline = deadline.map(|end| (end - start).as_secs()).map_err(|error| error.to_string());
            assert_eq!(deadline, expected.map_err(str::to_owned), "{left} left, {now} s");
        }
    }
}
