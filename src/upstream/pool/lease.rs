//! A connection while a request uses it.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::client::conn::TrySendError;
use pin_project_lite::pin_project;
use tokio::time::{Instant, timeout};

use super::{Pool, connections::Sender};
use crate::upstream::{connection::Alert, http2, incoming::Incoming, request_body::RequestBody};

/// How long to wait for the end of a stream after the last byte of its response.
const STREAM_END_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection, or a stream of one, that one request uses.
pub(in crate::upstream) struct Lease {
    /// `None` once it has been returned.
    sender: Option<Sender>,
    reused: bool,
    /// Whether the connection is closed instead of returned.
    is_alone: bool,
    pool: Pool,
}

/// Why a connection gave no response to a request.
pub(in crate::upstream) enum SendError {
    Http1(hyper::Error),
    Http2(h2::Error),
}

/// A failed send.
pub(in crate::upstream) struct SendFailure {
    pub(in crate::upstream) error: SendError,
    /// The upstream has seen nothing of the request, or says that it has not begun with it.
    pub(in crate::upstream) unsent: bool,
}

impl Lease {
    pub(super) fn new(sender: Sender, reused: bool, pool: Pool) -> Self {
        Self { sender: Some(sender), reused, is_alone: false, pool }
    }

    /// A new connection that is never returned.
    pub(super) fn alone(sender: Sender, pool: Pool) -> Self {
        Self { sender: Some(sender), reused: false, is_alone: true, pool }
    }

    /// Whether the connection came from the pool.
    pub(in crate::upstream) fn reused(&self) -> bool {
        self.reused
    }

    /// The record of the TLS alert that the upstream may have sent.
    pub(in crate::upstream) fn alert(&self) -> Option<&Alert> {
        self.sender.as_ref().map(|sender| match sender {
            Sender::Http1(http1) => &http1.alert,
            Sender::Http2(_, alert) => alert,
        })
    }

    pub(in crate::upstream) fn version(&self) -> Version {
        match self.sender {
            Some(Sender::Http2(..)) => Version::HTTP_2,
            Some(Sender::Http1(_)) | None => Version::HTTP_11,
        }
    }

    /// The stream, if the connection is HTTP/2.
    pub(super) fn stream(&self) -> Option<&http2::Stream> {
        match &self.sender {
            Some(Sender::Http2(stream, _)) => Some(stream),
            Some(Sender::Http1(_)) | None => None,
        }
    }

    /// Waits until the connection takes a request; `false` if it has closed.
    pub(super) async fn ready(&mut self) -> bool {
        match &mut self.sender {
            Some(Sender::Http1(http1)) => http1.sender.ready().await.is_ok(),
            Some(Sender::Http2(..)) => true,
            None => false,
        }
    }

    /// Sends a request; the future waits for the response head. The request is on its way before the future is polled,
    /// which would otherwise have room for it twice.
    pub(in crate::upstream) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendFailure>> {
        match self.sender.as_mut().expect("it is returned after its response") {
            Sender::Http1(http1) => Sending::Http1 { response: http1.sender.try_send_request(request) },
            Sender::Http2(stream, _) => Sending::Http2 { response: stream.send(request) },
        }
    }

    /// Returns the connection after the end of the response. An HTTP/2 connection has been in the pool all the time.
    pub(in crate::upstream) fn give_back(mut self) {
        if self.is_alone {
            return;
        }
        if let Some(Sender::Http1(http1)) = self.sender.take()
            && !http1.sender.is_closed()
        {
            let now = Instant::now();
            if http1.expires <= now {
                return;
            }
            let mut connections = self.pool.lock();
            connections.put_back(http1, now);
            self.pool.ensure_sweeper(&mut connections);
        }
    }

    /// Returns the connection when the stream of `download` has ended, whose last byte has been read. Dropping it
    /// before its end would reset the stream, and upstreams close connections with many resets (CVE-2023-44487).
    pub(in crate::upstream) fn give_back_after(self, mut download: http2::Download) {
        if download.has_ended() {
            return self.give_back();
        }
        let tasks = self.pool.0.tasks.clone();
        tasks.spawn(async move {
            let ended =
                async { while let Some(Ok(_)) = poll_fn(|context| download.poll_frame(context)).await {} };
            // A stream that does not end in time is reset.
            let _ = timeout(STREAM_END_TIMEOUT, ended).await;
            self.give_back();
        });
    }
}

pin_project! {
    /// A request that waits for its response.
    #[project = SendingProjection]
    enum Sending<H1, H2> {
        Http1 { #[pin] response: H1 },
        Http2 { #[pin] response: H2 },
    }
}

impl<H1, H2> Future for Sending<H1, H2>
where
    H1: Future<Output = Result<Response<hyper::body::Incoming>, TrySendError<Request<RequestBody>>>>,
    H2: Future<Output = Result<Response<http2::Download>, http2::SendError>>,
{
    type Output = Result<Response<Incoming>, SendFailure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            SendingProjection::Http1 { response } => response.poll(context).map(|response| match response {
                Ok(response) => Ok(response.map(Incoming::Http1)),
                Err(mut failure) => Err(SendFailure {
                    // hyper hands the request back when it has written nothing of it.
                    unsent: failure.take_message().is_some(),
                    error: SendError::Http1(failure.into_error()),
                }),
            }),
            SendingProjection::Http2 { response } => response.poll(context).map(|response| match response {
                Ok(response) => Ok(response.map(Incoming::Http2)),
                Err(http2::SendError { error, unsent }) => {
                    Err(SendFailure { unsent, error: SendError::Http2(error) })
                }
            }),
        }
    }
}

impl Drop for Lease {
    /// Closes an HTTP/1.1 connection in the middle of an exchange. Its task is aborted: hyper would first wait until an
    /// upstream that does not read has taken the rest of the request.
    fn drop(&mut self) {
        if let Some(Sender::Http1(http1)) = &self.sender {
            http1.driver.abort();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("version", &self.version())
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}
