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
    Tls(Box<Secured<TcpStream>>),
    /// Through a forward proxy that is itself spoken to over TLS.
    TlsInTls(Box<Secured<Secured<TcpStream>>>),
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

    /// Where the upstream's TLS alert is noted, should one come.
    pub(super) fn alert(&self) -> Alert {
        match self {
            Self::Plain(_) => Alert::default(),
            Self::Tls(stream) => stream.alert(),
            Self::TlsInTls(stream) => stream.alert(),
        }
    }
}

/// The TLS alert that the other end of a connection sent after the handshake, if it did. Clones share it.
///
/// The HTTP libraries do not hand it on: h2 keeps only the text of an I/O error, and hyper reports the failed write that
/// may come before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Alert(Arc<Received>);

#[derive(Debug, Default)]
struct Received {
    /// Whether the other end asked for a client certificate in the handshake.
    asked: bool,
    alert: OnceLock<AlertDescription>,
}

impl Alert {
    /// What the alert means where an answer was expected; `is_first` if nothing had been answered on the connection.
    pub(super) fn fault(&self, is_first: bool) -> Option<TlsFault> {
        TlsFault::after_handshake(*self.0.alert.get()?, self.0.asked, is_first)
    }

    /// Notes the alert in `error`, and replaces the error by one that is the same for every reader of it.
    fn note(&self, error: io::Error) -> io::Error {
        let Some(rustls::Error::AlertReceived(alert)) =
            error.get_ref().and_then(|inner| inner.downcast_ref())
        else {
            return error;
        };
        // After the first alert rustls repeats the same error.
        let alert = *self.0.alert.get_or_init(|| *alert);
        // Wrapped, so that in a tunnel the session inside does not take it for its own. Its kind is that of a peer which
        // ended the connection, not the InvalidData of one which broke the protocol.
        io::Error::new(io::ErrorKind::ConnectionReset, TlsFault::Alert(alert.into()))
    }
}

/// A TLS session after its handshake, which notes the alert that ends it.
#[derive(Debug)]
pub(super) struct Secured<S> {
    tls: TlsStream<S>,
    alert: Alert,
}

impl<S> Secured<S> {
    /// `asked` tells whether the other end asked for a client certificate.
    pub(super) fn new(tls: TlsStream<S>, asked: bool) -> Self {
        Self { tls, alert: Alert(Arc::new(Received { asked, alert: OnceLock::new() })) }
    }

    pub(super) fn alert(&self) -> Alert {
        self.alert.clone()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Secured<S> {
    /// Hands on the outcome of a write. A server that sends an alert closes its socket with our bytes unread, which
    /// resets the connection: the write may fail before anyone has read the alert. What else is there to read stays in
    /// the session.
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
            match session.read_tls(&mut Reader { io: &mut *io, context: &mut *context }) {
                Ok(0) => break,
                Ok(_) => {}
                // A connection that cannot be written to any more is about to become readable.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(_) => break,
            }
            if let Err(error) = session.process_new_packets() {
                return Poll::Ready(Err(self.alert.note(io::Error::new(io::ErrorKind::InvalidData, error))));
            }
        }
        Poll::Ready(Err(error))
    }
}

/// Reads without waiting, and has the task woken when there is more.
struct Reader<'a, 'b, S> {
    io: &'a mut S,
    context: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> io::Read for Reader<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.io).poll_read(self.context, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tls).poll_read(context, buffer);
        read.map_err(|error| self.alert.note(error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
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
