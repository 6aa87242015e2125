//! An HTTP/2 connection to the upstream, which many requests share.
//!
//! It is h2's own, without hyper between: only h2 tells how many streams the upstream allows, whether a body came to its
//! end or was reset without an error, and whether the path is alive.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, Connection as Driver, SendRequest},
};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    sync::Notify,
    time::Instant,
};
use tracing::debug;

use super::{
    liveness::{Liveness, Observed},
    request_body::{Chunk, RequestBody},
    tasks::{Tasks, log_end},
};

/// How many requests share a connection at most. Servers are advised to allow no fewer (RFC 9113 section 6.5.2).
const MAX_STREAMS: usize = 100;

/// Until the upstream has said how many streams it allows, which its first frame does, one is enough: more might be
/// refused.
const STREAMS_UNTIL_TOLD: usize = 1;

/// What h2 says while it has not been told how many streams are allowed. No SETTINGS frame can say it.
const UNTOLD: usize = usize::MAX - 1;

/// How many bytes of an answer may have come that its client has not read yet: at 20 ms to the upstream and back,
/// 25 MB/s, and as much memory as HTTP/1.1 takes for a client that does not read.
const STREAM_WINDOW: u32 = 512 << 10;

/// Enough for all that share a connection: whoever does not read keeps nobody else's answer from coming.
const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;

/// The longest response head, in bytes, as its fields count when they are not compressed.
const MAX_HEAD: u32 = 64 << 10;

/// How much of a request body waits in the library for the system to take it, in bytes.
const SEND_BUFFER: usize = 1 << 20;

/// An open connection. It closes when this is dropped and its streams have ended.
pub(super) struct Connection {
    sender: SendRequest<Chunk>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// How many streams the upstream allows, as h2 says it.
    allowed: AtomicUsize,
    open: AtomicUsize,
    /// When the last stream ended.
    idle_since: Mutex<Instant>,
    liveness: Arc<Liveness>,
    /// Notified when there may be room for another stream.
    room: Arc<Notify>,
}

/// Whether a connection takes another request.
pub(super) enum Room {
    /// It does.
    Free(Stream),
    /// Not now.
    Full,
    /// Never again.
    Closed,
}

/// A stream that a request may open. There is room for another one when this is dropped.
pub(super) struct Stream {
    sender: SendRequest<Chunk>,
    state: Arc<State>,
}

impl Connection {
    /// Begins with HTTP/2 on `io`; `tasks` own what drives it, and `room` is notified when a request that has found no
    /// room should try again.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn handshake(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        tasks: &Tasks,
        room: Arc<Notify>,
    ) -> Result<Self, h2::Error> {
        let liveness = Arc::new(Liveness::default());
        let (sender, driver) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(UNTOLD)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(Observed::new(io, Arc::clone(&liveness)))
            .await?;
        let state = Arc::new(State {
            allowed: AtomicUsize::new(UNTOLD),
            open: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            liveness,
            room,
        });
        tasks.spawn(drive(driver, Arc::clone(&state)));
        Ok(Self { sender, state })
    }

    /// A stream for another request, if there is room for it, and the connection has not been idle for `max_idle`.
    pub(super) fn stream(&self, max_idle: Duration) -> Room {
        if self.idle_since().is_some_and(|since| since.elapsed() > max_idle) {
            return Room::Closed;
        }
        if self.state.is_full() || self.state.liveness.is_doubtful() {
            return Room::Full;
        }
        let mut sender = self.sender.clone();
        // A clone has no stream that waits to be opened: it is ready at once, or the connection has ended.
        match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                self.state.open.fetch_add(1, Ordering::Relaxed);
                Room::Free(Stream { sender, state: Arc::clone(&self.state) })
            }
            Poll::Ready(Err(_)) | Poll::Pending => Room::Closed,
        }
    }

    /// Since when there have been no streams; `None` while there are.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.state.open.load(Ordering::Relaxed) == 0;
        is_idle.then(|| *self.state.idle_since.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Until when a request that found no room should wait for what is about to be known: how many streams the upstream
    /// allows, which its first frame says, or whether the path is alive.
    pub(super) fn decides_by(&self, latest: Instant) -> Option<Instant> {
        if self.state.allowed.load(Ordering::Relaxed) == UNTOLD {
            return Some(latest);
        }
        self.state.liveness.decides_by()
    }

    /// Whether `stream` is one of this connection's.
    pub(super) fn has(&self, stream: &Stream) -> bool {
        Arc::ptr_eq(&self.state, &stream.state)
    }
}

