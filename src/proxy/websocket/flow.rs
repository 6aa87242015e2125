//! One direction of a tunnel: bytes with back-pressure, and the end of input.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::cooperative_yield::CooperativeYield;

/// How much is read at a time, in bytes.
const READ_SIZE: usize = 16 * 1024;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Flow {
    state: State,
    /// What the receiver has not taken yet. Allocated only while there is something, so that an idle tunnel holds no
    /// buffer.
    unwritten: Vec<u8>,
    is_unflushed: bool,
    cooperative_yield: CooperativeYield,
    is_cut_by_receiver: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The input has ended, and the receiver has to learn of it.
    Ending,
    Ended,
}

impl Flow {
    /// Whether the sender sends nothing more.
    pub(super) fn is_input_over(&self) -> bool {
        self.state != State::Open
    }

    /// Whether the direction ended because the receiver takes nothing more.
    pub(super) fn is_cut_by_receiver(&self) -> bool {
        self.is_cut_by_receiver
    }

    /// Whether the receiver has also been told so, or takes nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the receiver has been given all that was read.
    pub(super) fn is_written(&self) -> bool {
        self.has_ended() || self.unwritten.is_empty() && !self.is_unflushed
    }

    /// Sends bytes of the proxy's own behind those that were read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.state == State::Open {
            self.unwritten.extend_from_slice(bytes);
        }
    }

    /// Moves bytes until it has to wait. `watch` sees what is read, and returns how much of it goes on. Ready at the end
    /// of input, once the receiver has been told.
    ///
    /// A receiver that takes nothing more ends the direction as well: what it has sent still goes the other way.
    ///
    /// # Errors
    /// When reading fails.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        mut watch: impl FnMut(&[u8]) -> usize,
    ) -> Poll<io::Result<()>> {
        while self.state == State::Open {
            if ready!(self.poll_written(context, to)).is_err() {
                self.cut_by_receiver();
                break;
            }
            ready!(self.cooperative_yield.poll_next(context));
            // On the stack, so that an idle tunnel holds no buffer.
            let mut bytes = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            if Pin::new(&mut *from).poll_read(context, &mut buffer)?.is_pending() {
                // Not after each write, so that what comes in a row makes fewer TLS records.
                if ready!(self.poll_flushed(context, to)).is_ok() {
                    return Poll::Pending;
                }
                self.cut_by_receiver();
            } else if buffer.filled().is_empty() {
                self.state = State::Ending;
            } else {
                let read = buffer.filled();
                self.cooperative_yield.count(read.len());
                let passing = &read[..watch(read)];
                self.write(context, to, passing);
            }
        }
        if self.state == State::Ending {
            if ready!(self.poll_written(context, to)).is_ok() {
                // Fails when the receiver has closed already.
                let _ = ready!(Pin::new(to).poll_shutdown(context));
            }
            self.state = State::Ended;
        }
        Poll::Ready(Ok(()))
    }

    fn cut_by_receiver(&mut self) {
        (self.state, self.is_cut_by_receiver) = (State::Ended, true);
    }

    /// Writes what the receiver takes at once, most of the time all of it, and keeps the rest.
    fn write(&mut self, context: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.is_unflushed = true;
        match Pin::new(to).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => self.unwritten = bytes[written..].to_vec(),
            Poll::Ready(Err(_)) => self.cut_by_receiver(),
            Poll::Pending => self.unwritten = bytes.to_vec(),
        }
    }

    fn poll_written(
        &mut self,
        context: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        if self.unwritten.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.is_unflushed = true;
        let mut written = 0;
        while written < self.unwritten.len() {
            match Pin::new(&mut *to).poll_write(context, &self.unwritten[written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.unwritten.drain(..written);
                    return Poll::Pending;
                }
            }
        }
        self.unwritten = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_flushed(
        &mut self,
        context: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            ready!(Pin::new(to).poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
