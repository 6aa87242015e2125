//! The connection of a client and one of the upstream, joined after a handshake until either side ends it.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep, timeout},
};
use tracing::debug;

use super::{
    close_code::ClosedBy, closing::Closing, flow::Flow, frame_reader::Direction, observer::Observer,
};
use crate::{downstream::UpgradedClient, upstream::UpgradedConnection};

/// How long both sides may take to close their connections when the WebSocket is over: after a Close each way, or when
/// it was silent for too long.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// An open tunnel.
pub(super) struct Tunnel {
    client: UpgradedClient,
    upstream: UpgradedConnection,
    up: Flow,
    down: Flow,
    observer: Observer,
    idle_timeout: Duration,
    /// Its share of `max-tunnels`.
    _place: OwnedSemaphorePermit,
}

/// Why a tunnel ends.
#[derive(Debug)]
enum End {
    /// Both sides have closed.
    Closed,
    /// The client has closed both halves, and the upstream has not.
    ClientGone,
    /// Reading from a side failed.
    Broken(Direction, io::Error),
    /// Nothing passed for the idle timeout.
    Idle,
    /// The process is asked to end.
    Shutdown,
}

impl Tunnel {
    pub(super) fn new(
        client: UpgradedClient,
        upstream: UpgradedConnection,
        observer: Observer,
        idle_timeout: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let (up, down) = (Flow::default(), Flow::default());
        Self { client, upstream, up, down, observer, idle_timeout, _place: place }
    }

    /// Passes bytes both ways until the tunnel ends.
    pub(super) async fn run(mut self) {
        let end = self.pass().await;
        match &end {
            End::Shutdown => self.observer.closed_by(ClosedBy::Shutdown),
            End::Idle => self.observer.closed_by(ClosedBy::Idle),
            End::ClientGone => self.observer.disconnected_by(ClosedBy::Client),
            End::Broken(direction, error) => {
                debug!(%error, direction = direction.as_str(), "reading from a side of a tunnel failed");
                self.observer.disconnected_by((*direction).into());
            }
            End::Closed => {}
        }
        match &end {
            // The connection limits it to `drain-timeout`.
            End::Shutdown => self.close("the proxy is shutting down").await,
            End::Idle => {
                // A side that does not close by then is cut off.
                let _ = timeout(CLOSE_GRACE, self.close("nothing was sent for too long")).await;
            }
            End::Closed | End::ClientGone | End::Broken(..) => {}
        }
        debug!(?end, bytes = self.observer.passed(), "tunnel ended");
    }

    /// Passes bytes both ways until there is a reason to end.
    async fn pass(&mut self) -> End {
        let mut silence = Silence::new(self.idle_timeout);
        poll_fn(|context| {
            let end = self.poll_both(context, |observer, direction, bytes| {
                observer.observe(direction, bytes);
                bytes.len()
            });
            self.observe_ends();
            if let Some(end) = end {
                return Poll::Ready(end);
            }
            // Asked only now: until the end of its input the client is there, and to ask costs a timer.
            if self.up.has_ended() && self.client.gone.as_mut().poll(context).is_ready() {
                return Poll::Ready(End::ClientGone);
            }
            if self.client.shutdown.as_mut().poll(context).is_ready() {
                return Poll::Ready(End::Shutdown);
            }
            let is_over = [Direction::Up, Direction::Down].iter().all(|&side| self.observer.has_closed(side));
            if is_over {
                // Nothing more may pass. A side that keeps its connection would hold one of `max-tunnels`.
                silence.shorten(CLOSE_GRACE);
            }
            silence.poll(context, self.observer.passed()).map(|()| End::Idle)
        })
        .await
    }

    /// Tells the observer whose connection has ended.
    fn observe_ends(&mut self) {
        let (client, upstream) = (ClosedBy::Client, ClosedBy::Upstream);
        for (flow, sender, receiver) in [(&self.up, client, upstream), (&self.down, upstream, client)] {
            if flow.is_input_over() {
                let by = if flow.is_cut_by_receiver() { receiver } else { sender };
                self.observer.disconnected_by(by);
            }
        }
    }

