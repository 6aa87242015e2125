//! Reads each request head before the HTTP library does, and lets only sound ones pass.
//!
//! The library repairs or drops much of what RFC 9112 asks a server to refuse: it forgets a fragment, a
//! second Content-Length, a Content-Length beside Transfer-Encoding. Two parsers that disagree about where
//! a request ends are how requests are smuggled, so the bytes themselves are checked. A head that is
//! refused is replaced by a plain one, whose service call then finds the [`RefusedHead`].

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use memchr::memchr;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{
    chunked::{Chunked, Progress},
    head::{self, Encoded, Framing, HeadError, Scan},
    linger::{LingeringClose, MAX_PAUSE, MAX_SILENCE},
    phase::{ConnectionPhase, EndedBy, Stall},
    refused_head::RefusedHead,
};

/// How much is read at a time while a head is incomplete, in bytes.
const STEP: usize = 8 * 1024;

/// Stands in the place of a head that was refused.
pub(in crate::downstream) const REPLACEMENT: &[u8] =
    b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The same for HEAD, whose answer has no body.
pub(in crate::downstream) const REPLACEMENT_OF_HEAD: &[u8] =
    b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How the interim answer begins that asks for a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 ";

/// How long the two ends may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::downstream) struct Timeouts {
    /// For a whole head, from the end of the answer before.
    pub(in crate::downstream) head: Duration,
    /// For a client to take some of an answer.
    pub(in crate::downstream) write: Duration,
    /// How much of a body is discarded after its request was refused, in bytes.
    pub(in crate::downstream) discard: u64,
}

/// A connection whose heads are checked.
pub(in crate::downstream) struct HeadFilter<I> {
    io: I,
    stage: Stage,
    /// Read, not yet given to the library.
    held: BytesMut,
    /// Of `held`, what may be given.
    passed: usize,
    phase: ConnectionPhase,
    timeouts: Timeouts,
    head_timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// What is read before an answer that comes in the middle of a body.
    rest: Option<(Stage, LingeringClose)>,
    /// Whether the client sends its body only after an interim answer.
    waits_for_continue: bool,
    lingering: Option<LingeringClose>,
}

enum Stage {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// The body is not framed as it should be. The library would forgive some of that, and would then take
    /// what follows for a request; for it the body breaks off here.
    Broken,
    /// A head was refused: whatever follows it is not a request.
    Refused,
}

impl Stage {
    /// How many of these bytes belong to the body; goes on to the stage that follows them.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let progress = match self {
            Self::Length(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= own as u64;
                if *left == 0 { Progress::Ended(own) } else { Progress::Inside }
            }
            Self::Chunked(chunked) => chunked.advance(bytes),
            Self::Head | Self::Broken | Self::Refused => return 0,
        };
        match progress {
            Progress::Inside => bytes.len(),
            Progress::Ended(own) => {
                *self = Self::Head;
                own
            }
            Progress::Broken => {
                *self = Self::Broken;
                0
            }
        }
    }

    fn is_in_body(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked(_))
    }
}

impl<I> HeadFilter<I> {
    pub(in crate::downstream) fn new(io: I, phase: ConnectionPhase, timeouts: Timeouts) -> Self {
        Self {
            io,
            stage: Stage::Head,
            held: BytesMut::new(),
            passed: 0,
            phase,
            timeouts,
            head_timer: Box::pin(sleep(timeouts.head)),
            write_timer: None,
            rest: None,
            waits_for_continue: false,
            lingering: None,
        }
    }

    fn refuse(&mut self, error: HeadError) {
        self.phase.refuse(RefusedHead::of(&self.held, error));
        self.stage = Stage::Refused;
        let replacement = if self.held.starts_with(b"HEAD ") { REPLACEMENT_OF_HEAD } else { REPLACEMENT };
        self.held = BytesMut::from(replacement);
        self.passed = self.held.len();
    }

    /// Looks at what is held in the stage that it is held in, and passes what may pass.
    fn examine(&mut self) {
        match &mut self.stage {
            Stage::Head => match head::scan(&self.held) {
                Scan::Incomplete => {}
                Scan::Refused(error) => self.refuse(error),
                Scan::Complete { length, framing, expects, encoded } => {
                    self.waits_for_continue = expects;
                    self.passed = length;
                    if let Some(Encoded { place, text }) = encoded {
                        self.passed = length - place.len() + text.len();
                        let parts = [&self.held[..place.start], text.as_bytes(), &self.held[place.end..]];
                        self.held = BytesMut::from(&*parts.concat());
                    }
                    if framing != Framing::None {
                        self.phase.set_in_body(true);
                    }
                    self.stage = match framing {
                        Framing::None => Stage::Head,
                        Framing::Length(length) => Stage::Length(length),
                        Framing::Chunked => Stage::Chunked(Chunked::default()),
                    };
                }
            },
            Stage::Length(_) | Stage::Chunked(_) => {
                let held = std::mem::take(&mut self.held);
                self.passed = self.stage.follow(&held);
                self.held = held;
                self.note_progress();
            }
            Stage::Broken | Stage::Refused => {}
        }
    }

