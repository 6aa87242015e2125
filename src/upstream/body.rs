//! A response body on its way to the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{broken_body::BrokenBody, incoming::Incoming, pool::Lease, request_body::UploadProgress};

#[derive(Debug)]
enum State {
    Open(Incoming),
    Ended,
    Broken,
}

/// A response body. At its end the connection goes back to the pool; dropping it earlier closes the connection or the
/// stream.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    state: State,
    lease: Option<Lease>,
    /// What remains of the declared length, in bytes.
    remaining: Option<u64>,
    /// The progress of the request body, which may still be on its way.
    progress: Option<Arc<UploadProgress>>,
}

impl UpstreamBody {
    /// The body of a response whose head declares `length` bytes, and which is empty if it `has_none`.
    pub(super) fn new(
        incoming: Incoming,
        lease: Lease,
        length: Option<u64>,
        has_none: bool,
        progress: Option<Arc<UploadProgress>>,
    ) -> Self {
        let ends = has_none || length == Some(0) || incoming.is_end_stream();
        let mut body = Self { state: State::Open(incoming), lease: Some(lease), remaining: length, progress };
        if ends {
            body.end();
        }
        body
    }

    /// When the upstream last took some of the request body; `None` if it has taken all.
    pub(crate) fn last_sent(&self) -> Option<Instant> {
        self.progress.as_ref()?.last_sent()
    }

    fn end(&mut self) {
        self.remaining = Some(0);
        let (State::Open(incoming), Some(lease)) =
            (std::mem::replace(&mut self.state, State::Ended), self.lease.take())
        else {
            return;
        };
        // After an early response the connection must close: the rest of this request would still precede the next one.
        if self.progress.as_ref().is_some_and(|progress| !progress.is_complete()) {
            return;
        }
        match incoming {
            // END_STREAM may follow in an empty frame.
            Incoming::Http2(download) => lease.give_back_after(download),
            Incoming::Http1(_) => lease.give_back(),
        }
    }

    fn count(&mut self, data: Option<&Bytes>) {
        if let (Some(data), Some(remaining)) = (data, &mut self.remaining) {
            *remaining = remaining.saturating_sub(data.len() as u64);
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
            State::Broken => return Poll::Ready(Some(Err(BrokenBody::repeated()))),
        };
        let frame = ready!(incoming.poll_frame(context));
        let is_last = match &frame {
            None => true,
            // Nothing follows trailers, and the reader need not ask again: the connection would stay out of the pool.
            Some(Ok(frame)) => frame.is_trailers() || incoming.is_end_stream(),
            Some(Err(_)) => {
                (self.state, self.lease) = (State::Broken, None);
                return Poll::Ready(frame);
            }
        };
        self.count(frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()));
        // hyper does not poll again after the last byte of a body with a known length.
        if is_last || self.remaining == Some(0) {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
