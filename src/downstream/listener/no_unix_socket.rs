//! In place of unix sockets where tokio has none: types without values, so that no code has to ask for the system.

use std::{
    io::{self, IoSlice},
    os::windows::io::{AsSocket, BorrowedSocket},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use super::Owner;

/// Whether this system has unix sockets that the proxy can use.
pub(super) const IS_AVAILABLE: bool = false;

/// A listening unix socket.
#[derive(Debug)]
pub enum UnixListener {}

/// A connection to a unix socket.
#[derive(Debug)]
pub enum UnixStream {}

/// The same, not registered with a runtime.
#[derive(Debug)]
pub enum StdUnixStream {}

/// The file of a unix socket.
#[derive(Debug)]
pub enum SocketFile {}

fn unavailable() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system has no unix sockets")
}

pub(super) fn bind(_: &Path) -> io::Result<(UnixListener, SocketFile)> {
    Err(unavailable())
}

pub(super) async fn accept(listener: &UnixListener) -> io::Result<(StdUnixStream, Owner)> {
    match *listener {}
}

pub(super) fn path(listener: &UnixListener) -> Option<PathBuf> {
    match *listener {}
}

impl StdUnixStream {
    pub(crate) fn connect(_: &Path) -> io::Result<Self> {
        Err(unavailable())
    }
}

impl UnixStream {
    #[expect(clippy::needless_pass_by_value, reason = "tokio's function takes the stream")]
    pub(crate) fn from_std(stream: StdUnixStream) -> io::Result<Self> {
        match stream {}
    }

    pub(crate) async fn connect(_: &Path) -> io::Result<Self> {
        Err(unavailable())
    }

    pub(crate) async fn ready(&self, _: Interest) -> io::Result<Ready> {
        match *self {}
    }

    pub(crate) fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(crate) fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(crate) fn try_io<T>(&self, _: Interest, _: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match *self {}
    }

    pub(crate) fn try_read_buf(&self, _: &mut ReadBuf<'_>) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn try_write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        match *self {}
    }
}

impl AsSocket for UnixStream {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        match *self {}
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}
