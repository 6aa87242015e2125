//! Connections that wait for the next request.

use std::{
    fmt,
    future::poll_fn,
    ops::Range,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    select,
    sync::{self, Notify},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    connection::{Alert, Connection},
    http2::{self, Room},
    incoming::Incoming,
    request_body::RequestBody,
    tasks::{Tasks, log_end},
};

/// How long a connection rests before it is closed. Shorter than the idle timeouts of gateways and load balancers, so
/// that we close first.
const MAX_REST: Duration = Duration::from_secs(20);

/// A connection that was given back is ready within one turn of its task.
const UNTIL_READY: Duration = Duration::from_secs(1);

/// How long a connection is used, in seconds, however busy it is: a name that moves is looked up only for new ones. Spread,
/// so that what was made at once is not replaced at once.
const LIFETIME: Range<u64> = 8 * 60..12 * 60;

/// How long a stream may stay open after the last byte of its response.
const UNTIL_ENDED: Duration = Duration::from_secs(1);

/// How often resting connections are looked through at most.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);

/// All connections to one upstream.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    connections: Mutex<Connections>,
    /// Held by the request that makes a connection which others may share.
    turn: sync::Mutex<()>,
    /// Notified when a request that has found no room should look again.
    room: Arc<Notify>,
    tasks: Tasks,
}

#[derive(Default)]
struct Connections {
    /// Each with when it was given back. Last in, first out: what is in use stays warm, what is not grows old.
    one: Vec<(Http1, Instant)>,
    /// The oldest first.
    two: Vec<Http2>,
    /// Whether the newest connection is one that nobody shares.
    speaks_one: bool,
    /// How many connections have been made.
    made: u64,
    /// Whether a task closes those that have rested for too long.
    is_swept: bool,
}

/// An HTTP/1.1 connection and the task that drives it.
struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    driver: AbortHandle,
    alert: Alert,
    /// From when on it takes no more requests.
    retires: Instant,
}

/// An HTTP/2 connection, which stays here while requests use it.
struct Http2 {
    connection: http2::Connection,
    alert: Alert,
    /// The how-manieth connection it is, from one.
    number: u64,
    /// From when on it takes no more requests; those under way end as they began.
    retires: Instant,
}

/// A connection in use by one request.
pub(super) struct Lease {
    /// Absent when it has been given back.
    sender: Option<Sender>,
    reused: bool,
    pool: Pool,
}

enum Sender {
    Http1(Http1),
    Http2(http2::Stream, Alert),
}

/// Why a request that was given to a connection has no response.
pub(super) enum SendError {
    Http1(hyper::Error),
    Http2(h2::Error),
}

/// A failed send.
pub(super) struct SendFailure {
    pub(super) error: SendError,
    pub(super) unsent: bool,
}

/// How a request comes to a connection.
pub(super) enum ConnectLock<'a> {
    /// There is one with room.
    Found(Lease),
    /// It has to make one, and others wait to share it as long as the guard is held. Absent when the upstream speaks
    /// HTTP/1.1, where each request needs its own.
    Make(Option<sync::MutexGuard<'a, ()>>),
}

impl Pool {
    /// A connection with room for a request; of those that have been made after the first `newer_than`, which may all
    /// have failed, if that is given.
    pub(super) async fn take(&self, newer_than: Option<u64>) -> Option<Lease> {
        loop {
            let sender = self.lock().pop(newer_than)?;
            let mut lease = Lease { sender: Some(sender), reused: true, pool: self.clone() };
            if matches!(timeout(UNTIL_READY, lease.ready()).await, Ok(true)) {
                return Some(lease);
            }
        }
    }

