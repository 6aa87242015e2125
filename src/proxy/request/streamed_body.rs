//! A request body that goes up as it arrives, because its hash is not signed.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{aws_chunked::Framer, body::MAX_CHUNK_GAP, client_body::ClientBody};
use crate::proxy::error::ProxyError;

/// A body that streams. Its clones are one body, of which the attempts of a request take turns to read: the next attempt
/// gets a whole body only if no attempt before has taken a byte.
// A lock, since the connection that sends the body runs in another task than the request. It is uncontended: only one
// attempt is under way at a time.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct StreamedBody(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    body: ClientBody,
    /// Frames the body again where checksums follow it.
    framer: Option<Framer>,
    /// What is left of a declared length, in bytes.
    remaining: Option<u64>,
    /// How many bytes the client has sent, and may send.
    received: u64,
    max_body: u64,
    is_untouched: bool,
    has_ended: bool,
    /// Runs while the body waits for the client.
    gap: Option<Pin<Box<Sleep>>>,
    has_failed: bool,
    /// Why it has failed, until the proxy asks.
    failure: Option<ProxyError>,
}

/// A body broke off. The proxy knows why, and asks the body.
#[derive(Debug)]
pub(in crate::proxy) struct BodyBrokeOff;

impl fmt::Display for BodyBrokeOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body broke off")
    }
}

impl Error for BodyBrokeOff {}

impl StreamedBody {
    /// A body of at most `max_body` bytes.
    ///
    /// # Errors
    /// When it declares more.
    pub(super) fn new(body: ClientBody, max_body: u64) -> Result<Self, ProxyError> {
        let declared = body.declared();
        if declared.is_some_and(|length| length > max_body) {
            return Err(ProxyError::BodyTooLarge { limit: max_body });
        }
        let framer = body.has_trailers().then(Framer::default);
        Ok(Self(Arc::new(Mutex::new(State {
            // The length of the chunks around the data is not known before.
            remaining: declared.filter(|_| framer.is_none()),
            body,
            framer,
            received: 0,
            max_body,
            is_untouched: true,
            has_ended: false,
            gap: None,
            has_failed: false,
            failure: None,
        }))))
    }

    /// The length of what goes up, in bytes; `None` when it is not known before the end.
    pub(in crate::proxy) fn length(&self) -> Option<u64> {
        self.lock().remaining
    }

    /// Whether checksums follow the body, in a form that `STREAMING-UNSIGNED-PAYLOAD-TRAILER` stands for.
    pub(super) fn has_trailers(&self) -> bool {
        self.lock().framer.is_some()
    }

    /// Whether no attempt has taken a byte, so that another attempt may have the body.
    pub(in crate::proxy) fn is_untouched(&self) -> bool {
        self.lock().is_untouched
    }

    /// Why the client's side broke the body off, if it did.
    pub(in crate::proxy) fn take_failure(&self) -> Option<ProxyError> {
        self.lock().failure.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next bytes for the upstream; `None` at the end of a whole body.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        loop {
            if self.has_ended {
                return Poll::Ready(None);
            }
            let bytes = match ready!(self.poll_client(context)).transpose() {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(bytes) => bytes,
            };
            self.has_ended = bytes.is_none();
            let outgoing = match (&mut self.framer, bytes) {
                (None, bytes) => bytes,
                (Some(framer), Some(data)) => framer.push(&data),
                (Some(framer), None) => Some(framer.finish(&self.body.take_trailers())),
            };
            if let Some(outgoing) = outgoing.filter(|bytes| !bytes.is_empty()) {
                self.is_untouched = false;
                self.remaining = self.remaining.map(|left| left.saturating_sub(outgoing.len() as u64));
                return Poll::Ready(Some(Ok(outgoing)));
            }
        }
    }

    /// The next bytes of the client, within the limits on gap and size.
    fn poll_client(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        let Poll::Ready(next) = self.body.poll_next(context) else {
            let gap = self.gap.get_or_insert_with(|| Box::pin(sleep(MAX_CHUNK_GAP)));
            ready!(gap.as_mut().poll(context));
            return Poll::Ready(Some(Err(ProxyError::BodyTimeout)));
        };
        self.gap = None;
        if let Some(Ok(bytes)) = &next {
            self.received += bytes.len() as u64;
            if self.received > self.max_body {
                return Poll::Ready(Some(Err(ProxyError::BodyTooLarge { limit: self.max_body })));
            }
        }
        Poll::Ready(next)
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = BodyBrokeOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBrokeOff>>> {
        let mut state = self.lock();
        if state.has_failed {
            return Poll::Ready(Some(Err(BodyBrokeOff)));
        }
        let next = ready!(state.poll_next(context));
        Poll::Ready(next.map(|next| match next {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(failure) => {
                (state.has_failed, state.failure) = (true, Some(failure));
                Err(BodyBrokeOff)
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.lock();
        !state.has_failed && (state.has_ended || state.remaining == Some(0))
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
