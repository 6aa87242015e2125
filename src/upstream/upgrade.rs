//! A request that may end HTTP on its connection: the connection is its own, speaks HTTP/1.1, and is never pooled.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, timeout, timeout_at},
};

use super::{
    ConnectStage, Failure, OutgoingRequest, Timeline, Upstream, UpstreamBody, UpstreamError, classify,
    connection::Connection,
    framing, into_wire,
    pool::{Lease, SendError, SendFailure},
};

/// A connection that has left HTTP, and what the upstream sent behind its answer.
#[derive(Debug)]
pub(crate) struct UpgradedConnection {
    read_ahead: Bytes,
    connection: Connection,
}

/// An extension of 101 responses: the connection, which can be taken once.
#[derive(Clone)]
pub(crate) struct Upgraded(Arc<Mutex<Option<UpgradedConnection>>>);

impl Upgraded {
    /// The connection, the first time.
    pub(crate) fn take(&self) -> Option<UpgradedConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgraded")
    }
}

impl Upstream {
    /// Sends a request that asks for another protocol, and waits for the response head. A 101 has [`Upgraded`] among
    /// its extensions; any other response is an ordinary one.
    pub(crate) async fn upgrade(
        &self,
        request: OutgoingRequest,
        timeline: Option<&mut Timeline>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let failed = |unsent, error| Failure { error, unsent, reused: false, connections: self.pool.made() };
        let mut lease = self.connect_alone().await.map_err(|error| failed(true, error))?;
        if let Some(timeline) = timeline {
            timeline.connected = Some((Instant::now(), false));
        }
        let request = into_wire(request, Version::HTTP_11, self.connector.scheme());
        let answered = async {
            let mut response = lease.send(request).await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let upgraded = hyper::upgrade::on(&mut response)
                    .await
                    .map_err(|error| SendFailure { error: SendError::Http1(error), unsent: false })?;
                response.extensions_mut().insert(of_hyper(upgraded));
            }
            Ok(response)
        };
        let response = match timeout(self.timeouts.response, answered).await {
            Err(_) => return Err(failed(false, UpstreamError::ResponseTimeout)),
            Ok(Err(SendFailure { error, unsent })) => {
                let fault = lease.alert().and_then(|alert| alert.fault(true));
                return Err(failed(unsent, classify(error, fault)));
            }
            Ok(Ok(response)) => response,
        };
        let has_left_http = response.extensions().get::<Upgraded>().is_some();
        let response = if has_left_http {
            response
        } else {
            framing::validate_framing(response, false)
                .map_err(|what| failed(false, UpstreamError::Protocol(what.into())))?
        };
        let length = framing::declared_length(response.headers());
        let has_none = has_left_http || framing::has_no_body(response.status(), false);
        Ok(response.map(|incoming| UpstreamBody::new(incoming, lease, length, has_none, None)))
    }

    /// A new connection that speaks HTTP/1.1 and stays out of the pool.
    async fn connect_alone(&self) -> Result<Lease, UpstreamError> {
        let deadline = Instant::now() + self.timeouts.connect;
        let connecting = async {
            let connector = self.http1_connector.get_or_init(|| self.connector.http1_only());
            let connection = connector.connect(deadline).await?;
            let alert = connection.alert();
            let lease = self.pool.handshake_alone(connection).await;
            lease.map_err(|error| classify(error, alert.fault(true)))
        };
        let connected = timeout_at(deadline, connecting).await;
        connected.unwrap_or(Err(UpstreamError::ConnectTimeout(ConnectStage::Http)))
    }
}

/// The connection that hyper had.
fn of_hyper(upgraded: hyper::upgrade::Upgraded) -> Upgraded {
    let parts = upgraded.downcast::<TokioIo<Connection>>().expect("the pool gives hyper this type");
    // Copied, since even an empty part would keep hyper's whole buffer, 8 KiB, for as long as the connection lasts.
    let read_ahead = Bytes::copy_from_slice(&parts.read_buf);
    let connection = UpgradedConnection { read_ahead, connection: parts.io.into_inner() };
    Upgraded(Arc::new(Mutex::new(Some(connection))))
}

impl AsyncRead for UpgradedConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_ahead.is_empty() {
            return Pin::new(&mut self.connection).poll_read(context, buffer);
        }
        let length = self.read_ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.read_ahead[..length]);
        self.read_ahead.advance(length);
        if self.read_ahead.is_empty() {
            // Frees the buffer that the bytes were read into.
            self.read_ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpgradedConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}
