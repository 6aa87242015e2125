//! The writing half of a [`HeadFilter`]: delays refusals for clients that still send, and limits how long clients may
//! not read.

use std::{
    future::Future,
    io,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};

use super::HeadFilter;
use crate::downstream::http1::{
    input_stage::Stage,
    linger::{LingeringClose, MAX_READ_SILENCE, MAX_SEND_PAUSE},
    phase::{EndedBy, WriteStall},
};

/// How the interim response begins that asks for a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 ";

impl<I: AsyncRead + Unpin> HeadFilter<I> {
    /// Delays an answer that begins in the middle of a body, which is a refusal unless the body is in use, for as long as the client keeps
    /// sending. Node's server behind Vite's proxy closes its client's connection as soon as it has passed the answer
    /// on; if that client still sends, the close becomes a reset and the answer is lost.
    ///
    /// From here on hyper reads nothing: it no longer knows where in the body it is, and must not parse what follows as
    /// a request.
    fn delay_refusal(&mut self, context: &mut Context<'_>, answer: &[u8]) -> Poll<()> {
        if self.stage.is_in_body() && !self.phase.is_body_in_use() {
            if answer.starts_with(CONTINUE) {
                self.waits_for_continue = false;
                return Poll::Ready(());
            }
            let mut body = std::mem::replace(&mut self.stage, Stage::Refused);
            // hyper has not seen the unchecked bytes; the checked ones have advanced the stage already.
            body.advance(&self.buffered[self.checked..]);
            self.buffered.clear();
            self.checked = 0;
            if !self.waits_for_continue {
                self.phase.set_stalled(Some(WriteStall::StillSending));
                self.discarded_body =
                    Some((body, LingeringClose::new(self.timeouts.discard, MAX_SEND_PAUSE)));
            }
        }
        let Some((body, lingering)) = &mut self.discarded_body else { return Poll::Ready(()) };
        if body.is_in_body() {
            ready!(lingering.poll(Pin::new(&mut self.io), context, |bytes| {
                body.advance(bytes);
                if body.is_in_body() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }));
        }
        self.discarded_body = None;
        self.phase.set_stalled(None);
        Poll::Ready(())
    }
}

impl<I: AsyncWrite + Unpin> HeadFilter<I> {
    /// Fails a write when the client has read nothing for too long: it would hold its connection and the upstream's.
    fn limit_stall<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &written {
            if result.is_err() {
                self.phase.end(EndedBy::Client);
            }
            if self.write_timer.take().is_some() {
                self.phase.set_stalled(None);
            }
            return written;
        }
        let limit = self.timeouts.write;
        let timer = self.write_timer.get_or_insert_with(|| {
            self.phase.set_stalled(Some(WriteStall::NotReading));
            Box::pin(sleep(limit))
        });
        ready!(timer.as_mut().poll(context));
        self.phase.end(EndedBy::WriteTimeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "client does not read its answer")))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadFilter<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.delay_refusal(context, bytes));
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.limit_stall(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = bytes.first().map_or(&[][..], |bytes| bytes);
        ready!(this.delay_refusal(context, first));
        let written = Pin::new(&mut this.io).poll_write_vectored(context, bytes);
        this.limit_stall(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_shut_down {
            return Poll::Ready(Ok(()));
        }
        if this.lingering_close.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        }
        // A client that has sent nothing more cannot lose its answer to a reset.
        if !matches!(this.stage, Stage::Head) || !this.buffered.is_empty() {
            let lingering = this.lingering_close.get_or_insert_with(|| {
                this.phase.linger();
                LingeringClose::new(this.timeouts.discard, MAX_READ_SILENCE)
            });
            ready!(lingering.poll(Pin::new(&mut this.io), context, |_| ControlFlow::Continue(())));
        }
        this.is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}