    /// Waits until `latest` for room on a connection, or for the turn to make one: when many requests find no room, the
    /// first makes a connection for a hundred.
    pub(super) async fn turn(&self, newer_than: Option<u64>, latest: Instant) -> ConnectLock<'_> {
        loop {
            // Before looking, so that nothing is missed.
            let mut room = pin!(self.0.room.notified());
            if let Some(lease) = self.take(newer_than).await {
                return ConnectLock::Found(lease);
            }
            if self.lock().speaks_one {
                return ConnectLock::Make(None);
            }
            let turn = select! {
                biased;
                turn = self.0.turn.lock() => turn,
                () = room.as_mut() => continue,
                () = sleep_until(latest) => return ConnectLock::Make(None),
            };
            if let Some(lease) = self.take(newer_than).await {
                return ConnectLock::Found(lease);
            }
            let decides_by = match &*self.lock() {
                Connections { speaks_one: true, .. } => return ConnectLock::Make(None),
                connections => connections.decides_by(latest),
            };
            let Some(time) = decides_by else { return ConnectLock::Make(Some(turn)) };
            drop(turn);
            // Whichever comes first, the next look tells more.
            let _ = timeout_at(time, room).await;
        }
    }

    /// How many connections have been made so far.
    pub(super) fn made(&self) -> u64 {
        self.lock().made
    }

    /// Notes that a request has been silent for `silence`, so that the path may be dead: forgets the HTTP/1.1 connections
    /// that have answered nothing since, and has an HTTP/2 connection prove itself. What is under way goes on.
    pub(super) fn doubt(&self, lease: &Lease, silence: Duration) {
        match &lease.sender {
            Some(Sender::Http2(stream, _)) => stream.doubt(),
            Some(Sender::Http1(_)) | None => self.lock().one.retain(|(_, since)| since.elapsed() < silence),
        }
    }

    /// Gives the connection no more requests: it has refused one. What is under way goes on.
    pub(super) fn retire(&self, lease: &Lease) {
        if let Some(Sender::Http2(stream, _)) = &lease.sender {
            self.lock().two.retain(|http2| !http2.connection.has(stream));
        }
    }

    /// Has no more requests share a connection: the upstream wants HTTP/1.1.
    pub(super) fn retire_http2(&self) {
        let mut connections = self.lock();
        connections.two.clear();
        connections.speaks_one = true;
    }

    /// Has requests wait for each other's connections again, since the next one may be shared.
    pub(super) fn expect_sharing(&self) {
        self.lock().speaks_one = false;
    }

    /// Starts HTTP on a new connection, in the version that TLS agreed on.
    pub(super) async fn handshake(&self, connection: Connection) -> Result<Lease, SendError> {
        let speaks_one = connection.version() != Version::HTTP_2;
        self.lock().speaks_one = speaks_one;
        let alert = connection.alert();
        let retires = Instant::now() + Duration::from_secs(rand::random_range(LIFETIME));
        let sender = if speaks_one {
            let io = TokioIo::new(connection);
            let (sender, driver) = http1::Builder::new().handshake(io).await.map_err(SendError::Http1)?;
            let driver = self.0.tasks.spawn(async move { log_end(driver.await) });
            self.lock().made += 1;
            Sender::Http1(Http1 { sender, driver, alert, retires })
        } else {
            let room = Arc::clone(&self.0.room);
            let connection = http2::Connection::handshake(connection, &self.0.tasks, room).await;
            let connection = connection.map_err(SendError::Http2)?;
            let Room::Free(stream) = connection.stream(MAX_REST) else {
                return Err(SendError::Http2(h2::Reason::NO_ERROR.into()));
            };
            let mut connections = self.lock();
            connections.made += 1;
            let number = connections.made;
            connections.two.push(Http2 { connection, alert: alert.clone(), number, retires });
            self.sweep(&mut connections);
            Sender::Http2(stream, alert)
        };
        Ok(Lease { sender: Some(sender), reused: false, pool: self.clone() })
    }

    /// Sees to it that connections which rest for too long are closed, also when nobody asks for one.
    fn sweep(&self, connections: &mut Connections) {
        if !std::mem::replace(&mut connections.is_swept, true) {
            self.0.tasks.spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    fn pop(&mut self, newer_than: Option<u64>) -> Option<Sender> {
        if let Some((stream, alert)) = self.stream(newer_than.unwrap_or(0)) {
            return Some(Sender::Http2(stream, alert));
        }
        // One that rests may have been closed together with the one that has failed.
        if newer_than.is_some() {
            return None;
        }
        let (http1, since) = self.one.pop()?;
        if since.elapsed() > MAX_REST {
            // The ones below it rest even longer.
            self.one.clear();
            return None;
        }
        Some(Sender::Http1(http1))
    }

    /// A stream on the oldest connection that has room, so that the others come to rest.
    fn stream(&mut self, newer_than: u64) -> Option<(http2::Stream, Alert)> {
        if self.two.is_empty() {
            return None;
        }
        let (mut found, now) = (None, Instant::now());
        self.two.retain(|http2| {
            if http2.retires <= now {
                return false;
            }
            if found.is_some() || http2.number <= newer_than {
                return true;
            }
            match http2.connection.stream(MAX_REST) {
                Room::Free(stream) => {
                    found = Some((stream, http2.alert.clone()));
                    true
                }
                Room::Full => true,
                Room::Closed => false,
            }
        });
        found
    }

    /// Until when a request that has found no room should wait for a connection to say whether it has some.
    fn decides_by(&self, latest: Instant) -> Option<Instant> {
        let times = self.two.iter().filter_map(|http2| http2.connection.decides_by(latest));
        times.filter(|time| *time > Instant::now()).min()
    }

    /// Closes the connections that have rested for too long; when to look again, unless none are left.
    fn close_rested(&mut self, now: Instant) -> Option<Instant> {
        let rests = |since: Instant| now.duration_since(since) < MAX_REST;
        self.one.retain(|(_, since)| rests(*since));
        self.two.retain(|http2| http2.connection.idle_since().is_none_or(rests));
        let one = self.one.iter().map(|(_, since)| *since);
        let two = self.two.iter().map(|http2| http2.connection.idle_since().unwrap_or(now));
        let oldest = one.chain(two).min()?;
        // One by one would be many times after a burst.
        Some((oldest + MAX_REST).max(now + BETWEEN_SWEEPS))
    }
}

async fn sweep(pool: Weak<Shared>) {
    let mut next = Instant::now() + MAX_REST;
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut connections = pool.lock();
        match connections.close_rested(Instant::now()) {
            Some(time) => next = time,
            None => {
                connections.is_swept = false;
                return;
            }
        }
    }
}

