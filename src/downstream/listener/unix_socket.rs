//! Unix sockets and their files: only this user may connect, and no file of another program is removed.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
pub use std::os::unix::net::UnixStream as StdUnixStream;
pub use tokio::net::{UnixListener, UnixStream};

use super::Owner;

/// Whether this system has unix sockets that the proxy can use.
pub(super) const IS_AVAILABLE: bool = true;

/// Binds a unix socket at `path`, in the place of one that a program left behind.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    // By umask and not by chmod: between bind and chmod another user could connect.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    Ok((listener?, SocketFile::made_at(path)?))
}

/// Waits for the next connection, and tells who made it.
pub(super) async fn accept(listener: &UnixListener) -> io::Result<(StdUnixStream, Owner)> {
    let (stream, _) = listener.accept().await?;
    // The file's mode keeps other users out, but a service manager may have made the socket with another mode.
    let owner = Owner::of_user(stream.peer_cred()?.uid());
    Ok((stream.into_std()?, owner))
}

/// The path that a socket is bound to.
pub(super) fn path(listener: &UnixListener) -> Option<PathBuf> {
    listener.local_addr().ok()?.as_pathname().map(Path::to_owned)
}

/// The file of a unix socket that this process made. Dropping it removes the file.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn made_at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The file may have been removed, and another program may have bound its own socket in the same place.
        let is_same_file =
            fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if is_same_file {
            // Fails if the file has been removed in this moment.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Removes the socket of a program that has ended. Everything else at `path` stays and is an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "this path is a file that is not a socket"));
    }
    match try_connect(path) {
        // Only this error says that no process listens any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
        // The backlog of a busy or stopped listener is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::AddrInUse.into()),
        // Permission denied, for example: another user's socket may be in use.
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("this path is a socket that may be in use, since connecting to it failed: {error}"),
        )),
    }
}

/// Tries to connect to the socket at `path` without waiting, since a stopped program never answers.
fn try_connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener as StdUnixListener};

    use socket2::SockRef;

    use super::*;
    use crate::downstream::listener::{self, Listen};

    fn unix_at(folder: &tempfile::TempDir) -> (PathBuf, Listen) {
        let path = folder.path().join("proxy.sock");
        (path.clone(), Listen::Unix(path))
    }

    #[tokio::test]
    async fn the_socket_of_a_program_that_is_gone_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, listen) = unix_at(&folder);
        drop(StdUnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        drop(listener::bind(&listen).expect("bound"));
        assert!(!path.exists(), "it goes with its listener");
    }

    #[tokio::test]
    async fn a_socket_that_another_program_has_put_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, listen) = unix_at(&folder);
        let ours = listener::bind(&listen).expect("bound");
        fs::remove_file(&path).expect("removed");
        let _theirs = StdUnixListener::bind(&path).expect("bound");
        drop(ours);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_may_be_in_use_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, listen) = unix_at(&folder);
        let live = StdUnixListener::bind(&path).expect("bound");
        assert_eq!(
            listener::bind(&listen).expect_err("in use").into_source().kind(),
            io::ErrorKind::AddrInUse
        );
        // Its program accepts nothing: an attempt that waited would wait for ever.
        SockRef::from(&live).listen(0).expect("a short queue");
        let _waiting: Vec<io::Result<()>> = (0..3).map(|_| try_connect(&path)).collect();
        assert_eq!(
            listener::bind(&listen).expect_err("in use").into_source().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(live);
        fs::remove_file(&path).expect("removed");
        let _other_kind = UnixDatagram::bind(&path).expect("bound");
        let error = listener::bind(&listen).expect_err("another kind").into_source();
        assert!(error.to_string().contains("may be in use"), "{error}");
        assert!(path.exists());
    }
}
