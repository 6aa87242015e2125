//! The open connections of a pool.

use std::time::Duration;

use hyper::client::conn::http1;
use tokio::{task::AbortHandle, time::Instant};

use super::MAX_IDLE;
use crate::upstream::{
    connection::Alert,
    http2::{self, StreamCapacity},
    request_body::RequestBody,
};

/// The shortest time between two sweeps for connections that are idle for too long.
const MIN_SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The open connections to one upstream.
#[derive(Default)]
pub(super) struct Connections {
    /// Idle ones, each with the time at which it was returned. Last in, first out: the connections in use stay warm,
    /// and the surplus of a burst grows old and is closed.
    pub(super) http1: Vec<(Http1, Instant)>,
    /// The oldest first.
    pub(super) http2: Vec<Http2>,
    /// Whether the newest connection is HTTP/1.1, so that requests cannot share the next one either.
    pub(super) is_http1: bool,
    /// How many connections have been made.
    pub(super) made: u64,
    /// Whether a task closes idle connections.
    pub(super) has_sweeper: bool,
}

/// An HTTP/1.1 connection and the task that drives it.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<RequestBody>,
    pub(super) driver: AbortHandle,
    pub(super) alert: Alert,
    /// After this it takes no more requests.
    pub(super) expires: Instant,
}

/// An HTTP/2 connection, which stays in the pool while requests use it.
pub(super) struct Http2 {
    pub(super) connection: http2::Connection,
    pub(super) alert: Alert,
    /// Which connection of the pool it is, counted from one.
    pub(super) number: u64,
    /// After this it takes no more requests; its current ones continue.
    pub(super) expires: Instant,
}

/// What sends a request: an idle connection, or a stream of a shared one.
pub(super) enum Sender {
    Http1(Http1),
    Http2(http2::Stream, Alert),
}

impl Connections {
    /// Takes a connection, or a stream of one, for a request. With `newer_than`, of those made after the first so many.
    pub(super) fn take(&mut self, newer_than: Option<u64>) -> Option<Sender> {
        if let Some((stream, alert)) = self.reserve_stream(newer_than.unwrap_or(0)) {
            return Some(Sender::Http2(stream, alert));
        }
        // What closed the connection that failed may have closed every idle one as well.
        if newer_than.is_some() {
            return None;
        }
        let (http1, since) = self.http1.pop()?;
        if since.elapsed() > MAX_IDLE {
            // Those below it have been idle even longer.
            self.http1.clear();
            return None;
        }
        Some(Sender::Http1(http1))
    }

    /// Returns an HTTP/1.1 connection, which is idle from now on.
    pub(super) fn put_back(&mut self, http1: Http1, now: Instant) {
        self.http1.push((http1, now));
    }

    /// Closes the HTTP/1.1 connections that have been idle for at least `silence`.
    pub(super) fn close_http1_idle_for(&mut self, silence: Duration) {
        self.http1.retain(|(_, since)| since.elapsed() < silence);
    }

    /// A stream on the oldest connection that has one, so that the newer ones become idle and are closed.
    pub(super) fn reserve_stream(&mut self, newer_than: u64) -> Option<(http2::Stream, Alert)> {
        // With HTTP/1.1 this saves reading the clock.
        if self.http2.is_empty() {
            return None;
        }
        let (mut found, now) = (None, Instant::now());
        self.http2.retain(|http2| {
            if http2.expires <= now {
                return false;
            }
            if found.is_some() || http2.number <= newer_than {
                return true;
            }
            match http2.connection.reserve_stream(MAX_IDLE) {
                StreamCapacity::Available(stream) => {
                    found = Some((stream, http2.alert.clone()));
                    true
                }
                StreamCapacity::Full => true,
                StreamCapacity::Closed => false,
            }
        });
        found
    }

    /// Until when a request that found no stream should wait for a connection to find out whether it has one; `None` if
    /// there is nothing to wait for.
    pub(super) fn wait_until(&self, latest: Instant) -> Option<Instant> {
        let times = self.http2.iter().filter_map(|http2| http2.connection.wait_until(latest));
        times.filter(|time| *time > Instant::now()).min()
    }

    /// Closes the connections that are idle for too long. Returns when to look again, unless none are left.
    pub(super) fn close_idle(&mut self, now: Instant) -> Option<Instant> {
        let may_stay = |since: Instant| now.duration_since(since) < MAX_IDLE;
        self.http1.retain(|(_, since)| may_stay(*since));
        self.http2.retain(|http2| http2.connection.idle_since().is_none_or(may_stay));
        let http1 = self.http1.iter().map(|(_, since)| *since);
        let http2 = self.http2.iter().map(|http2| http2.connection.idle_since().unwrap_or(now));
        let oldest = http1.chain(http2).min()?;
        // Without a shortest interval each connection of a burst would wake the task.
        Some((oldest + MAX_IDLE).max(now + MIN_SWEEP_INTERVAL))
    }
}
