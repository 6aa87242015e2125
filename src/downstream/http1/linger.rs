//! Discards what a refused client still sends, so that the client gets to read the answer.
//!
//! Many clients send their whole body before they read anything (Python's urllib, Java's HttpURLConnection). Closing a
//! socket with unread input sends a reset, and the client then reports a broken pipe instead of the answer.

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

/// How long input is discarded at most.
pub(super) const MAX_LINGER: Duration = Duration::from_secs(30);

/// How long the client may be silent once it has the answer. The same as the default of nginx's `lingering_timeout`.
pub(super) const MAX_READ_SILENCE: Duration = Duration::from_secs(5);

/// How long the client may be silent before it gets the answer: a client that waits for the answer sends nothing.
pub(super) const MAX_SEND_PAUSE: Duration = Duration::from_millis(250);

/// How much is read at a time, in bytes.
const READ_SIZE: usize = 16 * 1024;

/// Discards input until the client stops or a limit is reached.
pub(super) struct LingeringClose {
    deadline: Instant,
    max_silence: Duration,
    timer: Pin<Box<Sleep>>,
    /// How many bytes may still be discarded.
    left: u64,
}

impl LingeringClose {
    /// Discards at most `limit` bytes, and ends when the client is silent for `max_silence`.
    pub(super) fn new(limit: u64, max_silence: Duration) -> Self {
        Self {
            deadline: Instant::now() + MAX_LINGER,
            max_silence,
            timer: Box::pin(sleep(max_silence)),
            left: limit,
        }
    }

    /// Reads what comes and passes it to `inspect`, until that breaks, the client closes or a limit is reached.
    pub(super) fn poll(
        &mut self,
        mut io: Pin<&mut impl AsyncRead>,
        context: &mut Context<'_>,
        mut inspect: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Poll<()> {
        while self.left > 0 && self.timer.as_mut().poll(context).is_pending() {
            let mut bytes = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let read = ready!(io.as_mut().poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() || inspect(buffer.filled()).is_break() {
                break;
            }
            self.left = self.left.saturating_sub(buffer.filled().len() as u64);
            self.timer.as_mut().reset(self.deadline.min(Instant::now() + self.max_silence));
        }
        Poll::Ready(())
    }
}
