//! A response body as it comes down, and how it can break off.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{http2::Download, pool::Lease, request_body::Progress};

/// A response body in the version of HTTP that it comes in.
#[derive(Debug)]
pub(super) enum Incoming {
    Http1(hyper::body::Incoming),
    Http2(Download),
}

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

/// A body that did not come to its end.
#[derive(Debug)]
pub struct BrokenBody {
    /// What broke it.
    pub breakage: Breakage,
    source: Box<dyn Error + Send + Sync>,
}

/// What an upstream does to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// It reset the connection or the stream.
    Reset,
    /// It closed the connection before the end of the body, or without saying that this is the end (TLS's close_notify).
    Closed,
    /// What it sent is not framed as HTTP.
    Malformed,
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

impl Incoming {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match self {
            Self::Http1(body) => Pin::new(body).poll_frame(context).map_err(BrokenBody::from),
            Self::Http2(body) => body.poll_frame(context).map_err(BrokenBody::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }
}

impl BrokenBody {
    /// The error of a body that is asked for more after one.
    fn again() -> Self {
        Self { breakage: Breakage::Closed, source: "it has broken off before".into() }
    }
}

impl From<hyper::Error> for BrokenBody {
    fn from(error: hyper::Error) -> Self {
        Self { breakage: of_io(&error).unwrap_or(Breakage::Closed), source: error.into() }
    }
}

impl From<h2::Error> for BrokenBody {
    fn from(error: h2::Error) -> Self {
        let breakage = if error.is_library() {
            Breakage::Malformed
        } else if error.is_reset() {
            Breakage::Reset
        } else {
            error.get_io().map_or(Breakage::Closed, |error| of_io_kind(error.kind()))
        };
        Self { breakage, source: error.into() }
    }
}

fn of_io(error: &hyper::Error) -> Option<Breakage> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(level) = cause {
        if let Some(error) = level.downcast_ref::<io::Error>() {
            return Some(of_io_kind(error.kind()));
        }
        cause = level.source();
    }
    None
}

fn of_io_kind(kind: io::ErrorKind) -> Breakage {
    match kind {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Breakage::Malformed,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => Breakage::Closed,
        _ => Breakage::Reset,
    }
}

impl fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.breakage {
            Breakage::Reset => "the upstream reset the connection or stream in the middle of a body",
            Breakage::Closed => "the upstream closed the connection in the middle of a body",
            Breakage::Malformed => "the upstream sent a malformed body",
        })
    }
}

impl Error for BrokenBody {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
