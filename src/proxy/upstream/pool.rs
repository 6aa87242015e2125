//! Connections that wait for the next request.

use std::{
    error::Error,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync,
    time::{Instant, timeout},
};
use tracing::debug;

use super::{connection::Connection, request_body::RequestBody, tasks::Tasks};

/// Shorter than the idle timeouts of gateways and load balancers, so that we close first.
const LONGEST_REST: Duration = Duration::from_secs(20);

/// A connection that was given back is ready within one turn of its task.
const UNTIL_READY: Duration = Duration::from_secs(1);

/// How long a connection is used, in seconds, however busy it is: a name that moves is looked up only for new ones. Spread,
/// so that what was made at once is not replaced at once.
const LIFETIME: Range<u64> = 8 * 60..12 * 60;

/// How often a shared connection is asked whether it lives.
const PING: Duration = Duration::from_secs(30);

/// How many requests share a connection at most. Servers are advised to allow no fewer (RFC 9113 section 6.5.2).
const SHARES: usize = 100;

/// How many bytes of an answer may have come that its client has not read yet: at 20 ms to the upstream and back,
/// 25 MB/s, and as much memory as HTTP/1.1 takes for a client that does not read.
const STREAM_WINDOW: u32 = 512 << 10;

/// Enough for all that share a connection: whoever does not read keeps nobody else's answer from coming.
const CONNECTION_WINDOW: u32 = SHARES as u32 * STREAM_WINDOW;

/// All connections to one upstream.
#[derive(Clone, Default)]
pub(super) struct Pool {
    resting: Arc<Mutex<Resting>>,
    /// Held by the request that makes a connection which others may share.
    turn: Arc<sync::Mutex<()>>,
    tasks: Tasks,
}

#[derive(Default)]
struct Resting {
    /// Last in, first out: what is in use stays warm, what is not grows old.
    /// Each with the moment when its rest began, and the one from which on it is not used any more.
    one: Vec<(http1::SendRequest<RequestBody>, Instant, Instant)>,
    two: Vec<Shared>,
    /// Whether the newest connection is one that nobody shares.
    speaks_one: bool,
}

/// An HTTP/2 connection, which stays here while requests use it.
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    share: Share,
    used: Instant,
    /// When requests begin to use another one; those under way end as they began.
    retires: Instant,
}

/// Held by each request on a shared connection, and by the pool.
type Share = Arc<()>;

/// A connection in use by one request.
pub(super) struct Lease {
    sender: Sender,
    reused: bool,
    pool: Pool,
}

enum Sender {
    /// With the moment from which on it is not used any more.
    One(http1::SendRequest<RequestBody>, Instant),
    Two(http2::SendRequest<RequestBody>, Share),
}

/// A failed send.
pub(super) struct SendFailure {
    pub(super) error: hyper::Error,
    pub(super) unsent: bool,
}

impl Pool {
    /// A connection that rested and is still open.
    pub(super) async fn take(&self) -> Option<Lease> {
        loop {
            let sender = self.pop()?;
            let mut lease = Lease { sender, reused: true, pool: self.clone() };
            if matches!(timeout(UNTIL_READY, lease.ready()).await, Ok(Ok(()))) {
                return Some(lease);
            }
        }
    }

