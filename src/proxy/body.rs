//! Bodies: requests collected within a shared budget, responses streamed with a limit on silence.

mod pieces;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::{Instant, Sleep, sleep, timeout, timeout_at},
};

use super::{error::ProxyError, refusal::Witness, upstream::UpstreamBody};
use crate::{metrics::Limit, signing::Payload};
use pieces::Pieces;

/// The longest silence between two chunks of a request body.
const CHUNK: Duration = Duration::from_secs(10);

/// The longest wait for a share of the budget.
const ROOM: Duration = Duration::from_secs(1);

/// A body that has been under way for this long ...
const PATIENCE: Duration = Duration::from_secs(10);

/// ... and has come more slowly than this on average, in bytes per second, gives way when others need its room,
const PACE: u64 = 64 * 1024;

/// unless it holds no more than this, in bytes.
const TRIFLE: u64 = 64 * 1024;

/// Hashing holds the thread: after this many bytes other requests get their turn.
const TURN: usize = 64 * 1024;

/// The memory that all buffered request bodies share.
#[derive(Clone, Debug)]
pub struct Budget {
    room: Arc<Semaphore>,
    /// Told when a body has to wait for room.
    wanted: Arc<Notify>,
    capacity: u64,
    max_body: u64,
}

impl Budget {
    /// A budget of `capacity` bytes for bodies of `max_body` bytes at most.
    #[must_use]
    pub fn new(capacity: u64, max_body: u64) -> Self {
        let permits = usize::try_from(capacity).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(permits));
        Self { room, wanted: Arc::default(), capacity: permits as u64, max_body }
    }

    /// The same budget for bodies of `max_body` bytes at most.
    #[must_use]
    pub(super) fn with_max_body(&self, max_body: u64) -> Self {
        Self { max_body: max_body.min(self.capacity), ..self.clone() }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.capacity.saturating_sub(self.room.available_permits() as u64)
    }

    /// Reads a whole body, hashing it on the way.
    ///
    /// A declared length is refused before a byte is read when it is too large, and is reserved at once, so
    /// that bodies which have begun can always end.
    ///
    /// # Errors
    /// When the body is too large, too slow or broken, or when there is no room for it.
    pub async fn collect(&self, mut body: Incoming) -> Result<Payload, ProxyError> {
        let declared = body.size_hint().exact();
        if declared == Some(0) {
            return Ok(Payload::empty());
        }
        let mut pieces = Pieces::default();
        if let Some(length) = declared {
            pieces.add_share(self.reserve(length).await?);
        }
        let (mut length, mut turn) = (0_u64, 0_usize);
        let began = Instant::now();
        let mut deadline = began + CHUNK;
        loop {
            let frame = tokio::select! {
                biased;
                frame = timeout_at(deadline, body.frame()) => frame.map_err(|_| ProxyError::BodyTimeout)?,
                () = self.wanted.notified() => {
                    if declared.unwrap_or(length) > TRIFLE && is_slow(length, began.elapsed()) {
                        return Err(ProxyError::BodyTimeout);
                    }
                    continue;
                }
            };
            let Some(frame) = frame else { return Ok(pieces.finish()) };
            let frame = frame.map_err(|_| ProxyError::BodyIncomplete)?;
            let Ok(chunk) = frame.into_data() else { continue };
            deadline = Instant::now() + CHUNK;
            length += chunk.len() as u64;
            if length > self.max_body {
                return Err(ProxyError::BodyTooLarge { limit: self.max_body });
            }
            if declared.is_none() {
                pieces.add_share(self.reserve(chunk.len() as u64).await?);
            }
            turn += chunk.len();
            pieces.push(&chunk);
            if turn >= TURN {
                turn = 0;
                yield_now().await;
            }
        }
    }

    async fn reserve(&self, length: u64) -> Result<OwnedSemaphorePermit, ProxyError> {
        if length > self.max_body {
            return Err(ProxyError::BodyTooLarge { limit: self.max_body });
        }
        let permits = u32::try_from(length).map_err(|_| ProxyError::BodyTooLarge { limit: self.max_body })?;
        let overloaded = || ProxyError::Overloaded(Limit::BodyMemory);
        if length > self.capacity {
            return Err(overloaded());
        }
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(permits) {
            return Ok(permit);
        }
        self.wanted.notify_waiters();
        match timeout(ROOM, Arc::clone(&self.room).acquire_many_owned(permits)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }
}

