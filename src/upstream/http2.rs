//! An HTTP/2 connection to the upstream, which many requests share.
//!
//! It uses h2 without hyper in between, for three things that hyper hides: how many streams the upstream allows,
//! whether a body ended or was reset without an error (hyper ends both alike), and whether the upstream answers a PING.

mod stream;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use h2::client::{Builder, Connection as Driver, SendRequest};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    sync::Notify,
    time::Instant,
};
use tracing::debug;

use super::{
    connection_tasks::{Tasks, log_end},
    liveness::{Liveness, MonitoredIo},
    request_body::Chunk,
};

pub(super) use stream::{Download, SendError, Stream};

/// How many requests share a connection at most. RFC 9113 section 6.5.2 advises servers to allow no fewer.
const MAX_STREAMS: usize = 100;

/// How many streams are opened before the SETTINGS frame, the upstream's first, has said how many it allows: it may
/// refuse more.
const STREAMS_BEFORE_SETTINGS: usize = 1;

/// The limit that h2 reports until the SETTINGS frame has come. That frame has 32 bits, and cannot say this number.
const NO_SETTINGS_YET: usize = usize::MAX - 1;

/// How many bytes of a response may arrive before its client reads them. With a round trip of 20 ms that allows 25
/// MB/s, and for a client that does not read it takes less memory than HTTP/1.1 does, where hyper reads 816 KiB ahead. A
/// fixed size costs 10 % less CPU for a GET of 1 MB than h2's adaptive window, and 18 % less for 100 MB.
const STREAM_WINDOW: u32 = 512 << 10;

/// Enough for all streams of a connection, so that a client that does not read blocks no other response.
const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;

/// The longest response head, in bytes before compression.
const MAX_HEAD: u32 = 64 << 10;

/// How much of a request body h2 may buffer for the socket, in bytes.
const SEND_BUFFER: usize = 1 << 20;

/// An open connection. It closes once this has been dropped and its streams have ended.
pub(super) struct Connection {
    sender: SendRequest<Chunk>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// How many streams the upstream allows, as h2 reports it.
    max_streams: AtomicUsize,
    open: AtomicUsize,
    /// When the last stream ended.
    idle_since: Mutex<Instant>,
    liveness: Arc<Liveness>,
    /// Notified when another stream may be available.
    capacity_changed: Arc<Notify>,
}

/// Whether a connection takes another request, and the stream for it.
pub(super) enum StreamCapacity {
    Available(Stream),
    /// Not now.
    Full,
    /// Never again.
    Closed,
}

impl Connection {
    /// Starts HTTP/2 on `io`. `tasks` own the task that drives it, and `capacity_changed` is notified when a request
    /// that found no stream should try again.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn handshake(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        tasks: &Tasks,
        capacity_changed: Arc<Notify>,
    ) -> Result<Self, h2::Error> {
        let liveness = Arc::new(Liveness::default());
        let (sender, driver) = Builder::new()
            // No request would wait for a pushed response.
            .enable_push(false)
            .initial_max_send_streams(NO_SETTINGS_YET)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(MonitoredIo::new(io, Arc::clone(&liveness)))
            .await?;
        let state = Arc::new(State {
            max_streams: AtomicUsize::new(NO_SETTINGS_YET),
            open: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            liveness,
            capacity_changed,
        });
        tasks.spawn(drive(driver, Arc::clone(&state)));
        Ok(Self { sender, state })
    }

    /// A stream for another request, unless the connection has none left or has been idle for `max_idle`.
    pub(super) fn reserve_stream(&self, max_idle: Duration) -> StreamCapacity {
        if self.idle_since().is_some_and(|since| since.elapsed() > max_idle) {
            return StreamCapacity::Closed;
        }
        if self.state.is_full() || self.state.liveness.is_suspect() {
            return StreamCapacity::Full;
        }
        let mut sender = self.sender.clone();
        // Polled once only: a new clone has no stream that waits to be opened, so that it is ready unless the
        // connection ended.
        match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                self.state.open.fetch_add(1, Ordering::Relaxed);
                StreamCapacity::Available(Stream { sender, state: Arc::clone(&self.state) })
            }
            Poll::Ready(Err(_)) | Poll::Pending => StreamCapacity::Closed,
        }
    }

    /// Since when there have been no streams; `None` while there are some.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.state.open.load(Ordering::Relaxed) == 0;
        is_idle.then(|| *self.state.idle_since.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Until when a request that found no stream should wait for this connection: for the SETTINGS frame, or for the
    /// answer to a PING. `None` if neither is outstanding.
    pub(super) fn wait_until(&self, latest: Instant) -> Option<Instant> {
        if self.state.max_streams.load(Ordering::Relaxed) == NO_SETTINGS_YET {
            return Some(latest);
        }
        self.state.liveness.wait_until()
    }

    /// Whether `stream` is one of this connection's.
    pub(super) fn has(&self, stream: &Stream) -> bool {
        Arc::ptr_eq(&self.state, &stream.state)
    }
}

