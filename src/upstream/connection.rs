//! An open connection to the upstream, before HTTP is spoken on it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use http::Version;
use rustls::AlertDescription;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::tls::fault::TlsFault;

/// A connection to the upstream, before HTTP is spoken on it.
#[derive(Debug)]
pub(super) enum Connection {
    Plain(TcpStream),
    // Boxed, since a TLS session is many times larger than a TCP stream.
    Tls(Box<TlsSession<TcpStream>>),
    /// Through a forward proxy that is itself reached over TLS.
    TlsInTls(Box<TlsSession<TlsSession<TcpStream>>>),
}

impl Connection {
    /// The version of HTTP that TLS agreed on.
    pub(super) fn version(&self) -> Version {
        let protocol = match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.tls.get_ref().1.alpn_protocol(),
            Self::TlsInTls(stream) => stream.tls.get_ref().1.alpn_protocol(),
        };
        if protocol == Some(b"h2") { Version::HTTP_2 } else { Version::HTTP_11 }
    }

    /// The record of the TLS alert that the upstream may send.
    pub(super) fn alert(&self) -> Alert {
        match self {
            Self::Plain(_) => Alert::default(),
            Self::Tls(stream) => stream.alert(),
            Self::TlsInTls(stream) => stream.alert(),
        }
    }
}

/// The TLS alert that the peer sent after the handshake, if it did. Clones share it.
///
/// It is recorded here because the HTTP libraries lose it: h2 keeps only the text of an I/O error, and hyper reports
/// the failed write that may come before the alert.
#[derive(Clone, Debug, Default)]
pub(super) struct Alert(Arc<AlertRecord>);

#[derive(Debug, Default)]
struct AlertRecord {
    /// Whether the peer requested a client certificate in the handshake.
    client_certificate_requested: bool,
    alert: OnceLock<AlertDescription>,
}

impl Alert {
    /// What the alert means in place of a response; `is_first` if the connection has given no response before.
    pub(super) fn fault(&self, is_first: bool) -> Option<TlsFault> {
        TlsFault::after_handshake(*self.0.alert.get()?, self.0.client_certificate_requested, is_first)
    }

    /// Records the alert in `error`, and replaces the error by one that names the alert.
    fn record(&self, error: io::Error) -> io::Error {
        let Some(rustls::Error::AlertReceived(alert)) =
            error.get_ref().and_then(|inner| inner.downcast_ref())
        else {
            return error;
        };
        // rustls repeats the error of the first alert on every later call.
        let alert = *self.0.alert.get_or_init(|| *alert);
        // Wrapped, so that the inner session of a tunnel does not take the alert for its own. An alert ends the
        // connection in order, so that its kind is not the InvalidData of a broken protocol.
        io::Error::new(io::ErrorKind::ConnectionReset, TlsFault::Alert(alert.into()))
    }
}

/// A TLS session after its handshake, which records the alert that ends it.
#[derive(Debug)]
pub(super) struct TlsSession<S> {
    tls: TlsStream<S>,
    alert: Alert,
}

impl<S> TlsSession<S> {
    /// `client_certificate_requested` is whether the peer requested a client certificate in the handshake.
    pub(super) fn new(tls: TlsStream<S>, client_certificate_requested: bool) -> Self {
        Self {
            tls,
            alert: Alert(Arc::new(AlertRecord { client_certificate_requested, alert: OnceLock::new() })),
        }
    }

    pub(super) fn alert(&self) -> Alert {
        self.alert.clone()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsSession<S> {
    /// Looks for an alert after a failed write. A server that sends an alert closes its socket with our bytes unread,
    /// which resets the connection: the write may fail before the alert has been read. Other input stays in the
    /// session.
    fn after_write<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let error = match ready!(written) {
            Ok(written) => return Poll::Ready(Ok(written)),
            Err(error) => error,
        };
        let (io, session) = self.tls.get_mut();
        loop {
            match session.read_tls(&mut PollReader { io: &mut *io, context: &mut *context }) {
                Ok(0) => break,
                Ok(_) => {}
                // The failed connection is about to become readable, at the latest with its end.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(_) => break,
            }
            if let Err(error) = session.process_new_packets() {
                return Poll::Ready(Err(self
                    .alert
                    .record(io::Error::new(io::ErrorKind::InvalidData, error))));
            }
        }
        Poll::Ready(Err(error))
    }
}

/// Lets rustls read from an asynchronous stream; `WouldBlock` wakes the task when there is more.
struct PollReader<'a, 'b, S> {
    io: &'a mut S,
    context: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> io::Read for PollReader<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.io).poll_read(self.context, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsSession<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tls).poll_read(context, buffer);
        read.map_err(|error| self.alert.record(error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsSession<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tls).poll_write(context, bytes);
        self.after_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tls).poll_write_vectored(context, buffers);
        self.after_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.tls).poll_flush(context);
        self.after_write(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::TlsInTls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::TlsInTls(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::TlsInTls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::TlsInTls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::TlsInTls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::TlsInTls(stream) => stream.is_write_vectored(),
        }
    }
}