    /// After bytes of a body have been followed.
    fn note_progress(&mut self) {
        if matches!(self.stage, Stage::Broken) {
            self.held.clear();
        } else if !self.stage.is_in_body() {
            self.phase.set_in_body(false);
        }
    }

    /// Whether the client has let its turn pass; while a request is answered it has none.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.phase.is_ours() {
            return false;
        }
        if let Some(began) = self.phase.take_beginning() {
            self.head_timer.as_mut().reset(began + self.timeouts.head);
        }
        self.head_timer.as_mut().poll(context).is_ready()
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let given = self.passed.min(buffer.remaining());
        buffer.put_slice(&self.held[..given]);
        self.held.advance(given);
        self.passed -= given;
    }
}

impl<I: AsyncRead + Unpin> HeadFilter<I> {
    /// Bodies are read straight into the library's buffer; what lies behind their end is held back.
    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        let own = self.stage.follow(read);
        self.held.extend_from_slice(&read[own..]);
        buffer.set_filled(before + own);
        self.note_progress();
        Poll::Ready(Ok(()))
    }

    fn poll_input(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.passed == 0 && !self.held.is_empty() {
            self.examine();
        }
        if self.passed == 0 {
            match self.stage {
                Stage::Head => ready!(self.poll_head(context))?,
                Stage::Length(_) | Stage::Chunked(_) => return self.poll_body(context, buffer),
                Stage::Broken => return Poll::Ready(Ok(())),
                Stage::Refused => return Poll::Pending,
            }
        }
        self.give(buffer);
        Poll::Ready(Ok(()))
    }

    /// Reads until there is a whole head, or none will come.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.passed == 0 {
            if self.is_late(context) {
                if self.held.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.refuse(HeadError::Slow);
                break;
            }
            let mut step = [MaybeUninit::uninit(); STEP];
            let mut buffer = ReadBuf::uninit(&mut step);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(read);
            // Without a line end only the first byte decides: a head that drips is not read anew for each drop.
            if memchr(b'\n', read).is_some()
                || self.held.len() > head::MAX_HEAD
                || head::cannot_begin_with(&self.held)
            {
                self.examine();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HeadFilter<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = this.poll_input(context, buffer);
        if let Poll::Ready(Err(_)) = read {
            this.phase.end(EndedBy::Client);
        }
        read
    }
}

impl<I: AsyncRead + Unpin> HeadFilter<I> {
    /// Holds an answer back that begins in the middle of a body, which is a refusal, for as long as the client keeps
    /// sending. A server in between (Node's, behind Vite's proxy) closes its client's connection as soon as it has passed
    /// an answer on, and takes it back if that client still sends.
    ///
    /// From here on the library reads nothing: it has lost its place in the body, and must not take what follows for a
    /// request.
    fn hold_back(&mut self, context: &mut Context<'_>, answer: &[u8]) -> Poll<()> {
        if self.stage.is_in_body() {
            if answer.starts_with(CONTINUE) {
                self.waits_for_continue = false;
                return Poll::Ready(());
            }
            let mut body = std::mem::replace(&mut self.stage, Stage::Refused);
            body.follow(&self.held[self.passed..]);
            self.held.clear();
            self.passed = 0;
            if !self.waits_for_continue {
                self.phase.set_stalled(Some(Stall::Sending));
                self.rest = Some((body, LingeringClose::new(self.timeouts.discard, MAX_PAUSE)));
            }
        }
        let Some((body, lingering)) = &mut self.rest else { return Poll::Ready(()) };
        if body.is_in_body() {
            ready!(lingering.poll(Pin::new(&mut self.io), context, |bytes| {
                body.follow(bytes);
                if body.is_in_body() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }));
        }
        self.rest = None;
        self.phase.set_stalled(None);
        Poll::Ready(())
    }
}

impl<I: AsyncWrite + Unpin> HeadFilter<I> {
    /// A client that takes nothing of its answer holds a connection and the upstream's with it.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &written {
            if result.is_err() {
                self.phase.end(EndedBy::Client);
            }
            if self.write_timer.take().is_some() {
                self.phase.set_stalled(None);
            }
            return written;
        }
        let timeouts = self.timeouts.write;
        let timer = self.write_timer.get_or_insert_with(|| {
            self.phase.set_stalled(Some(Stall::NotReading));
            Box::pin(sleep(timeouts))
        });
        ready!(timer.as_mut().poll(context));
        self.phase.end(EndedBy::WriteTimeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadFilter<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.hold_back(context, bytes));
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.watch(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = bytes.first().map_or(&[][..], |bytes| bytes);
        ready!(this.hold_back(context, first));
        let written = Pin::new(&mut this.io).poll_write_vectored(context, bytes);
        this.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        }
        if matches!(this.stage, Stage::Head) && this.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let lingering = this.lingering.get_or_insert_with(|| {
            this.phase.linger();
            LingeringClose::new(this.timeouts.discard, MAX_SILENCE)
        });
        lingering.poll(Pin::new(&mut this.io), context, |_| ControlFlow::Continue(())).map(Ok)
    }
}

#[cfg(test)]
mod tests;
