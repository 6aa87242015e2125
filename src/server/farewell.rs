//! The end of a connection on which the client still sends: closing with bytes unread would take back the answer
//! that says why.

use std::{
    future::Future,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How long the client may take to read the answer. Many clients send their whole body before they read anything
/// (Python's urllib, Java's HttpURLConnection), or cannot tell an answer from a broken pipe when they are stopped.
pub(super) const MAX_LINGER: Duration = Duration::from_secs(30);

/// How long the client may send nothing. nginx has the same value for `lingering_timeout`.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(5);

/// How much is read at a time, in bytes.
const STEP: usize = 16 * 1024;

/// Discards input until the client closes or a limit is reached.
pub(super) struct Farewell {
    end: Instant,
    silence: Pin<Box<Sleep>>,
    left: u64,
}

impl Farewell {
    /// Discards `limit` bytes at most.
    pub(super) fn new(limit: u64) -> Self {
        Self { end: Instant::now() + MAX_LINGER, silence: Box::pin(sleep(MAX_SILENCE)), left: limit }
    }

    /// Ready when the connection may be closed.
    pub(super) fn poll(&mut self, mut io: Pin<&mut impl AsyncRead>, context: &mut Context<'_>) -> Poll<()> {
        while self.left > 0 && self.silence.as_mut().poll(context).is_pending() {
            let mut step = [MaybeUninit::uninit(); STEP];
            let mut buffer = ReadBuf::uninit(&mut step);
            let read = ready!(io.as_mut().poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            self.left = self.left.saturating_sub(buffer.filled().len() as u64);
            self.silence.as_mut().reset(self.end.min(Instant::now() + MAX_SILENCE));
        }
        Poll::Ready(())
    }
}