impl Lease {
    pub(super) fn reused(&self) -> bool {
        self.reused
    }

    /// Where the upstream's TLS alert is noted, should one come.
    pub(super) fn alert(&self) -> Option<&Alert> {
        self.sender.as_ref().map(|sender| match sender {
            Sender::Http1(http1) => &http1.alert,
            Sender::Http2(_, alert) => alert,
        })
    }

    pub(super) fn version(&self) -> Version {
        match self.sender {
            Some(Sender::Http2(..)) => Version::HTTP_2,
            Some(Sender::Http1(_)) | None => Version::HTTP_11,
        }
    }

    /// Waits until the connection takes a request; whether it does.
    async fn ready(&mut self) -> bool {
        match &mut self.sender {
            Some(Sender::Http1(http1)) => http1.sender.ready().await.is_ok(),
            Some(Sender::Http2(..)) => true,
            None => false,
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        match self.sender.as_mut().expect("it is given back after its response") {
            Sender::Http1(http1) => match http1.sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(Incoming::Http1)),
                Err(mut failure) => Err(SendFailure {
                    // hyper hands the request back when it has written nothing of it.
                    unsent: failure.take_message().is_some(),
                    error: SendError::Http1(failure.into_error()),
                }),
            },
            Sender::Http2(stream, _) => match stream.send(request).await {
                Ok(response) => Ok(response.map(Incoming::Http2)),
                Err(http2::SendError { error, unsent }) => {
                    Err(SendFailure { unsent, error: SendError::Http2(error) })
                }
            },
        }
    }

    /// Lets the connection rest, of which the request and its response have come to their end. A shared one was never
    /// taken out.
    pub(super) fn give_back(mut self) {
        if let Some(Sender::Http1(http1)) = self.sender.take()
            && !http1.sender.is_closed()
        {
            let now = Instant::now();
            if http1.retires <= now {
                return;
            }
            let mut connections = self.pool.lock();
            connections.one.push((http1, now));
            self.pool.sweep(&mut connections);
        }
    }
}

impl Lease {
    /// Lets the connection rest when `download` has ended, of which nothing more is wanted: to drop it before would reset
    /// the stream, and upstreams count resets.
    pub(super) fn give_back_after(self, mut download: http2::Download) {
        if download.has_ended() {
            return self.give_back();
        }
        let tasks = self.pool.0.tasks.clone();
        tasks.spawn(async move {
            let ended =
                async { while let Some(Ok(_)) = poll_fn(|context| download.poll_frame(context)).await {} };
            // A stream that does not end is reset.
            let _ = timeout(UNTIL_ENDED, ended).await;
            self.give_back();
        });
    }
}

