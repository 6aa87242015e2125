//! Whether the path to an HTTP/2 upstream still carries anything, as distinct from an endpoint that takes its time.

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
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long the upstream may take to answer a PING, or to give another sign of life. A PING waits behind what the
/// kernel holds of an upload, so this is not short.
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// For how long a request rather waits for a PING to be answered than to make another connection, which takes as many
/// round trips at least.
const PONG_SOON: Duration = Duration::from_secs(1);

/// What is known of the path of one connection.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Counts what only a living peer can cause.
    signs: AtomicU64,
    /// When a stream has timed out, until the PING that decides is answered.
    doubted: Mutex<Option<Instant>>,
    check: Notify,
}

impl Liveness {
    /// Whether new requests should rather go elsewhere until a PING is answered.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubted().is_some()
    }

    /// Until when it is worth waiting for the PING to be answered.
    pub(super) fn decides_by(&self) -> Option<Instant> {
        self.doubted().map(|doubted| doubted + PONG_SOON)
    }

    fn doubted(&self) -> MutexGuard<'_, Option<Instant>> {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a PING: a stream has been silent for longer than is right.
    pub(super) fn doubt(&self) {
        self.doubted().get_or_insert_with(Instant::now);
        self.check.notify_one();
    }

    fn sign(&self) {
        self.signs.fetch_add(1, Ordering::Relaxed);
    }

    fn signs(&self) -> u64 {
        self.signs.load(Ordering::Relaxed)
    }

    /// Pings when asked to, and from time to time while `is_busy`. Ends when the path is dead.
    ///
    /// `trust_again` is called when a doubt was not justified.
    pub(super) async fn watch(
        &self,
        mut ping_pong: PingPong,
        is_busy: impl Fn() -> bool,
        trust_again: impl Fn(),
    ) {
        loop {
            let asked = timeout(PING_EVERY, self.check.notified()).await.is_ok();
            if !asked && !is_busy() {
                continue;
            }
            if !self.is_answered(&mut ping_pong).await {
                return;
            }
            if self.doubted().take().is_some() {
                trust_again();
            }
        }
    }

    async fn is_answered(&self, ping_pong: &mut PingPong) -> bool {
        let mut pong = std::pin::pin!(ping_pong.ping(Ping::opaque()));
        loop {
            let before = self.signs();
            match timeout(PONG_WITHIN, pong.as_mut()).await {
                Ok(Ok(_)) => return true,
                // The connection has ended, as whoever drives it is about to see.
                Ok(Err(_)) => return pending().await,
                Err(_) if self.signs() == before => return false,
                Err(_) => {}
            }
        }
    }
}

/// A connection that notes the signs of life of its other end.
#[derive(Debug)]
pub(super) struct Observed<I> {
    io: I,
    liveness: Arc<Liveness>,
    /// Whether the system would take no more: it takes more only when the peer has acknowledged some.
    is_full: bool,
}

impl<I> Observed<I> {
    pub(super) fn new(io: I, liveness: Arc<Liveness>) -> Self {
        Self { io, liveness, is_full: false }
    }

    fn note_written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            self.is_full = true;
        } else if std::mem::take(&mut self.is_full) && matches!(written, Poll::Ready(Ok(_))) {
            self.liveness.sign();
        }
        written
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Observed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.liveness.sign();
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Observed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, buffers);
        self.note_written(written)
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
            liveness.doubt();
        }
        let signs = async {
            loop {
                sleep(sign_every.map_or(Duration::MAX, Duration::from_secs)).await;
                liveness.sign();
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
                "busy: {is_busy}, doubted: {doubted}, a sign every {sign_every:?} s"
            );
        }
    }
}
