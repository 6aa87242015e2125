//! What a connection is for after HTTP: the service that answers 101 also says who gets the client's bytes.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

type Handler = Box<dyn FnOnce(UpgradedClient) -> BoxFuture + Send>;

/// An extension of 101 responses: what goes on with the connection when the response has been sent. The connection's
/// task runs it, so that the connection still counts among the others and drains with them.
#[derive(Clone)]
pub struct Upgrade(Arc<Mutex<Option<Handler>>>);

impl Upgrade {
    /// Gives the client to `handler` when the response has been sent.
    pub fn new<F>(handler: impl FnOnce(UpgradedClient) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handler: Handler = Box::new(|client| Box::pin(handler(client)));
        Self(Arc::new(Mutex::new(Some(handler))))
    }

    /// Runs what was given to [`new`](Self::new).
    pub(in crate::downstream) async fn run(self, client: UpgradedClient) {
        let handler = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handler) = handler {
            handler(client).await;
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

/// A client whose connection has left HTTP.
pub struct UpgradedClient {
    /// Its bytes.
    pub stream: ClientStream,
    /// Ends when the process is asked to end. The connection has `drain-timeout` from then on.
    pub shutdown: BoxFuture,
    /// Ends when the client has closed both halves, as far as the kernel can tell.
    pub gone: BoxFuture,
}

impl fmt::Debug for UpgradedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradedClient").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The bytes of a client that has left HTTP, those that it sent before the answer first.
#[derive(Debug)]
pub struct ClientStream {
    held: Bytes,
    socket: Socket,
}

impl ClientStream {
    pub(in crate::downstream) fn new(socket: Socket, held: Bytes) -> Self {
        Self { held, socket }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let length = self.held.len().min(buffer.remaining());
        buffer.put_slice(&self.held[..length]);
        self.held.advance(length);
        if self.held.is_empty() {
            // Frees the buffer that the bytes were read into.
            self.held = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