impl Drop for Lease {
    /// A connection that is in the middle of something ends at once: one whose upstream does not read would wait for it to
    /// take the rest of the request.
    fn drop(&mut self) {
        if let Some(Sender::Http1(http1)) = &self.sender {
            http1.driver.abort();
        }
    }
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{DuplexStream, duplex},
        time::{advance, sleep},
    };

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// An idle connection, and its other end.
    async fn http1(tasks: &Tasks) -> (Http1, DuplexStream) {
        let (io, other_end) = duplex(1024);
        let handshake = http1::Builder::new().handshake(TokioIo::new(io)).await;
        let (sender, driver) = handshake.expect("nothing is sent yet");
        let driver = tasks.spawn(async move { log_end(driver.await) });
        let retires = Instant::now() + Duration::from_secs(600);
        (Http1 { sender, driver, alert: Alert::default(), retires }, other_end)
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_given_back_last_is_used_first_within_twenty_seconds() {
        let (tasks, mut connections) = (Tasks::default(), Connections::default());
        let ((one, _one), (two, _two)) = (http1(&tasks).await, http1(&tasks).await);
        let newest = two.driver.id();
        connections.one.extend([one, two].map(|http1| (http1, Instant::now())));
        advance(MAX_REST).await;
        let Some(Sender::Http1(used)) = connections.pop(None) else {
            panic!("they have not rested for too long")
        };
        assert_eq!(used.driver.id(), newest);
        assert!(
            connections.pop(Some(1)).is_none(),
            "it may have been closed together with the one that failed"
        );
        advance(MOMENT).await;
        assert!(connections.pop(None).is_none() && connections.one.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_is_closed_after_twenty_seconds_of_rest() {
        let (tasks, mut connections) = (Tasks::default(), Connections::default());
        let start = Instant::now();
        let mut other_ends = Vec::new();
        for pause in [0, 5_000, 100] {
            advance(Duration::from_millis(pause)).await;
            let (http1, other_end) = http1(&tasks).await;
            connections.one.push((http1, Instant::now()));
            other_ends.push(other_end);
        }
        for (now, left, next) in [
            (12_000, 3, Some(20_000)),
            (19_999, 3, Some(20_999)),
            (20_000, 2, Some(25_000)),
            // Not again for the sake of a tenth of a second.
            (25_000, 1, Some(26_000)),
            (26_000, 0, None),
        ] {
            let now = Duration::from_millis(now);
            let next = next.map(|next| start + Duration::from_millis(next));
            assert_eq!(connections.close_rested(start + now), next, "{now:?}");
            assert_eq!(connections.one.len(), left, "{now:?}");
        }
    }

    /// A connection that others may share, and its other end.
    async fn http2(tasks: &Tasks, number: u64) -> (Http2, DuplexStream) {
        let (io, other_end) = duplex(64 << 10);
        let connection = http2::Connection::handshake(io, tasks, Arc::default()).await;
        let retires = Instant::now() + Duration::from_secs(600);
        let connection = connection.expect("room for the preface");
        (Http2 { connection, alert: Alert::default(), number, retires }, other_end)
    }

    #[tokio::test]
    async fn a_connection_that_has_failed_or_refused_a_request_is_passed_over_and_no_other() {
        let pool = Pool::default();
        let mut other_ends = Vec::new();
        for number in [1, 2] {
            let (http2, other_end) = http2(&pool.0.tasks, number).await;
            pool.lock().two.push(http2);
            other_ends.push(other_end);
        }
        let numbers = || pool.lock().two.iter().map(|http2| http2.number).collect::<Vec<_>>();
        assert!(pool.lock().stream(2).is_none(), "both may have failed");
        let (stream, alert) = pool.lock().stream(1).expect("the second has not failed");
        let lease = Lease { sender: Some(Sender::Http2(stream, alert)), reused: true, pool: pool.clone() };
        assert_eq!(numbers(), [1, 2]);
        pool.retire(&lease);
        assert_eq!(numbers(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_connection_is_closed_when_it_has_rested_and_not_while_it_is_used() {
        let (tasks, mut connections) = (Tasks::default(), Connections::default());
        let (http2, _other_end) = http2(&tasks, 1).await;
        connections.two.push(http2);
        let stream = connections.stream(0).expect("it is new");
        advance(2 * MAX_REST).await;
        assert!(connections.close_rested(Instant::now()).is_some(), "it is used");
        drop(stream);
        assert_eq!(connections.close_rested(Instant::now()), Some(Instant::now() + MAX_REST));
        advance(MAX_REST).await;
        assert_eq!(connections.close_rested(Instant::now()), None);
        assert!(connections.two.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_looked_through_as_long_as_there_are_any() {
        let pool = Pool::default();
        let mut other_ends = Vec::new();
        for (pause, left_before) in [(0, 0), (10, 1), (21, 0), (300, 0), (25, 0)] {
            sleep(Duration::from_secs(pause)).await;
            assert_eq!(pool.lock().one.len(), left_before, "{pause} s later");
            let (http1, other_end) = http1(&pool.0.tasks).await;
            Lease { sender: Some(Sender::Http1(http1)), reused: false, pool: pool.clone() }.give_back();
            other_ends.push(other_end);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_casts_doubt_on_what_has_answered_nothing_since() {
        let pool = Pool::default();
        let mut other_ends = Vec::new();
        for _ in 0..2 {
            advance(Duration::from_secs(5)).await;
            let (http1, other_end) = http1(&pool.0.tasks).await;
            pool.lock().one.push((http1, Instant::now()));
            other_ends.push(other_end);
        }
        let lease = Lease { sender: None, reused: false, pool: pool.clone() };
        pool.doubt(&lease, Duration::from_secs(4));
        assert_eq!(pool.lock().one.len(), 1);
    }
}
