//! A response body as the connection delivers it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::{broken_body::BrokenBody, http2::Download};

/// A response body in either version of HTTP.
#[derive(Debug)]
pub(super) enum Incoming {
    Http1(hyper::body::Incoming),
    Http2(Download),
}

impl Incoming {
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match self {
            Self::Http1(body) => Pin::new(body).poll_frame(context).map_err(BrokenBody::from),
            Self::Http2(body) => body.poll_frame(context).map_err(BrokenBody::from),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }
}