    /// Whose turn it is to make a connection: when many requests find no room, the first makes one for a hundred.
    ///
    /// Absent when the upstream speaks HTTP/1.1, where each needs its own.
    pub(super) async fn turn(&self) -> Option<sync::MutexGuard<'_, ()>> {
        if self.lock().speaks_one {
            return None;
        }
        let turn = self.turn.lock().await;
        // What has been made meanwhile may tell.
        (!self.lock().speaks_one).then_some(turn)
    }

    fn pop(&self) -> Option<Sender> {
        let mut resting = self.lock();
        resting.two.retain(Shared::is_of_use);
        if let Some(shared) = resting.two.iter_mut().find(|shared| !shared.is_full()) {
            return Some(shared.lend());
        }
        let newest = resting.one.pop()?;
        if newest.1.elapsed() > LONGEST_REST {
            // The ones below it rest even longer.
            resting.one.clear();
            return None;
        }
        Some(Sender::One(newest.0, newest.2))
    }

    /// Forgets the connections on which nothing may arrive any more, as one has shown that was in use for
    /// `silence`: the shared ones, and all that have answered nothing since. What is under way goes on.
    pub(super) fn forget_doubtful(&self, silence: Duration) {
        let mut resting = self.lock();
        resting.two.clear();
        resting.one.retain(|(_, used, _)| used.elapsed() < silence);
    }

    /// Starts HTTP on a new connection, in the version that TLS agreed on.
    ///
    /// `instead` of those with room that there are: one of them has failed.
    pub(super) async fn handshake(
        &self,
        connection: Connection,
        instead: bool,
    ) -> Result<Lease, hyper::Error> {
        let version = connection.version();
        let retires = Instant::now() + Duration::from_secs(rand::random_range(LIFETIME));
        self.lock().speaks_one = version != Version::HTTP_2;
        let io = TokioIo::new(connection);
        let sender = if version == Version::HTTP_2 {
            let (sender, driver) = http2::Builder::new(self.tasks.clone())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(io)
                .await?;
            self.tasks.spawn(async move { log_end(driver.await) });
            let mut shared = Shared { sender, share: Share::default(), used: Instant::now(), retires };
            let sender = shared.lend();
            let mut resting = self.lock();
            if instead {
                resting.two.retain(Shared::is_full);
            }
            resting.two.push(shared);
            sender
        } else {
            let (sender, driver) = http1::Builder::new().handshake(io).await?;
            self.tasks.spawn(async move { log_end(driver.await) });
            Sender::One(sender, retires)
        };
        Ok(Lease { sender, reused: false, pool: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn lend(&mut self) -> Sender {
        self.used = Instant::now();
        Sender::Two(self.sender.clone(), Arc::clone(&self.share))
    }

    fn is_full(&self) -> bool {
        Arc::strong_count(&self.share) > SHARES
    }

    fn is_of_use(&self) -> bool {
        let now = Instant::now();
        !self.sender.is_closed() && now - self.used <= LONGEST_REST && now < self.retires
    }
}

fn log_end(end: Result<(), hyper::Error>) {
    if let Err(error) = end {
        debug!(%error, "connection to the upstream ended");
    }
}

impl Lease {
    pub(super) fn reused(&self) -> bool {
        self.reused
    }

    pub(super) fn version(&self) -> Version {
        match self.sender {
            Sender::One(..) => Version::HTTP_11,
            Sender::Two(..) => Version::HTTP_2,
        }
    }

    async fn ready(&mut self) -> Result<(), hyper::Error> {
        match &mut self.sender {
            Sender::One(sender, _) => sender.ready().await,
            Sender::Two(sender, _) => sender.ready().await,
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        let outcome = match &mut self.sender {
            Sender::One(sender, _) => sender.try_send_request(request).await,
            Sender::Two(sender, _) => sender.try_send_request(request).await,
        };
        outcome.map_err(|mut failure: TrySendError<_>| SendFailure {
            // hyper hands the request back when it has written nothing of it.
            unsent: failure.take_message().is_some() || is_unprocessed(failure.error()),
            error: failure.into_error(),
        })
    }

    /// Lets the connection rest; a shared one was never taken out.
    pub(super) fn give_back(self) {
        let mut resting = self.pool.lock();
        match self.sender {
            Sender::One(sender, retires) => {
                let now = Instant::now();
                if !sender.is_closed() && now < retires {
                    resting.one.push((sender, now, retires));
                }
            }
            Sender::Two(_, share) => {
                if let Some(shared) = resting.two.iter_mut().find(|shared| Arc::ptr_eq(&shared.share, &share))
                {
                    shared.used = Instant::now();
                }
            }
        }
    }
}

/// Whether an HTTP/2 upstream says that it has not begun with a request (RFC 9113 sections 6.8 and 8.7): it
/// refused the stream, or is going away and had not seen it yet.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    // With another reason, streams that had begun fail with the same error.
    let leaving = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || leaving)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("version", &self.version())
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}
