//! A client's socket, shared by hyper, which reads and writes it, and by the check whether the client is still there.
//!
//! A client that has sent everything may close its sending half and still wait for the answer. Until something is sent
//! to it, that looks to TCP as if the client had closed both halves. So the end of input alone cancels no request: from
//! then on the kernel is asked whether a process still holds the client's socket.

use std::{
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::http1::phase::ConnectionPhase;
use super::{
    listener::{Accepted, UnixStream},
    peer,
};

/// How often the client's end is checked while a request is being answered. On a timer, so that the connection's task
/// does not check at each of its wake-ups.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// TCP keep-alive, for clients on other machines: their kernel forgets a closed connection after a minute, and then
/// answers a probe with a reset.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Which halves of a connection are closed.
#[derive(PartialEq, Eq)]
enum Closed {
    Input,
    Both,
}

/// Clones are the same socket.
#[derive(Clone, Debug)]
pub(super) struct Socket(Arc<Stream>);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl TryFrom<Accepted> for Socket {
    type Error = io::Error;

    /// Registers the connection with the caller's runtime.
    fn try_from(accepted: Accepted) -> io::Result<Self> {
        let stream = match accepted {
            Accepted::Tcp(stream, _) => Stream::Tcp(TcpStream::from_std(stream)?),
            Accepted::Unix(stream, _) => Stream::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Self(Arc::new(stream)))
    }
}

impl Socket {
    /// Waits until no client is left to answer, while a request is being answered.
    pub(super) async fn client_gone(&self, phase: &ConnectionPhase) {
        if self.closed(phase).await == Closed::Both {
            return;
        }
        self.enable_keepalive();
        let mut orphaned = 0;
        // The kernel's table of sockets may change while it is read, so that one miss proves nothing.
        let mut pause = CHECK_INTERVAL;
        while orphaned < 2 {
            match self.ready(Interest::WRITABLE | Interest::ERROR).await {
                Ok(ready) if ready.is_error() || ready.is_write_closed() => return,
                Ok(_) if self.is_orphaned() => (orphaned, pause) = (orphaned + 1, CHECK_INTERVAL),
                // Without netlink each check reads the whole table, so that many half-closed clients would cost much.
                Ok(_) => (orphaned, pause) = (0, (pause * 2).min(KEEPALIVE_INTERVAL)),
                Err(_) => return,
            }
            sleep(pause).await;
        }
    }

    /// Waits for the end of the client's input or of the connection. Between requests hyper reads and sees that end
    /// itself.
    async fn closed(&self, phase: &ConnectionPhase) -> Closed {
        let mut timer = pin!(sleep(CHECK_INTERVAL));
        let mut is_set = false;
        poll_fn(|context| {
            loop {
                if !is_set {
                    // The connection is polled in the same task: this is asked again whenever a request arrives.
                    if !phase.is_answering() {
                        return Poll::Pending;
                    }
                    timer.as_mut().reset(Instant::now() + CHECK_INTERVAL);
                    is_set = true;
                }
                ready!(timer.as_mut().poll(context));
                is_set = false;
                let state = pin!(self.ready(Interest::READABLE | Interest::ERROR)).poll(context);
                match state {
                    Poll::Ready(Ok(ready)) if ready.is_error() => return Poll::Ready(Closed::Both),
                    Poll::Ready(Ok(ready)) if ready.is_read_closed() => return Poll::Ready(Closed::Input),
                    Poll::Ready(Ok(_)) | Poll::Pending => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Closed::Both),
                }
            }
        })
        .await
    }

    /// Whether the client is on this machine and no process holds its socket any more.
    fn is_orphaned(&self) -> bool {
        let Stream::Tcp(stream) = &*self.0 else { return false };
        let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
        ends.is_ok_and(|(local, peer)| peer::is_held(local, peer) == Some(false))
    }

    /// Whether the client has sent something that has not been read yet.
    pub(super) fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match &*self.0 {
            Stream::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Unix(stream) => SockRef::from(stream).peek(&mut byte),
        };
        peeked.is_ok_and(|length| length > 0)
    }

    /// Has the close reset the connection, which no client can take for the end of a body.
    pub(super) fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = &*self.0 {
            // If this fails the connection closes cleanly, and nothing better can be done about it.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn enable_keepalive(&self) {
        if let Stream::Tcp(stream) = &*self.0 {
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE_INTERVAL)
                .with_interval(KEEPALIVE_INTERVAL)
                .with_retries(KEEPALIVE_PROBES);
            // If this fails the first write finds out that the client is gone.
            let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
        }
    }

    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &*self.0 {
            Stream::Tcp(stream) => stream.ready(interest).await,
            Stream::Unix(stream) => stream.ready(interest).await,
        }
    }

    fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&Stream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(match &*self.0 {
                Stream::Tcp(stream) => stream.poll_write_ready(context),
                Stream::Unix(stream) => stream.poll_write_ready(context),
            })?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let before = buffer.filled().len();
            let read = match &*self.0 {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    let mut read = || stop_after_short_read(buffer, |buffer| stream.try_read_buf(buffer));
                    stream.try_io(Interest::READABLE, &mut read)
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    let mut read = || stop_after_short_read(buffer, |buffer| stream.try_read_buf(buffer));
                    stream.try_io(Interest::READABLE, &mut read)
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

/// Reads, and reports `WouldBlock` after a read that did not fill the buffer: the socket is empty then, and epoll will
/// say when there is more. This saves a system call for each request.
fn stop_after_short_read(
    buffer: &mut ReadBuf<'_>,
    read: impl FnOnce(&mut ReadBuf<'_>) -> io::Result<usize>,
) -> io::Result<usize> {
    match read(buffer) {
        Ok(read) if read > 0 && buffer.remaining() > 0 && cfg!(target_os = "linux") => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        read => read,
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |stream| match stream {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |stream| match stream {
            Stream::Tcp(stream) => stream.try_write_vectored(pieces),
            Stream::Unix(stream) => stream.try_write_vectored(pieces),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match &*self.0 {
            Stream::Tcp(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
            Stream::Unix(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
        })
    }
}
