//! A response body as it comes down, and how it can break off.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{broken_body::BrokenBody, incoming::Incoming, pool::Lease, request_body::Progress};

#[derive(Debug)]
enum State {
    Open(Incoming),
    Ended,
    Broken,
}

/// A response body. At its end the connection goes back to the pool; dropped before it, it ends the call.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    state: State,
    lease: Option<Lease>,
    /// What is left by the declared length, in bytes.
    left: Option<u64>,
    /// How far the request body has come, which may still be on its way.
    progress: Option<Arc<Progress>>,
}

impl UpstreamBody {
    /// The body of a response whose head declares `length` bytes, if it declares any, and none if it `has_none`.
    pub(super) fn new(
        incoming: Incoming,
        lease: Lease,
        length: Option<u64>,
        has_none: bool,
        progress: Option<Arc<Progress>>,
    ) -> Self {
        let ends = has_none || length == Some(0) || incoming.is_end_stream();
        let mut body = Self { state: State::Open(incoming), lease: Some(lease), left: length, progress };
        if ends {
            body.end();
        }
        body
    }

    /// When the upstream last took some of the request body, if that is still on its way.
    pub(crate) fn last_sent(&self) -> Option<Instant> {
        self.progress.as_ref()?.last_sent()
    }

    fn end(&mut self) {
        self.left = Some(0);
        let (State::Open(incoming), Some(lease)) =
            (std::mem::replace(&mut self.state, State::Ended), self.lease.take())
        else {
            return;
        };
        // After an early answer the rest of the request would still be sent before the next one.
        if self.progress.as_ref().is_some_and(|progress| !progress.is_complete()) {
            return;
        }
        match incoming {
            // The end of the stream may come in a frame of its own.
            Incoming::Http2(download) => lease.give_back_after(download),
            Incoming::Http1(_) => lease.give_back(),
        }
    }

    fn count(&mut self, data: Option<&Bytes>) {
        if let (Some(data), Some(left)) = (data, &mut self.left) {
            *left = left.saturating_sub(data.len() as u64);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let incoming = match &mut self.state {
            State::Open(incoming) => incoming,
            State::Ended => return Poll::Ready(None),
            State::Broken => return Poll::Ready(Some(Err(BrokenBody::again()))),
        };
        let frame = ready!(incoming.poll_frame(context));
        let is_last = match &frame {
            None => true,
            // Nothing follows trailers, and whoever has read them need not ask.
            Some(Ok(frame)) => frame.is_trailers() || incoming.is_end_stream(),
            Some(Err(_)) => {
                (self.state, self.lease) = (State::Broken, None);
                return Poll::Ready(frame);
            }
        };
        self.count(frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()));
        // Whoever has been told the length does not ask for more after the last byte.
        if is_last || self.left == Some(0) {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
