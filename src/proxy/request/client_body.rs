//! The body of a client's request, decoded where its chunks are signed.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use hyper::body::Incoming;

use super::aws_chunked::SignedChunks;
use crate::proxy::error::ProxyError;

/// A body that is still to be read.
#[derive(Debug)]
pub(in crate::proxy) struct ClientBody {
    incoming: Incoming,
    has_ended: bool,
    // Boxed, since few bodies have it.
    decoding: Option<Box<Decoding>>,
}

/// The state of a body of signed chunks.
#[derive(Debug)]
struct Decoding {
    chunks: Box<SignedChunks>,
    /// Read from the client and not yet decoded.
    encoded: Bytes,
    trailers: HeaderMap,
}

impl ClientBody {
    /// `signed_chunks` is what the head says of a body whose chunks are signed.
    pub(super) fn new(incoming: Incoming, signed_chunks: Option<Box<SignedChunks>>) -> Self {
        let decoding = signed_chunks
            .map(|chunks| Box::new(Decoding { chunks, encoded: Bytes::new(), trailers: HeaderMap::new() }));
        Self { incoming, has_ended: false, decoding }
    }

    /// The length that the head declares for the bytes which [`next`](Self::next) gives; `None` when it does not.
    pub(super) fn declared(&self) -> Option<u64> {
        match &self.decoding {
            Some(decoding) => Some(decoding.chunks.announced()),
            None => self.incoming.size_hint().exact(),
        }
    }

    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.decoding.is_none() && self.declared() == Some(0)
    }

    /// Whether checksums follow the last chunk.
    pub(super) fn has_trailers(&self) -> bool {
        self.decoding.as_ref().is_some_and(|decoding| decoding.chunks.has_trailers())
    }

    /// The checksums that followed the last chunk, once the body has ended. Trailers of HTTP itself are dropped.
    pub(super) fn take_trailers(&mut self) -> HeaderMap {
        self.decoding.as_mut().map(|decoding| std::mem::take(&mut decoding.trailers)).unwrap_or_default()
    }

    /// The next bytes; `None` at the end of a whole body.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, ProxyError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`next`](Self::next).
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        loop {
            if self.has_ended {
                return Poll::Ready(None);
            }
            if let Some(decoding) = &mut self.decoding
                && let Some(decoded) = decoding.chunks.decode(&mut decoding.encoded).transpose()
            {
                return Poll::Ready(Some(decoded.map_err(ProxyError::from)));
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                Some(Err(_)) => return Poll::Ready(Some(Err(ProxyError::BodyIncomplete))),
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    match &mut self.decoding {
                        Some(decoding) => decoding.encoded = bytes,
                        None => return Poll::Ready(Some(Ok(bytes))),
                    }
                }
                None => {
                    self.has_ended = true;
                    return Poll::Ready(self.decoding.as_mut().and_then(|decoding| decoding.last()));
                }
            }
        }
    }
}

impl Decoding {
    /// What is left at the end of the input.
    fn last(&mut self) -> Option<Result<Bytes, ProxyError>> {
        match self.chunks.finish() {
            Ok((last, trailers)) => {
                self.trailers = trailers;
                last.map(Ok)
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}