    /// Polls both directions; why the tunnel ends, if it does.
    fn poll_both(
        &mut self,
        context: &mut Context<'_>,
        mut watch: impl FnMut(&mut Observer, Direction, &[u8]) -> usize,
    ) -> Option<End> {
        let Self { client, upstream, up, down, observer, .. } = self;
        let client = &mut client.stream;
        let up = up.poll(context, client, upstream, |bytes| watch(observer, Direction::Up, bytes));
        if let Poll::Ready(Err(error)) = up {
            return Some(End::Broken(Direction::Up, error));
        }
        let down = down.poll(context, upstream, client, |bytes| watch(observer, Direction::Down, bytes));
        if let Poll::Ready(Err(error)) = down {
            return Some(End::Broken(Direction::Down, error));
        }
        (up.is_ready() && down.is_ready()).then_some(End::Closed)
    }

    /// Sends both sides a Close frame behind the frame that is being sent, and waits until both have closed. What they
    /// send meanwhile is discarded.
    async fn close(&mut self, reason: &str) {
        let mut up = Closing::begin(Direction::Up, &self.observer, reason);
        let mut down = Closing::begin(Direction::Down, &self.observer, reason);
        poll_fn(|context| {
            loop {
                let ended = self.poll_both(context, |observer, direction, bytes| match direction {
                    Direction::Up => up.watch(observer, bytes),
                    Direction::Down => down.watch(observer, bytes),
                });
                if ended.is_some() {
                    return Poll::Ready(());
                }
                let pushed =
                    [up.push(&self.observer, &mut self.up), down.push(&self.observer, &mut self.down)];
                // What was pushed has not been written yet.
                if pushed == [false, false] {
                    return if self.is_closed() { Poll::Ready(()) } else { Poll::Pending };
                }
            }
        })
        .await;
        // Either fails when its side has closed already.
        let _ = self.upstream.shutdown().await;
        let _ = self.client.stream.shutdown().await;
    }

    /// Whether each side has closed, and has got the other's Close.
    fn is_closed(&self) -> bool {
        let has_closed = |flow: &Flow, direction| flow.is_input_over() || self.observer.has_closed(direction);
        self.up.is_written()
            && self.down.is_written()
            && has_closed(&self.up, Direction::Up)
            && has_closed(&self.down, Direction::Down)
    }
}

/// Ends when nothing has passed for a time.
struct Silence {
    limit: Duration,
    /// How much had passed, and since when.
    passed: u64,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        Self { limit, passed: 0, since: Instant::now(), timer: Box::pin(sleep(limit)) }
    }

    /// Lets it end after `limit` from now, once.
    fn shorten(&mut self, limit: Duration) {
        if self.limit > limit {
            (self.limit, self.since) = (limit, Instant::now());
            self.timer.as_mut().reset(self.since + limit);
        }
    }

    /// Looks at the clock, and not at the timer, whenever something has passed: to reset a timer for every message would
    /// cost more than to pass it.
    fn poll(&mut self, context: &mut Context<'_>, passed: u64) -> Poll<()> {
        if passed != self.passed {
            (self.passed, self.since) = (passed, Instant::now());
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let end = self.since + self.limit;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_its_limit_from_what_passed_last_and_earlier_when_shortened() {
        let second = Duration::from_secs(1);
        let mut silence = Silence::new(10 * second);
        let start = Instant::now();
        let is_over = |silence: &mut Silence, passed| {
            let polled = silence.poll(&mut Context::from_waker(std::task::Waker::noop()), passed);
            polled.is_ready()
        };
        tokio::time::advance(9 * second).await;
        assert!(!is_over(&mut silence, 1));
        tokio::time::advance(9 * second).await;
        assert!(!is_over(&mut silence, 1), "something passed 9 seconds ago");
        silence.shorten(3 * second);
        tokio::time::advance(2 * second).await;
        silence.shorten(3 * second);
        assert!(!is_over(&mut silence, 1));
        poll_fn(|context| silence.poll(context, 1)).await;
        assert_eq!(start.elapsed().as_secs(), 21);
    }
}