/// Whether a body of which `length` bytes have come in `time` has to give way.
fn is_slow(length: u64, time: Duration) -> bool {
    time >= PATIENCE && length < PACE.saturating_mul(time.as_secs())
}

/// A body that goes down to the client.
#[derive(Debug)]
pub enum Body {
    /// The proxy's own, or one that was read to look into it.
    Full(Full<Bytes>),
    /// The upstream's, as it comes.
    Stream(Box<Streamed>),
}

impl Body {
    /// A body of no bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::Full(Full::default())
    }

    /// The upstream's body, which fails when nothing comes for `idle`.
    pub(super) fn stream(upstream: UpstreamBody, idle: Duration) -> Self {
        Self::Stream(Box::new(Streamed {
            upstream,
            head: None,
            broken: None,
            idle,
            silence: None,
            witness: None,
        }))
    }

    /// As [`stream`](Self::stream), after `head`, which was read before, perhaps up to where it broke off.
    pub(super) fn stream_after(
        head: Bytes,
        broken: Option<hyper::Error>,
        upstream: UpstreamBody,
        idle: Duration,
    ) -> Self {
        let head = Some(head);
        Self::Stream(Box::new(Streamed { upstream, head, broken, idle, silence: None, witness: None }))
    }

    /// The same body, which `witness` sees pass.
    pub(super) fn watched_by(mut self, mut witness: Witness) -> Self {
        match &mut self {
            Self::Full(full) => {
                if let Some(bytes) = full.clone().into_inner() {
                    witness.see(&bytes);
                }
            }
            Self::Stream(streamed) => streamed.witness = Some(witness),
        }
        self
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(Full::new(Bytes::from(bytes)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(Full::new(bytes))
    }
}

/// The upstream's body and the clock that watches it.
#[derive(Debug)]
pub struct Streamed {
    upstream: UpstreamBody,
    head: Option<Bytes>,
    /// How reading the head ended: a body that has failed once would look as if it had come to its end.
    broken: Option<hyper::Error>,
    idle: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    witness: Option<Witness>,
}

/// Why a streaming body broke off. The client's connection is aborted then, never ended cleanly.
#[derive(Debug)]
pub enum BodyError {
    /// Nothing came for the idle timeout.
    Idle,
    /// The upstream failed.
    Upstream(hyper::Error),
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "the upstream fell silent in the middle of a body",
            Self::Upstream(_) => "the upstream failed in the middle of a body",
        })
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Idle => None,
            Self::Upstream(error) => Some(error),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Full(full) => Pin::new(full).poll_frame(context).map_err(|never| match never {}),
            Self::Stream(streamed) => streamed.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.is_end_stream(),
            Self::Stream(streamed) => streamed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => full.size_hint(),
            Self::Stream(streamed) => {
                let mut hint = streamed.upstream.size_hint();
                let head = streamed.head.as_ref().map_or(0, Bytes::len) as u64;
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper + head);
                }
                hint.set_lower(hint.lower() + head);
                hint
            }
        }
    }
}

impl Streamed {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(head) = self.head.take() {
            self.show(&head);
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(BodyError::Upstream(error))));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.upstream).poll_frame(context) {
            if let Some(silence) = &mut self.silence {
                silence.as_mut().reset(Instant::now() + self.idle);
            }
            if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
                self.show(data);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Upstream)));
        }
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(self.idle)));
        ready!(silence.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::Idle)))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_none() && self.broken.is_none() && self.upstream.is_end_stream()
    }

    fn show(&mut self, piece: &Bytes) {
        if let Some(witness) = &mut self.witness {
            witness.see(piece);
        }
    }
}
