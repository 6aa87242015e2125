//! Finds out by PING whether the path to an HTTP/2 upstream is dead, or an endpoint is only slow.

use std::{
    future::pending,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use h2::{Ping, PingPong};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, timeout},
};

/// How often a connection with open streams is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long the upstream may be silent after a PING. A PING waits behind what the kernel has buffered of an upload, so
/// that this must not be short.
const PONG_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a request waits for the answer to a PING before it makes another connection, which takes at least as many
/// round trips.
const MAX_PONG_WAIT: Duration = Duration::from_secs(1);

/// What is known about the path of one connection.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Counts the events that only a live peer can cause.
    activity: AtomicU64,
    /// When a stream timed out, until the PING that was sent for it is answered.
    suspected: Mutex<Option<Instant>>,
    ping_requested: Notify,
}

impl Liveness {
    /// Whether new requests should use other connections until a PING is answered.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspected().is_some()
    }

    /// Until when to wait for the answer to the PING; `None` if none is outstanding.
    pub(super) fn wait_until(&self) -> Option<Instant> {
        self.suspected().map(|since| since + MAX_PONG_WAIT)
    }

    fn suspected(&self) -> MutexGuard<'_, Option<Instant>> {
        self.suspected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a PING sent, since a stream has been silent for too long.
    pub(super) fn suspect(&self) {
        self.suspected().get_or_insert_with(Instant::now);
        self.ping_requested.notify_one();
    }

    fn record_activity(&self) {
        self.activity.fetch_add(1, Ordering::Relaxed);
    }

    fn activity(&self) -> u64 {
        self.activity.load(Ordering::Relaxed)
    }

    /// Sends a PING when one is requested, and every [`PING_INTERVAL`] while `is_busy`. Returns when the path is dead,
    /// and calls `on_recovery` when a suspected path has answered.
    pub(super) async fn watch(
        &self,
        mut ping_pong: PingPong,
        is_busy: impl Fn() -> bool,
        on_recovery: impl Fn(),
    ) {
        loop {
            let asked = timeout(PING_INTERVAL, self.ping_requested.notified()).await.is_ok();
            if !asked && !is_busy() {
                continue;
            }
            if !self.ping_succeeds(&mut ping_pong).await {
                return;
            }
            if self.suspected().take().is_some() {
                on_recovery();
            }
        }
    }

    async fn ping_succeeds(&self, ping_pong: &mut PingPong) -> bool {
        let mut pong = std::pin::pin!(ping_pong.ping(Ping::opaque()));
        loop {
            let before = self.activity();
            match timeout(PONG_TIMEOUT, pong.as_mut()).await {
                Ok(Ok(_)) => return true,
                // The connection has ended. The task that drives it finds that out and stops this future.
                Ok(Err(_)) => return pending().await,
                // Other activity proves that the path is alive: the PONG may wait behind a long download.
                Err(_) if self.activity() == before => return false,
                Err(_) => {}
            }
        }
    }
}

/// A connection that records the activity of its peer.
#[derive(Debug)]
pub(super) struct MonitoredIo<I> {
    io: I,
    liveness: Arc<Liveness>,
    /// Whether the socket's send buffer was full. It takes more only when the peer has acknowledged some, which is a
    /// sign of life of an upstream that reads a long upload and sends nothing.
    was_blocked: bool,
}

impl<I> MonitoredIo<I> {
    pub(super) fn new(io: I, liveness: Arc<Liveness>) -> Self {
        Self { io, liveness, was_blocked: false }
    }

    fn after_write(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            self.was_blocked = true;
        } else if std::mem::take(&mut self.was_blocked) && matches!(written, Poll::Ready(Ok(_))) {
            self.liveness.record_activity();
        }
        written
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for MonitoredIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.liveness.record_activity();
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for MonitoredIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.after_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, buffers);
        self.after_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::{io::duplex, select, time::sleep};

    use super::*;

    /// How long a path is taken for alive whose other end answers nothing; `None` when it is an hour later.
    async fn declared_dead(is_busy: bool, doubted: bool, sign_every: Option<u64>) -> Option<u64> {
        let (io, _other_end) = duplex(64 << 10);
        let handshake = h2::client::Builder::new().handshake::<_, Bytes>(io).await;
        let (_sender, mut driver) = handshake.expect("room for the preface");
        let ping_pong = driver.ping_pong().expect("it is asked for once");
        let (liveness, start) = (Liveness::default(), Instant::now());
        if doubted {
            liveness.suspect();
        }
        let signs = async {
            loop {
                sleep(sign_every.map_or(Duration::MAX, Duration::from_secs)).await;
                liveness.record_activity();
            }
        };
        select! {
            () = liveness.watch(ping_pong, || is_busy, || panic!("nothing was answered")) => Some(start.elapsed().as_secs()),
            () = signs => None,
            () = sleep(Duration::from_secs(3_600)) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_is_dead_that_answers_no_ping_and_gives_no_other_sign_within_twenty_seconds() {
        for (is_busy, doubted, sign_every, expected) in [
            (true, false, None, Some(50)),
            (true, false, Some(10), None),
            (true, false, Some(45), Some(70)),
            (true, true, None, Some(20)),
            (false, true, None, Some(20)),
            (false, false, None, None),
        ] {
            let declared = declared_dead(is_busy, doubted, sign_every).await;
            assert_eq!(
                declared, expected,
                "busy: {is_busy}, doubted: {doubted}, a record_activity every {sign_every:?} s"
            );
        }
    }
}
