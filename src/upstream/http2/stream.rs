//! One stream of an HTTP/2 connection: the request body on its way up, and the response body on its way down.

use std::{
    fmt,
    future::{Future, poll_fn},
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::time::Instant;

use super::{STREAM_WINDOW, State};
use crate::upstream::request_body::{Chunk, RequestBody};

/// How much of a response may have been read before the upstream is allowed to send as much again, in bytes. h2 writes
/// a WINDOW_UPDATE once half as much is released as is left of the window, so that releasing every frame made 1,600 of
/// them for 100 MB, one for each pause of the body; halves of the window make 400, and leave the upstream the other half
/// to send meanwhile.
const RELEASE_STEP: usize = STREAM_WINDOW as usize / 2;

/// A reserved stream, which one request may open. Dropping this makes it available again.
pub(in crate::upstream) struct Stream {
    pub(super) sender: SendRequest<Chunk>,
    pub(super) state: Arc<State>,
}

impl Stream {
    /// Sends a request. The future waits for the response head, which may come before the end of the request body, and
    /// has no room for the request, which is on its way before.
    ///
    /// # Errors
    /// When the stream is reset or the connection breaks.
    pub(in crate::upstream) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Download>, SendError>> + use<> {
        let (parts, body) = request.into_parts();
        let has_no_body = body.is_end_stream();
        let opened = self.sender.send_request(Request::from_parts(parts, ()), has_no_body);
        let sent = opened.map(|(response, stream)| {
            (response, (!has_no_body).then(|| Upload { stream, body, pending: None, has_begun: false }))
        });
        async move {
            let (mut response, mut upload) = sent.map_err(|error| SendError { error, unsent: true })?;
            let response = poll_fn(|context| {
                poll_upload(&mut upload, context);
                Pin::new(&mut response).poll(context)
            });
            match response.await {
                Ok(response) => {
                    Ok(response.map(|stream| Download { stream, upload, data_ended: false, unreleased: 0 }))
                }
                Err(error) => Err(SendError { unsent: is_unprocessed(&error), error }),
            }
        }
    }

    /// Has the connection find out by a PING whether its path is dead, since the stream has been silent for too long.
    /// Until then new requests use other connections.
    pub(in crate::upstream) fn suspect(&self) {
        self.state.liveness.suspect();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.state.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.state.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        self.state.capacity_changed.notify_waiters();
    }
}

/// A failed request.
#[derive(Debug)]
pub(in crate::upstream) struct SendError {
    pub(in crate::upstream) error: h2::Error,
    /// The upstream has not started to process the request.
    pub(in crate::upstream) unsent: bool,
}

/// Whether the upstream says that it has not processed the request: it refused the stream, wants HTTP/1.1, or went away
/// before it saw the stream (RFC 9113 sections 6.8, 7 and 8.7). Only then may any request be repeated.
fn is_unprocessed(error: &h2::Error) -> bool {
    // h2 reports GOAWAY only to the streams above the last one that the frame names.
    let is_above_last = error.is_go_away();
    let is_refused =
        matches!(error.reason(), Some(h2::Reason::REFUSED_STREAM | h2::Reason::HTTP_1_1_REQUIRED));
    error.is_remote() && (is_above_last || (error.is_reset() && is_refused))
}

/// A request body on its way up.
struct Upload {
    stream: SendStream<Chunk>,
    body: RequestBody,
    /// Waits for the upstream's flow-control window.
    pending: Option<Chunk>,
    /// Whether h2 has been given the first chunk.
    has_begun: bool,
}

/// Polls an upload, and drops it when it has ended.
fn poll_upload(upload: &mut Option<Upload>, context: &mut Context<'_>) {
    if upload.as_mut().is_some_and(|upload| upload.poll(context).is_ready()) {
        *upload = None;
    }
}

impl Upload {
    /// Ready when h2 has the complete body, or when the upstream wants no more of it. The response says why.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Registers the task for a reset, which would otherwise be noticed with the next chunk or window update
            // only.
            if self.stream.poll_reset(context).is_ready() {
                return Poll::Ready(());
            }
            let Some(chunk) = self.pending.take() else {
                let chunk = match ready!(self.body.poll_chunk(context)) {
                    Some(Ok(chunk)) => chunk,
                    // A body whose length was not known ends after its last chunk.
                    None => {
                        let _ = self.stream.send_data(Chunk::empty(), true);
                        return Poll::Ready(());
                    }
                    // Dropped without a reset, the stream would end as if the body were whole.
                    Some(Err(_)) => {
                        self.stream.send_reset(h2::Reason::CANCEL);
                        return Poll::Ready(());
                    }
                };
                // h2 assigns no window to a stream before it writes the HEADERS. With the first chunk at hand it writes
                // both at once; otherwise each small upload takes a second write, TLS record and packet. The chunk waits
                // for the window in h2, which takes no more memory than waiting here.
                if !std::mem::replace(&mut self.has_begun, true) {
                    if self.send(chunk).is_break() {
                        return Poll::Ready(());
                    }
                    continue;
                }
                // One byte is enough to be woken. h2 reserves the rest once it has the chunk; reserving it earlier
                // would take it from the connection window that all streams share.
                self.stream.reserve_capacity(1);
                self.pending = Some(chunk);
                continue;
            };
            if self.stream.capacity() == 0 {
                match self.stream.poll_capacity(context) {
                    Poll::Ready(Some(Ok(_))) => {
                        self.pending = Some(chunk);
                        continue;
                    }
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                    Poll::Pending => {
                        self.pending = Some(chunk);
                        return Poll::Pending;
                    }
                }
            }
            if self.send(chunk).is_break() {
                return Poll::Ready(());
            }
        }
    }

    /// Gives h2 a chunk. Breaks after the last one, or when the stream takes no more.
    fn send(&mut self, chunk: Chunk) -> ControlFlow<()> {
        let is_last = self.body.is_end_stream();
        if self.stream.send_data(chunk, is_last).is_err() || is_last {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// A response body, and the rest of the request body. Dropping this before its end resets the stream.
pub(in crate::upstream) struct Download {
    stream: RecvStream,
    upload: Option<Upload>,
    data_ended: bool,
    /// Read, but not released to the upstream's window, in bytes. h2 releases it to the connection when this is dropped.
    unreleased: usize,
}

impl Download {
    /// The next frame; `None` only after END_STREAM. A reset is an error, even one with NO_ERROR as its reason.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        poll_upload(&mut self.upload, context);
        if !self.data_ended {
            match ready!(self.poll_data(context)) {
                Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let polled = self.stream.poll_data(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.unreleased += bytes.len();
        }
        // Before it waits for the upstream, the body releases everything: on a path with a long round trip the upstream
        // needs the window early.
        if self.unreleased >= RELEASE_STEP || (self.unreleased > 0 && polled.is_pending()) {
            // Fails for a stream that has ended, which needs no window.
            let _ = self.stream.flow_control().release_capacity(std::mem::take(&mut self.unreleased));
        }
        polled
    }

    /// Reads what has arrived, and says whether the stream has ended.
    pub(in crate::upstream) fn has_ended(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = self.poll_frame(&mut context) {}
        self.is_end_stream()
    }

    /// Whether END_STREAM has come and everything before it has been read.
    pub(in crate::upstream) fn is_end_stream(&self) -> bool {
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
    use std::time::Duration;

    use bytes::Buf as _;
    use tokio::{
        io::{DuplexStream, duplex},
        sync::mpsc,
        time::sleep,
    };

    use super::*;
    use crate::upstream::{
        connection_tasks::Tasks,
        http2::{Connection, MAX_STREAMS, StreamCapacity},
        request_body::OutgoingBody,
    };

    /// The frames that h2 writes, in bytes.
    const FRAME: usize = 16 << 10;
    const WINDOW: usize = STREAM_WINDOW as usize;

    type Respond = h2::server::SendResponse<Bytes>;

    /// A connection, and the requests that arrive at its other end.
    async fn connection(tasks: &Tasks) -> (Connection, mpsc::UnboundedReceiver<Respond>) {
        let (io, other_end) = duplex(64 << 10);
        let (arrived, arriving) = mpsc::unbounded_channel();
        tasks.spawn(async move {
            let mut server = server(other_end).await;
            while let Some(Ok((_, respond))) = server.accept().await {
                let _ = arrived.send(respond);
            }
        });
        let connection = Connection::handshake(io, tasks, Arc::default()).await.expect("a connection");
        (connection, arriving)
    }

    async fn server(io: DuplexStream) -> h2::server::Connection<DuplexStream, Bytes> {
        let mut builder = h2::server::Builder::new();
        builder.max_send_buffer_size(2 * WINDOW).handshake(io).await.expect("a connection")
    }

    /// Waits until no task has anything left to do; the clock is paused.
    async fn settled() {
        sleep(Duration::from_millis(1)).await;
    }

    /// A response, and what sends its body.
    async fn download(
        connection: &Connection,
        arriving: &mut mpsc::UnboundedReceiver<Respond>,
    ) -> (Download, SendStream<Bytes>) {
        let StreamCapacity::Available(mut stream) = connection.reserve_stream(Duration::MAX) else {
            panic!("no stream");
        };
        let body = OutgoingBody::Collected { chunks: Arc::new([]), length: 0 };
        let request = Request::get("https://localhost/").body(RequestBody::new(body)).expect("valid");
        let response = stream.send(request);
        let mut respond = arriving.recv().await.expect("a request");
        let sending = respond.send_response(Response::new(()), false).expect("an open stream");
        let Ok(response) = response.await else { panic!("no response") };
        (response.into_body(), sending)
    }

    /// Reads so many frames, which have arrived.
    fn read(download: &mut Download, frames: usize) {
        for _ in 0..frames {
            let polled = download.poll_frame(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Some(Ok(frame))) = polled else { panic!("no frame: {polled:?}") };
            assert_eq!(frame.into_data().expect("data").remaining(), FRAME);
        }
    }

    /// Sends so many bytes, and waits until they have arrived.
    async fn send(sending: &mut SendStream<Bytes>, bytes: usize) {
        sending.send_data(Bytes::from(vec![b'x'; bytes]), false).expect("an open stream");
        settled().await;
    }

    /// How many bytes the upstream may send.
    async fn window(sending: &mut SendStream<Bytes>) -> usize {
        sending.reserve_capacity(2 * WINDOW);
        settled().await;
        sending.capacity()
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_of_a_body_that_has_arrived_is_released_in_halves() {
        let tasks = Tasks::default();
        let (connection, mut arriving) = connection(&tasks).await;
        let (mut download, mut sending) = download(&connection, &mut arriving).await;
        assert_eq!(window(&mut sending).await, WINDOW);
        send(&mut sending, WINDOW).await;
        for (frames, released) in [(0, 0), (15, 0), (1, WINDOW / 2), (15, WINDOW / 2), (1, WINDOW)] {
            read(&mut download, frames);
            assert_eq!(window(&mut sending).await, released, "after {frames} more frames");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_waits_has_released_what_it_has_read() {
        let tasks = Tasks::default();
        let (connection, mut arriving) = connection(&tasks).await;
        let (mut download, mut sending) = download(&connection, &mut arriving).await;
        send(&mut sending, 12 * FRAME).await;
        read(&mut download, 12);
        assert_eq!(window(&mut sending).await, WINDOW - 12 * FRAME);
        assert!(download.poll_frame(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(window(&mut sending).await, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_body_leaves_its_window_to_the_other_streams() {
        let tasks = Tasks::default();
        let (connection, mut arriving) = connection(&tasks).await;
        // More than all streams of the connection may have at the same time.
        for _ in 0..3 * MAX_STREAMS {
            let (mut download, mut sending) = download(&connection, &mut arriving).await;
            send(&mut sending, 12 * FRAME).await;
            read(&mut download, 12);
        }
    }
}
