//! Checks each request head before hyper parses it, and passes only valid ones.
//!
//! hyper repairs or drops much of what RFC 9112 asks a server to refuse: a fragment, a second Content-Length, a
//! Content-Length beside Transfer-Encoding. Request smuggling needs two parsers that disagree about where a request
//! ends, so the filter checks the bytes themselves. It replaces a refused head by a plain one, so that hyper calls the
//! service, which finds the [`RefusedHead`] in the extensions and can say what is wrong.

mod write;

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

use super::{
    chunked::Chunked,
    head::{self, Framing, HeadError, Scan, TargetEncoding},
    input_stage::Stage,
    linger::LingeringClose,
    phase::{ConnectionPhase, EndedBy},
    refused_head::RefusedHead,
};

/// How much is read at a time while a head is incomplete, in bytes.
const READ_SIZE: usize = 8 * 1024;

/// What hyper reads instead of a refused head.
pub(in crate::downstream) const REPLACEMENT: &[u8] =
    b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The same for HEAD: hyper must know that the answer has no body.
pub(in crate::downstream) const REPLACEMENT_OF_HEAD: &[u8] =
    b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The limits on a client that is slow or still sends.
#[derive(Clone, Copy, Debug)]
pub(in crate::downstream) struct Timeouts {
    /// How long a head may take, from the end of the answer before.
    pub(in crate::downstream) head: Duration,
    /// How long a client may read nothing of its answer.
    pub(in crate::downstream) write: Duration,
    /// How much of a body is discarded after its request was refused, in bytes.
    pub(in crate::downstream) discard: u64,
}

/// A connection whose request heads are checked before hyper reads them.
pub(in crate::downstream) struct HeadFilter<I> {
    io: I,
    stage: Stage,
    /// Read from the client and not yet passed on to hyper.
    buffered: BytesMut,
    /// How many of the buffered bytes have been checked, so that hyper may read them.
    checked: usize,
    phase: ConnectionPhase,
    timeouts: Timeouts,
    head_timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// The rest of a body that is discarded before the answer is sent.
    discarded_body: Option<(Stage, LingeringClose)>,
    /// Whether the client sends its body only after an interim response.
    waits_for_continue: bool,
    lingering_close: Option<LingeringClose>,
    is_shut_down: bool,
}

impl<I> HeadFilter<I> {
    pub(in crate::downstream) fn new(io: I, phase: ConnectionPhase, timeouts: Timeouts) -> Self {
        Self {
            io,
            stage: Stage::Head,
            buffered: BytesMut::new(),
            checked: 0,
            phase,
            timeouts,
            head_timer: Box::pin(sleep(timeouts.head)),
            write_timer: None,
            discarded_body: None,
            waits_for_continue: false,
            lingering_close: None,
            is_shut_down: false,
        }
    }

    /// What the client has sent behind its handshake.
    pub(in crate::downstream) fn into_held(self) -> Bytes {
        // Copied, since even an empty part would keep the buffer of the head for as long as the connection lasts.
        Bytes::copy_from_slice(&self.buffered)
    }

    fn refuse(&mut self, error: HeadError) {
        self.phase.refuse(RefusedHead::of(&self.buffered, error));
        self.stage = Stage::Refused;
        let replacement = if self.buffered.starts_with(b"HEAD ") { REPLACEMENT_OF_HEAD } else { REPLACEMENT };
        self.buffered = BytesMut::from(replacement);
        self.checked = self.buffered.len();
    }

    /// Checks the buffered bytes as what the stage expects them to be.
    fn check_buffered(&mut self) {
        match &mut self.stage {
            Stage::Head => match head::scan(&self.buffered) {
                Scan::Incomplete => {}
                Scan::Refused(error) => self.refuse(error),
                Scan::Complete { length, framing, expects_continue, offers_websocket, encoding } => {
                    self.waits_for_continue = expects_continue;
                    self.checked = length;
                    if let Some(TargetEncoding { range, text }) = encoding {
                        self.checked = length - range.len() + text.len();
                        let parts =
                            [&self.buffered[..range.start], text.as_bytes(), &self.buffered[range.end..]];
                        self.buffered = BytesMut::from(&*parts.concat());
                    }
                    if framing != Framing::None {
                        self.phase.set_in_body(true);
                    }
                    if offers_websocket {
                        self.phase.set_upgrade_offered();
                    }
                    self.stage = match framing {
                        Framing::None if offers_websocket => Stage::Upgrade,
                        Framing::None => Stage::Head,
                        Framing::Length(length) => Stage::Length(length),
                        Framing::Chunked => Stage::Chunked(Chunked::default()),
                    };
                }
            },
            Stage::Length(_) | Stage::Chunked(_) => {
                self.checked = self.stage.advance(&self.buffered);
                self.body_advanced();
            }
            Stage::Broken | Stage::Refused | Stage::Upgrade => {}
        }
    }

    /// Reacts to a body that has ended or broken, after the stage has advanced.
    fn body_advanced(&mut self) {
        if matches!(self.stage, Stage::Broken) {
            self.buffered.clear();
        } else if !self.stage.is_in_body() {
            self.phase.set_in_body(false);
        }
    }

    /// Whether the client has not sent a head in time. No time runs while a request is being answered.
    fn head_timed_out(&mut self, context: &mut Context<'_>) -> bool {
        if self.phase.is_answering() {
            return false;
        }
        if let Some(idle_start) = self.phase.take_idle_start() {
            self.head_timer.as_mut().reset(idle_start + self.timeouts.head);
        }
        self.head_timer.as_mut().poll(context).is_ready()
    }

    /// Gives hyper what has been checked.
    fn pass_checked(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.checked.min(buffer.remaining());
        buffer.put_slice(&self.buffered[..length]);
        self.buffered.advance(length);
        self.checked -= length;
    }
}

impl<I: AsyncRead + Unpin> HeadFilter<I> {
    /// Reads a body straight into hyper's buffer, which saves copying it. What follows its end is taken out again: it
    /// is the next head, which has to be checked first.
    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        let own = self.stage.advance(read);
        self.buffered.extend_from_slice(&read[own..]);
        buffer.set_filled(before + own);
        self.body_advanced();
        Poll::Ready(Ok(()))
    }

    fn poll_input(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.checked == 0 && !self.buffered.is_empty() {
            self.check_buffered();
        }
        if self.checked == 0 {
            match self.stage {
                Stage::Head => ready!(self.poll_head(context))?,
                Stage::Length(_) | Stage::Chunked(_) => return self.poll_body(context, buffer),
                // Nothing read means the end of input: hyper then ends the body with an error.
                Stage::Broken => return Poll::Ready(Ok(())),
                // hyper gets the replacement, or the handshake, and nothing after it.
                Stage::Refused | Stage::Upgrade => return Poll::Pending,
            }
        }
        self.pass_checked(buffer);
        Poll::Ready(Ok(()))
    }

    /// Reads until a head is complete or refused, or the input has ended.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.checked == 0 {
            if self.head_timed_out(context) {
                // A client that has sent nothing waits for no answer: hyper closes the idle connection.
                if self.buffered.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.refuse(HeadError::Slow);
                break;
            }
            // On the stack, so that an idle connection holds no read buffer.
            let mut bytes = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.buffered.extend_from_slice(read);
            // Bytes without a line end cannot complete a head, and only the first byte can make it invalid. Scanning
            // the whole buffer for every byte of a slow client would cost quadratic time.
            if memchr(b'\n', read).is_some()
                || self.buffered.len() > head::MAX_HEAD
                || head::cannot_start_request(&self.buffered)
            {
                self.check_buffered();
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

#[cfg(test)]
mod tests;
