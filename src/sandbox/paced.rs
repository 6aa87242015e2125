//! A response body that is made while it is sent: long, slow, or truncated.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

const PATTERN: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/";
const MAX_CHUNK: u64 = 16 * 1024;

/// A body that is never in memory as a whole.
pub(super) struct Paced {
    content: Content,
    /// The length that the head declares, if any.
    declared: Option<u64>,
    end: End,
}

enum Content {
    /// The bytes of [`pattern`] from `from` to `to`.
    Pattern { from: u64, to: u64 },
    /// Server-sent events, each after `interval`.
    Events { sent: u64, count: u64, interval: Duration, timer: Option<Pin<Box<Sleep>>> },
}

enum End {
    Clean,
    Trailers(Option<HeaderMap>),
    /// What was sent before must be flushed first, which takes one poll.
    Broken {
        flushed: bool,
    },
}

/// `length` bytes of what `/bytes/{n}` answers with, from `offset`.
#[must_use]
pub fn pattern(offset: u64, length: u64) -> Bytes {
    (offset..offset + length).map(|at| PATTERN[(at % PATTERN.len() as u64) as usize]).collect()
}

impl Paced {
    /// The pattern from `from` to `to`, with its length declared.
    pub(super) fn bytes(from: u64, to: u64) -> Self {
        Self { content: Content::Pattern { from, to }, declared: Some(to - from), end: End::Clean }
    }

    /// `length` bytes of the pattern, with no length declared.
    pub(super) fn chunked(length: u64) -> Self {
        Self { declared: None, ..Self::bytes(0, length) }
    }

    /// Declares `declared` bytes, sends fewer, and closes.
    pub(super) fn truncated(declared: u64, sent: u64) -> Self {
        Self { declared: Some(declared), end: End::Broken { flushed: false }, ..Self::bytes(0, sent) }
    }

    /// `length` bytes in chunks, then trailers.
    pub(super) fn with_trailers(length: u64, trailers: HeaderMap) -> Self {
        Self { end: End::Trailers(Some(trailers)), ..Self::chunked(length) }
    }

    /// `count` server-sent events, `interval` apart.
    pub(super) fn events(count: u64, interval: Duration) -> Self {
        let content = Content::Events { sent: 0, count, interval, timer: None };
        Self { content, declared: None, end: End::Clean }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Hangup;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Hangup>>> {
        if let Some(chunk) = ready!(self.content.poll_chunk(context)) {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        Poll::Ready(match &mut self.end {
            End::Clean => None,
            End::Trailers(trailers) => trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            End::Broken { flushed: true } => Some(Err(Hangup)),
            End::Broken { flushed } => {
                *flushed = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.declared.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Content {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self {
            Self::Pattern { from, to } => {
                let length = (*to - *from).min(MAX_CHUNK);
                let chunk = (length > 0).then(|| pattern(*from, length));
                *from += length;
                Poll::Ready(chunk)
            }
            Self::Events { sent, count, .. } if *sent == *count => Poll::Ready(None),
            Self::Events { sent, interval, timer, .. } => {
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(*interval)));
                ready!(timer.as_mut().poll(context));
                timer.as_mut().reset(Instant::now() + *interval);
                let event = format!("id: {sent}\ndata: event {sent}\n\n");
                *sent += 1;
                Poll::Ready(Some(event.into()))
            }
        }
    }
}

/// Closes the connection without a complete response.
#[derive(Debug)]
pub(super) struct Hangup;

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed on purpose")
    }
}

impl Error for Hangup {}