impl State {
    fn is_full(&self) -> bool {
        let limit = match self.allowed.load(Ordering::Relaxed) {
            UNTOLD => STREAMS_UNTIL_TOLD,
            allowed => allowed.min(MAX_STREAMS),
        };
        self.open.load(Ordering::Relaxed) >= limit
    }

    fn learn_allowed(&self, allowed: usize) {
        if self.allowed.swap(allowed, Ordering::Relaxed) != allowed {
            self.room.notify_waiters();
        }
    }
}

/// Drives a connection until it has ended, or its path has turned out to be dead, which ends its streams.
async fn drive<I>(mut driver: Driver<I, Chunk>, state: Arc<State>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let ping_pong = driver.ping_pong().expect("it is asked for once");
    let driving = poll_fn(|context| {
        let ended = Pin::new(&mut driver).poll(context);
        state.learn_allowed(driver.max_concurrent_send_streams());
        ended
    });
    let is_busy = || state.open.load(Ordering::Relaxed) > 0;
    let dead = state.liveness.watch(ping_pong, is_busy, || state.room.notify_waiters());
    select! {
        biased;
        ended = driving => log_end(ended),
        () = dead => debug!("connection to the upstream closed: it answered no PING"),
    }
    drop(driver);
    state.room.notify_waiters();
}

impl Stream {
    /// Sends a request and waits for the response head, which may come before the end of the request body.
    ///
    /// # Errors
    /// When the stream is reset or the connection breaks.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Download>, SendError> {
        let (parts, body) = request.into_parts();
        let is_bodiless = body.is_end_stream();
        let opened = self.sender.send_request(Request::from_parts(parts, ()), is_bodiless);
        let (mut response, stream) = opened.map_err(|error| SendError { error, unsent: true })?;
        let mut upload = (!is_bodiless).then(|| Upload { stream, body, held: None });
        let response = poll_fn(|context| {
            poll_upload(&mut upload, context);
            Pin::new(&mut response).poll(context)
        });
        match response.await {
            Ok(response) => Ok(response.map(|stream| Download { stream, upload, data_has_ended: false })),
            Err(error) => Err(SendError { unsent: is_unprocessed(&error), error }),
        }
    }

    /// Notes that the stream has been silent for too long: whether the path is dead is found out, and until then new
    /// requests go elsewhere.
    pub(super) fn doubt(&self) {
        self.state.liveness.doubt();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.state.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.state.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        self.state.room.notify_waiters();
    }
}

/// A failed request.
#[derive(Debug)]
pub(super) struct SendError {
    pub(super) error: h2::Error,
    /// The upstream has not begun with the request.
    pub(super) unsent: bool,
}

/// Whether the upstream says that it has not begun with a request: it refused the stream, wants it over HTTP/1.1, or is
/// going away and had not seen it yet (RFC 9113 sections 6.8, 7 and 8.7).
fn is_unprocessed(error: &h2::Error) -> bool {
    // h2 gives this error to the streams above the last one that the GOAWAY frame names, and to no others.
    let is_above_last = error.is_go_away();
    let is_refused =
        matches!(error.reason(), Some(h2::Reason::REFUSED_STREAM | h2::Reason::HTTP_1_1_REQUIRED));
    error.is_remote() && (is_above_last || (error.is_reset() && is_refused))
}

/// A request body on its way up.
struct Upload {
    stream: SendStream<Chunk>,
    body: RequestBody,
    /// Waits for the upstream's window to have room.
    held: Option<Chunk>,
}

