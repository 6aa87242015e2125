//! The connections to one upstream: idle ones for the next request, shared ones, and the lock to make another.

mod connections;
mod lease;

use std::{
    fmt,
    ops::Range,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::Version;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    select,
    sync::{self, Notify},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    connection::Connection,
    connection_tasks::{Tasks, log_end},
    http2::{self, StreamCapacity},
};
use connections::{Connections, Http1, Http2, Sender};

pub(super) use lease::{Lease, SendError, SendFailure};

/// How long a connection may be idle before it is closed. Shorter than the idle timeouts of gateways and load balancers
/// (60 s is the default of an ALB), so that a request does not meet a connection that the other end is just closing.
const MAX_IDLE: Duration = Duration::from_secs(20);

/// How long to wait for a returned connection to become ready, which takes its task one poll.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection is used, in seconds, however busy it is: names are looked up for new connections only, so that
/// this is how long a moved name may go unnoticed. Random, so that connections made together are not replaced together.
const MAX_AGE_SECONDS: Range<u64> = 8 * 60..12 * 60;

/// All connections to one upstream.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    connections: Mutex<Connections>,
    /// Held by the request that makes a connection which others may share.
    connect_lock: sync::Mutex<()>,
    /// Notified when a request that found no free stream should look again.
    capacity_changed: Arc<Notify>,
    tasks: Tasks,
}

/// How a request gets a connection.
pub(super) enum Checkout<'a> {
    /// By taking an open one.
    Open(Lease),
    /// By making one. While the guard is held, others wait to share it. There is no guard when the upstream speaks
    /// HTTP/1.1, where each request needs its own connection.
    Connect(Option<sync::MutexGuard<'a, ()>>),
}

impl Pool {
    /// An open connection that takes a request. With `newer_than`, one that was made after the first so many, which may
    /// all have failed.
    pub(super) async fn take(&self, newer_than: Option<u64>) -> Option<Lease> {
        loop {
            let sender = self.lock().take(newer_than)?;
            let mut lease = Lease::new(sender, true, self.clone());
            if matches!(timeout(READY_TIMEOUT, lease.ready()).await, Ok(true)) {
                return Some(lease);
            }
        }
    }