impl State {
    fn is_full(&self) -> bool {
        let limit = match self.max_streams.load(Ordering::Relaxed) {
            NO_SETTINGS_YET => STREAMS_BEFORE_SETTINGS,
            max_streams => max_streams.min(MAX_STREAMS),
        };
        self.open.load(Ordering::Relaxed) >= limit
    }

    fn set_max_streams(&self, max_streams: usize) {
        if self.max_streams.swap(max_streams, Ordering::Relaxed) != max_streams {
            self.capacity_changed.notify_waiters();
        }
    }
}

/// Drives a connection until it ends or its path proves dead. Then the drop of the driver ends its streams.
async fn drive<I>(mut driver: Driver<I, Chunk>, state: Arc<State>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let ping_pong = driver.ping_pong().expect("it is asked for once");
    let driving = poll_fn(|context| {
        let ended = Pin::new(&mut driver).poll(context);
        // After every poll, since the upstream may change the limit at any time.
        state.set_max_streams(driver.max_concurrent_send_streams());
        ended
    });
    let is_busy = || state.open.load(Ordering::Relaxed) > 0;
    let dead = state.liveness.watch(ping_pong, is_busy, || state.capacity_changed.notify_waiters());
    select! {
        biased;
        ended = driving => log_end(ended),
        () = dead => debug!("upstream connection closed, the upstream answered no PING"),
    }
    // Before the notification, so that the requests which look again find the connection closed.
    drop(driver);
    state.capacity_changed.notify_waiters();
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use http::Request;
    use tokio::{
        io::{AsyncReadExt, DuplexStream, duplex},
        time::advance,
    };

    use super::*;
    use crate::upstream::request_body::{OutgoingBody, RequestBody};

    const MAX_IDLE: Duration = Duration::from_secs(20);

    /// A connection whose other end says nothing.
    async fn connection(tasks: &Tasks) -> (Connection, DuplexStream) {
        let (io, other_end) = duplex(64 << 10);
        let connection =
            Connection::handshake(io, tasks, Arc::default()).await.expect("room for the preface");
        (connection, other_end)
    }

    fn stream(connection: &Connection) -> Stream {
        match connection.reserve_stream(MAX_IDLE) {
            StreamCapacity::Available(stream) => stream,
            StreamCapacity::Full => panic!("full"),
            StreamCapacity::Closed => panic!("closed"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_since_its_last_stream_ended_and_for_so_long_only() {
        let tasks = Tasks::default();
        let (connection, _other_end) = connection(&tasks).await;
        let open = stream(&connection);
        advance(2 * MAX_IDLE).await;
        assert_eq!(connection.idle_since(), None);
        drop(open);
        assert_eq!(connection.idle_since(), Some(Instant::now()));
        advance(MAX_IDLE).await;
        drop(stream(&connection));
        advance(MAX_IDLE + Duration::from_millis(1)).await;
        assert!(matches!(connection.reserve_stream(MAX_IDLE), StreamCapacity::Closed));
    }

    #[tokio::test]
    async fn one_stream_is_opened_until_the_upstream_says_how_many_it_allows_and_a_hundred_at_most() {
        let tasks = Tasks::default();
        let (connection, _other_end) = connection(&tasks).await;
        for (allowed, expected) in [(NO_SETTINGS_YET, 1), (0, 0), (1, 1), (99, 99), (250, 100)] {
            connection.state.set_max_streams(allowed);
            let mut open = Vec::new();
            while let StreamCapacity::Available(stream) = connection.reserve_stream(MAX_IDLE) {
                open.push(stream);
            }
            assert_eq!(open.len(), expected, "{allowed} allowed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_at_hand_is_written_with_its_head_and_waits_for_no_other_poll() {
        let tasks = Tasks::default();
        let (connection, mut other_end) = connection(&tasks).await;
        let body =
            OutgoingBody::Collected { chunks: Arc::new([Bytes::from_static(b"a small body")]), length: 12 };
        let request = Request::post("https://localhost/").body(RequestBody::new(body)).expect("valid");
        let mut stream = stream(&connection);
        let mut response = pin!(stream.send(request));
        let polled = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        let mut written = Vec::new();
        while !written.ends_with(b"a small body") {
            // The connection closes when nothing answers its PING.
            let read = other_end.read_buf(&mut written).await.expect("open");
            assert!(read > 0, "the body did not follow its head");
        }
    }

    #[tokio::test]
    async fn a_doubtful_connection_takes_no_request() {
        let tasks = Tasks::default();
        let (connection, _other_end) = connection(&tasks).await;
        stream(&connection).suspect();
        assert!(matches!(connection.reserve_stream(MAX_IDLE), StreamCapacity::Full));
    }
}
