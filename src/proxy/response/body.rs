//! Response bodies: our own, and the upstream's as they come, with a limit on the gap between chunks.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::{
    cooperative_yield::CooperativeYield,
    proxy::{attempt::refusal_logger::RefusalLogger, headers},
    upstream::{BrokenBody, UpstreamBody},
};

/// A gateway's refusal is a line or two, with the canonical request a few kilobytes. What is longer is not read ahead.
const MAX_PEEK: usize = 64 * 1024;

/// A body that goes down to the client.
#[derive(Debug)]
pub enum Body {
    /// The proxy's own, or one that was read to look into it.
    Full(Full<Bytes>),
    /// A gateway's refusal that was read to look into it; its meaning is logged when it has gone down.
    Refusal(Box<ReadRefusal>),
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
    pub(in crate::proxy) fn stream(upstream: UpstreamBody, idle: Duration) -> Self {
        Self::Stream(Box::new(Streamed {
            upstream,
            head: None,
            broken: None,
            idle,
            silence: None,
            yielder: CooperativeYield::default(),
            logger: None,
        }))
    }

    /// As [`stream`](Self::stream), after `head`, which was read before, perhaps up to where it broke off.
    pub(in crate::proxy) fn stream_after(
        head: Bytes,
        broken: Option<BrokenBody>,
        upstream: UpstreamBody,
        idle: Duration,
    ) -> Self {
        let mut body = Self::stream(upstream, idle);
        if let Self::Stream(streamed) = &mut body {
            (streamed.head, streamed.broken) = (Some(head), broken);
        }
        body
    }

    /// The same body, whose meaning `logger` logs when it has gone down.
    pub(in crate::proxy) fn watched_by(self, mut logger: RefusalLogger) -> Self {
        match self {
            Self::Full(full) => {
                if let Some(bytes) = full.clone().into_inner() {
                    logger.observe(&bytes);
                }
                Self::Refusal(Box::new(ReadRefusal { full, _logger: logger }))
            }
            Self::Stream(mut streamed) => {
                streamed.logger = Some(Box::new(logger));
                Self::Stream(streamed)
            }
            Self::Refusal(_) => self,
        }
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

/// Reads the beginning of a body, at most 64 KiB; the response that is given back is still whole.
pub(in crate::proxy) async fn peek(
    response: Response<UpstreamBody>,
    idle: Duration,
) -> (Bytes, Response<Body>) {
    let (parts, mut body) = response.into_parts();
    let mut text = BytesMut::new();
    let mut broken = None;
    while text.len() < MAX_PEEK {
        match timeout(idle, body.frame()).await {
            Ok(Some(Ok(frame))) => text.extend(frame.into_data().unwrap_or_default()),
            Ok(None) => {
                let text = text.freeze();
                return (text.clone(), Response::from_parts(parts, Body::from(text)));
            }
            Ok(Some(Err(error))) => {
                broken = Some(error);
                break;
            }
            Err(_) => break,
        }
    }
    let text = text.freeze();
    (text.clone(), Response::from_parts(parts, Body::stream_after(text, broken, body, idle)))
}

/// A refusal as it was read, and what logs its meaning when it is dropped.
#[derive(Debug)]
pub struct ReadRefusal {
    full: Full<Bytes>,
    _logger: RefusalLogger,
}

/// The upstream's body and the timer that watches it.
#[derive(Debug)]
pub struct Streamed {
    upstream: UpstreamBody,
    head: Option<Bytes>,
    /// How reading the beginning failed. A body that has failed once reports its end when it is polled again, so the
    /// error is kept here.
    broken: Option<BrokenBody>,
    idle: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    yielder: CooperativeYield,
    // Boxed, since few bodies have it.
    logger: Option<Box<RefusalLogger>>,
}

/// Why a streaming body broke off. The client's connection is aborted then, never ended cleanly.
#[derive(Debug)]
pub enum BodyError {
    /// Nothing came for the idle timeout.
    Idle,
    /// The upstream failed.
    Upstream(BrokenBody),
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
            Self::Refusal(refusal) => {
                Pin::new(&mut refusal.full).poll_frame(context).map_err(|never| match never {})
            }
            Self::Stream(streamed) => streamed.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.is_end_stream(),
            Self::Refusal(refusal) => refusal.full.is_end_stream(),
            Self::Stream(streamed) => streamed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => full.size_hint(),
            Self::Refusal(refusal) => refusal.full.size_hint(),
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

/// A frame as it goes down: trailers are headers, too.
fn cleaned(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::trailers_downward(trailers);
    }
    frame
}

impl Streamed {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(head) = self.head.take() {
            self.observe(&head);
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(BodyError::Upstream(error))));
        }
        // Lets the other requests of this worker run; `cooperative_yield` has the figures.
        ready!(self.yielder.poll_next(context));
        if let Poll::Ready(frame) = Pin::new(&mut self.upstream).poll_frame(context) {
            if let Some(silence) = &mut self.silence {
                silence.as_mut().reset(Instant::now() + self.idle);
            }
            if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
                self.yielder.count(data.len());
                self.observe(data);
            }
            return Poll::Ready(frame.map(|frame| frame.map(cleaned).map_err(BodyError::Upstream)));
        }
        // Made when the body has to wait for the first time: most bodies never do, and need no timer.
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(self.idle)));
        loop {
            ready!(silence.as_mut().poll(context));
            // An upstream may answer while the request's body is still being sent; that is no silence.
            match self.upstream.last_sent().map(|sent| sent + self.idle) {
                Some(later) if later > Instant::now() => silence.as_mut().reset(later),
                _ => return Poll::Ready(Some(Err(BodyError::Idle))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_none() && self.broken.is_none() && self.upstream.is_end_stream()
    }

    fn observe(&mut self, chunk: &Bytes) {
        if let Some(logger) = &mut self.logger {
            logger.observe(chunk);
        }
    }
}