    /// Waits until `latest` for an open connection that takes a request, or for the lock to make one. When many
    /// requests find none, the first makes a connection that a hundred can share.
    pub(super) async fn checkout(&self, newer_than: Option<u64>, latest: Instant) -> Checkout<'_> {
        loop {
            // Must come before the connections are checked, or a notification in between would be lost.
            let mut capacity_changed = pin!(self.0.capacity_changed.notified());
            if let Some(lease) = self.take(newer_than).await {
                return Checkout::Open(lease);
            }
            if self.lock().is_http1 {
                return Checkout::Connect(None);
            }
            let connect_lock = select! {
                biased;
                guard = self.0.connect_lock.lock() => guard,
                () = capacity_changed.as_mut() => continue,
                () = sleep_until(latest) => return Checkout::Connect(None),
            };
            // The request that held the lock before may have made a connection.
            if let Some(lease) = self.take(newer_than).await {
                return Checkout::Open(lease);
            }
            let wait_until = match &*self.lock() {
                Connections { is_http1: true, .. } => return Checkout::Connect(None),
                connections => connections.wait_until(latest),
            };
            let Some(deadline) = wait_until else { return Checkout::Connect(Some(connect_lock)) };
            drop(connect_lock);
            // The notification and the deadline both lead to another look.
            let _ = timeout_at(deadline, capacity_changed).await;
        }
    }

    /// How many connections have been made so far.
    pub(super) fn made(&self) -> u64 {
        self.lock().made
    }

    /// Reacts to a request without a response for `silence`, after which the path may be dead. Closes the idle HTTP/1.1
    /// connections that have answered nothing since, and has an HTTP/2 connection prove itself by a PING. Current
    /// requests continue.
    pub(super) fn suspect(&self, lease: &Lease, silence: Duration) {
        match lease.stream() {
            Some(stream) => stream.suspect(),
            None => self.lock().close_http1_idle_for(silence),
        }
    }

    /// Gives the connection no more requests, since it has refused one. Current requests continue.
    pub(super) fn retire(&self, lease: &Lease) {
        if let Some(stream) = lease.stream() {
            self.lock().http2.retain(|http2| !http2.connection.has(stream));
        }
    }

    /// Gives HTTP/2 connections no more requests, since the upstream wants HTTP/1.1.
    pub(super) fn retire_http2(&self) {
        let mut connections = self.lock();
        connections.http2.clear();
        connections.is_http1 = true;
    }

    /// Has requests wait for each other's connections again, since the next one may be HTTP/2.
    pub(super) fn allow_sharing(&self) {
        self.lock().is_http1 = false;
    }

    /// Starts HTTP on a new connection, in the version that TLS agreed on.
    pub(super) async fn handshake(&self, connection: Connection) -> Result<Lease, SendError> {
        let is_http1 = connection.version() != Version::HTTP_2;
        self.lock().is_http1 = is_http1;
        let alert = connection.alert();
        let expires = Instant::now() + Duration::from_secs(rand::random_range(MAX_AGE_SECONDS));
        let sender = if is_http1 {
            let io = TokioIo::new(connection);
            let (sender, driver) = http1::Builder::new().handshake(io).await.map_err(SendError::Http1)?;
            // A separate task costs 2 % of the CPU of a small GET. If the task of the request drove the connection, not
            // even the head of a response that breaks off early would arrive.
            let driver = self.0.tasks.spawn(async move { log_end(driver.await) });
            self.lock().made += 1;
            Sender::Http1(Http1 { sender, driver, alert, expires })
        } else {
            let capacity_changed = Arc::clone(&self.0.capacity_changed);
            let connection = http2::Connection::handshake(connection, &self.0.tasks, capacity_changed).await;
            let connection = connection.map_err(SendError::Http2)?;
            // Taken before the connection is in the pool, where another request could take the only stream.
            let StreamCapacity::Available(stream) = connection.reserve_stream(MAX_IDLE) else {
                return Err(SendError::Http2(h2::Reason::NO_ERROR.into()));
            };
            let mut connections = self.lock();
            connections.made += 1;
            let number = connections.made;
            connections.http2.push(Http2 { connection, alert: alert.clone(), number, expires });
            self.ensure_sweeper(&mut connections);
            Sender::Http2(stream, alert)
        };
        Ok(Lease::new(sender, false, self.clone()))
    }

    /// Starts HTTP/1.1 on a connection for one request, which may end HTTP on it.
    pub(super) async fn handshake_alone(&self, connection: Connection) -> Result<Lease, SendError> {
        let (alert, expires) = (connection.alert(), Instant::now());
        let io = TokioIo::new(connection);
        let (sender, driver) = http1::Builder::new().handshake(io).await.map_err(SendError::Http1)?;
        let driver = self.0.tasks.spawn(async move { log_end(driver.with_upgrades().await) });
        let sender = Sender::Http1(Http1 { sender, driver, alert, expires });
        Ok(Lease::alone(sender, self.clone()))
    }

    /// Starts the task that closes idle connections, unless it runs already. Without it they would stay open until the
    /// next request.
    fn ensure_sweeper(&self, connections: &mut Connections) {
        if !std::mem::replace(&mut connections.has_sweeper, true) {
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

/// Closes connections that are idle for too long, until none are left. Holds the pool weakly: the pool owns this task.
async fn sweep(pool: Weak<Shared>) {
    let mut next = Instant::now() + MAX_IDLE;
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut connections = pool.lock();
        match connections.close_idle(Instant::now()) {
            Some(time) => next = time,
            None => {
                connections.has_sweeper = false;
                return;
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

#[cfg(test)]
mod tests;
