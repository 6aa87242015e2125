//! The feed as the body of a response, until the last request has ended.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::{inspector::Feed, shutdown::Shutdown};

type Next = Pin<Box<dyn Future<Output = (Viewer, Option<Bytes>)> + Send>>;

/// A body whose next line is made when the client has taken the one before.
pub(super) struct FeedBody(Option<Next>);

struct Viewer {
    feed: Feed,
    ended: Shutdown,
    has_ended: bool,
}

impl FeedBody {
    /// What `feed` has, until `ended`.
    pub(super) fn new(feed: Feed, ended: Shutdown) -> Self {
        Self(Some(Box::pin(Viewer { feed, ended, has_ended: false }.next())))
    }
}

impl Viewer {
    async fn next(mut self) -> (Self, Option<Bytes>) {
        if !self.has_ended {
            let line = tokio::select! {
                line = self.feed.next() => Some(line),
                () = self.ended.requested() => None,
            };
            if line.is_some() {
                return (self, line);
            }
            self.has_ended = true;
        }
        let line = self.feed.rest();
        (self, line)
    }
}

impl Body for FeedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.0 else { return Poll::Ready(None) };
        let (viewer, line) = ready!(next.as_mut().poll(context));
        self.0 = line.is_some().then(|| Box::pin(viewer.next()) as Next);
        Poll::Ready(line.map(|line| Ok(Frame::data(line))))
    }
}
