//! A client's socket, shared by HTTP, which reads and writes, and by the watch over the client's end.
//!
//! A client that has sent all it will send may close its half of the connection and still wait for the
//! answer. To TCP that looks as if the client had gone altogether, until something is sent to it. So the end
//! of input alone cancels nothing: from then on the system is asked whether somebody is there.

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
    net::{TcpStream, UnixStream},
    time::{Instant, sleep},
};

use super::http1::phase::ConnectionPhase;
use super::{listener::Accepted, peer};

/// How often the client's end is looked at while an answer is made or sent.
const LOOK: Duration = Duration::from_millis(250);

/// For clients on other machines: theirs forgets a connection that nobody holds after a minute, and then
/// answers a probe with a reset.
const PROBE: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// What has ended of a connection.
#[derive(PartialEq, Eq)]
enum End {
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

    /// Takes the connection up in the runtime of the caller.
    fn try_from(accepted: Accepted) -> io::Result<Self> {
        let stream = match accepted {
            Accepted::Tcp(stream, _) => Stream::Tcp(TcpStream::from_std(stream)?),
            Accepted::Unix(stream, _) => Stream::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Self(Arc::new(stream)))
    }
}

impl Socket {
    /// Waits until nobody is left to answer to, as long as it is our turn.
    pub(super) async fn gone(&self, phase: &ConnectionPhase) {
        if self.ended(phase).await == End::Both {
            return;
        }
        self.probe();
        let mut abandoned = 0;
        // The table of sockets may change while it is read: one look is not enough.
        let mut pause = LOOK;
        while abandoned < 2 {
            match self.ready(Interest::WRITABLE | Interest::ERROR).await {
                Ok(ready) if ready.is_error() || ready.is_write_closed() => return,
                Ok(_) if self.is_abandoned() => (abandoned, pause) = (abandoned + 1, LOOK),
                // Where the kernel has to be asked for all sockets, many patient clients must not add up.
                Ok(_) => (abandoned, pause) = (0, (pause * 2).min(PROBE)),
                Err(_) => return,
            }
            sleep(pause).await;
        }
    }

    /// Waits for the end of the client's input or of the connection. While the client has its turn, its end is
    /// seen by whoever reads.
    async fn ended(&self, phase: &ConnectionPhase) -> End {
        let mut timer = pin!(sleep(LOOK));
        let mut is_set = false;
        poll_fn(|context| {
            loop {
                if !is_set {
                    if !phase.is_ours() {
                        return Poll::Pending;
                    }
                    timer.as_mut().reset(Instant::now() + LOOK);
                    is_set = true;
                }
                ready!(timer.as_mut().poll(context));
                is_set = false;
                let state = pin!(self.ready(Interest::READABLE | Interest::ERROR)).poll(context);
                match state {
                    Poll::Ready(Ok(ready)) if ready.is_error() => return Poll::Ready(End::Both),
                    Poll::Ready(Ok(ready)) if ready.is_read_closed() => return Poll::Ready(End::Input),
                    Poll::Ready(Ok(_)) | Poll::Pending => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(End::Both),
                }
            }
        })
        .await
    }

    /// Whether the client is on this machine and no process holds its socket any more.
    fn is_abandoned(&self) -> bool {
        let Stream::Tcp(stream) = &*self.0 else { return false };
        let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
        ends.is_ok_and(|(local, peer)| peer::is_held(local, peer) == Some(false))
    }

    /// Whether the client has sent something that nobody has read yet.
    pub(super) fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match &*self.0 {
            Stream::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Unix(stream) => SockRef::from(stream).peek(&mut byte),
        };
        peeked.is_ok_and(|length| length > 0)
    }

    /// Makes the end of the connection one that no client can take for the end of a body.
    pub(super) fn abort(&self) {
        if let Stream::Tcp(stream) = &*self.0 {
            // Without it the connection ends cleanly, which is the lesser evil.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn probe(&self) {
        if let Stream::Tcp(stream) = &*self.0 {
            let often = TcpKeepalive::new().with_time(PROBE).with_interval(PROBE).with_retries(PROBES);
            // Without it the end is noticed at the first write.
            let _ = SockRef::from(stream).set_tcp_keepalive(&often);
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
                    let mut read = || short_is_last(buffer, |buffer| stream.try_read_buf(buffer));
                    stream.try_io(Interest::READABLE, &mut read)
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    let mut read = || short_is_last(buffer, |buffer| stream.try_read_buf(buffer));
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

/// Reads, and calls a read that does not fill the buffer the last one: the socket is empty then, and need not be
/// asked again before the system says that there is more.
fn short_is_last(
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