/// Goes on with an upload, and drops one that has ended.
fn poll_upload(upload: &mut Option<Upload>, context: &mut Context<'_>) {
    if upload.as_mut().is_some_and(|upload| upload.poll(context).is_ready()) {
        *upload = None;
    }
}

impl Upload {
    /// Ready when the whole body has been given to the library, or the upstream wants no more of it, about which the
    /// response says more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Registers for a reset, which must not wait for the window or for the next chunk.
            if self.stream.poll_reset(context).is_ready() {
                return Poll::Ready(());
            }
            let Some(chunk) = self.held.take() else {
                let Some(chunk) = ready!(self.body.poll_chunk(context)) else { return Poll::Ready(()) };
                // The library asks for the rest when it has the chunk. To claim more before would keep other streams from
                // the window that all share.
                self.stream.reserve_capacity(1);
                self.held = Some(chunk);
                continue;
            };
            if self.stream.capacity() == 0 {
                match self.stream.poll_capacity(context) {
                    Poll::Ready(Some(Ok(_))) => {
                        self.held = Some(chunk);
                        continue;
                    }
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                    Poll::Pending => {
                        self.held = Some(chunk);
                        return Poll::Pending;
                    }
                }
            }
            let is_last = self.body.is_end_stream();
            if self.stream.send_data(chunk, is_last).is_err() || is_last {
                return Poll::Ready(());
            }
        }
    }
}

/// A response body on its way down, and what is left of the request body. Dropped before its end, it resets the stream.
pub(super) struct Download {
    stream: RecvStream,
    upload: Option<Upload>,
    data_has_ended: bool,
}

impl Download {
    /// The next frame; `None` after END_STREAM only, which a reset is not, whatever its reason.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        poll_upload(&mut self.upload, context);
        if !self.data_has_ended {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(bytes)) => {
                    // Fails for a stream that has ended, which needs no window any more.
                    let _ = self.stream.flow_control().release_capacity(bytes.len());
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_has_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    /// Whether the stream has ended, after what has come and nobody reads any more.
    pub(super) fn has_ended(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = self.poll_frame(&mut context) {}
        self.is_end_stream()
    }

    /// Whether END_STREAM has come, and nothing is left before it.
    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{DuplexStream, duplex},
        time::advance,
    };

    use super::*;

    const MAX_IDLE: Duration = Duration::from_secs(20);

    /// A connection whose other end says nothing.
    async fn connection(tasks: &Tasks) -> (Connection, DuplexStream) {
        let (io, other_end) = duplex(64 << 10);
        let connection =
            Connection::handshake(io, tasks, Arc::default()).await.expect("room for the preface");
        (connection, other_end)
    }

    fn stream(connection: &Connection) -> Stream {
        match connection.stream(MAX_IDLE) {
            Room::Free(stream) => stream,
            Room::Full => panic!("full"),
            Room::Closed => panic!("closed"),
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
        assert!(matches!(connection.stream(MAX_IDLE), Room::Closed));
    }

    #[tokio::test]
    async fn one_stream_is_opened_until_the_upstream_says_how_many_it_allows_and_a_hundred_at_most() {
        let tasks = Tasks::default();
        let (connection, _other_end) = connection(&tasks).await;
        for (allowed, expected) in [(UNTOLD, 1), (0, 0), (1, 1), (99, 99), (250, 100)] {
            connection.state.learn_allowed(allowed);
            let mut open = Vec::new();
            while let Room::Free(stream) = connection.stream(MAX_IDLE) {
                open.push(stream);
            }
            assert_eq!(open.len(), expected, "{allowed} allowed");
        }
    }

    #[tokio::test]
    async fn a_doubtful_connection_takes_no_request() {
        let tasks = Tasks::default();
        let (connection, _other_end) = connection(&tasks).await;
        stream(&connection).doubt();
        assert!(matches!(connection.stream(MAX_IDLE), Room::Full));
    }
}
