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
    time::{Sleep, sleep},
};

/// How long the client may take to read the answer.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// How much of what it still sends is thrown away, in bytes.
const MOST: usize = 1024 * 1024;

/// How much is read at a time, in bytes.
const STEP: usize = 8 * 1024;

/// Reads on, for a moment and to no purpose.
pub(super) struct Farewell {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl Default for Farewell {
    fn default() -> Self {
        Self { timer: Box::pin(sleep(LINGER)), left: MOST }
    }
}

impl Farewell {
    /// Until the client has closed, the time is over, or it has sent too much.
    pub(super) fn poll(&mut self, mut io: Pin<&mut impl AsyncRead>, context: &mut Context<'_>) -> Poll<()> {
        while self.left > 0 && self.timer.as_mut().poll(context).is_pending() {
            let mut step = [MaybeUninit::uninit(); STEP];
            let mut buffer = ReadBuf::uninit(&mut step);
            let read = ready!(io.as_mut().poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            self.left = self.left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(())
    }
}
