//! Input that is read and thrown away: a client that is refused while it still sends must get to the answer.
//!
//! Many clients send their whole body before they read anything (Python's urllib, Java's HttpURLConnection). Closing with
//! bytes unread takes the answer back, and some cannot tell an answer from a broken pipe when they are stopped.

use std::{
    future::Future,
    mem::MaybeUninit,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How long the client may go on sending.
pub(super) const MAX_TIME: Duration = Duration::from_secs(30);

/// How long the client may send nothing once it has the answer. nginx has the same value for `lingering_timeout`.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(5);

/// How long it may send nothing before it gets the answer: one that waits for it has stopped sending.
pub(super) const MAX_PAUSE: Duration = Duration::from_millis(250);

/// How much is read at a time, in bytes.
const STEP: usize = 16 * 1024;

/// Discards input until the client stops or a limit is reached.
pub(super) struct LingeringClose {
    end: Instant,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    left: u64,
}

impl LingeringClose {
    /// Discards `limit` bytes at most, and ends when nothing comes for as long as `silence`.
    pub(super) fn new(limit: u64, silence: Duration) -> Self {
        Self { end: Instant::now() + MAX_TIME, silence, timer: Box::pin(sleep(silence)), left: limit }
    }

    /// Reads what comes and shows it to `look`, until that breaks or there is nothing more to wait for.
    pub(super) fn poll(
        &mut self,
        mut io: Pin<&mut impl AsyncRead>,
        context: &mut Context<'_>,
        mut look: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Poll<()> {
        while self.left > 0 && self.timer.as_mut().poll(context).is_pending() {
            let mut step = [MaybeUninit::uninit(); STEP];
            let mut buffer = ReadBuf::uninit(&mut step);
            let read = ready!(io.as_mut().poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() || look(buffer.filled()).is_break() {
                break;
            }
            self.left = self.left.saturating_sub(buffer.filled().len() as u64);
            self.timer.as_mut().reset(self.end.min(Instant::now() + self.silence));
        }
        Poll::Ready(())
    }
}
