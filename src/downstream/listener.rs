//! Where clients connect: listen addresses, binding them, and accepted connections.

mod address;
mod circle;
mod passed;

use std::{
    fmt,
    fs::Metadata,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

pub use address::{InvalidListen, Listen};
pub use passed::{Passed, PassedError};

pub use super::peer::Owner;

/// Connections that the kernel keeps while the accept loop is busy.
const BACKLOG: i32 = 1_024;

/// How often another port is tried when port 0 gives one that the other family has taken.
const PORT_TRIES: usize = 16;

/// The two ends of an accepted connection; both absent for a unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Our end.
    pub local: Option<SocketAddr>,
    /// The client's end.
    pub peer: Option<SocketAddr>,
    /// Who holds the client's end, as found when the connection was accepted.
    pub owner: Owner,
}

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, whose file is removed when it is closed if it was made here.
    Unix(UnixListener, Option<SocketFile>),
}

/// An accepted connection, for any runtime to take up.
#[derive(Debug)]
pub enum Accepted {
    /// TCP.
    Tcp(TcpStream, Endpoints),
    /// A unix socket.
    Unix(UnixStream, Endpoints),
}

impl Accepted {
    /// The two ends.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        match self {
            Self::Tcp(_, endpoints) | Self::Unix(_, endpoints) => *endpoints,
        }
    }

    /// Asks the kernel who holds the client's end, before anything is read from it.
    pub(crate) fn identify(&mut self) -> Owner {
        match self {
            Self::Tcp(stream, endpoints) => {
                if let (Some(local), Some(peer)) = (endpoints.local, endpoints.peer) {
                    endpoints.owner = Owner::of(local, peer);
                }
                // A connection that was reset frees its port, and the kernel may have told of the next one to use it;
                // what the client sent before the reset can still be read.
                if !matches!(stream.take_error(), Ok(None)) {
                    endpoints.owner = Owner::Gone;
                }
                endpoints.owner
            }
            Self::Unix(_, endpoints) => endpoints.owner,
        }
    }
}

/// The file of a unix socket that was made here.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn made_at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&std::fs::symlink_metadata(path)?) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another program may have put its own socket in the place of one that it found removed.
        let is_ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if is_ours {
            // Whoever removed it before wanted the same.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// An address that cannot be bound.
#[derive(Debug)]
pub struct BindError {
    address: String,
    source: io::Error,
}

impl BindError {
    /// What the system says.
    #[must_use]
    pub fn into_source(self) -> io::Error {
        self.source
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}", self.address)?;
        if self.source.kind() == io::ErrorKind::AddrInUse {
            f.write_str(" (another program has it; choose another with --listen or --admin-listen)")?;
        }
        Ok(())
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Binds `listen`: both loopback families for `localhost`, so that no other program can have the name's
/// other address.
///
/// # Errors
/// When the address, or one of the two, is taken. A host without IPv6 gets IPv4 alone.
pub fn bind(listen: &Listen) -> Result<Vec<Listener>, BindError> {
    match listen {
        Listen::Localhost(port) => bind_localhost(*port),
        Listen::Address(address) => tcp(*address).map(|listener| vec![listener]),
        Listen::Unix(path) => unix(path).map(|listener| vec![listener]),
    }
}

fn bind_localhost(port: u16) -> Result<Vec<Listener>, BindError> {
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let four = tcp((Ipv4Addr::LOCALHOST, port).into())?;
        let chosen = four.local_address().map_or(port, |address| address.port());
        match tcp((Ipv6Addr::LOCALHOST, chosen).into()) {
            Ok(six) => return Ok(vec![four, six]),
            Err(error) if is_absent(&error.source) => {
                tracing::info!("this host has no IPv6: listening on 127.0.0.1 only");
                return Ok(vec![four]);
            }
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// The host does not have this address family at all.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn tcp(address: SocketAddr) -> Result<Listener, BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            // The wildcard of one family must not take the other's port.
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    };
    bound().map(Listener::Tcp).map_err(|source| BindError { address: address.to_string(), source })
}

fn unix(path: &Path) -> Result<Listener, BindError> {
    let bound = || {
        remove_stale(path)?;
        // The mode must be right from the first moment on, not after a change.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        Ok(Listener::Unix(listener?, Some(SocketFile::made_at(path)?)))
    };
    bound().map_err(|source| BindError { address: format!("unix:{}", path.display()), source })
}

/// Removes the socket of a program that is gone; anything else in its place is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;

    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket has this name"));
    }
    match knock(path) {
        // Nobody listens any more: the one answer that says so.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A listener that is too busy to take another connection.
        Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::AddrInUse.into()),
        // Another user's, which may be in use: only its owner can tell.
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("this path is a socket that may be in use, since connecting to it failed: {error}"),
        )),
    }
}

/// Connects to the socket at `path` without waiting: a program that is stopped takes no connection, and gives no answer.
fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

impl Listener {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// What the system says, about this connection or about the process.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Small answers must not wait for the client's acknowledgement.
                stream.set_nodelay(true)?;
                let local = stream.local_addr().ok();
                let endpoints = Endpoints { local, peer: Some(peer), ..Endpoints::default() };
                Ok(Accepted::Tcp(stream.into_std()?, endpoints))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                // The mode keeps others out; who shares the folder or inherits the socket is asked all the same.
                let owner = Owner::of_user(stream.peer_cred()?.uid());
                Ok(Accepted::Unix(stream.into_std()?, Endpoints { owner, ..Endpoints::default() }))
            }
        }
    }

    /// The address that is bound, as it would be configured.
    #[must_use]
    pub fn listen(&self) -> Option<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Listen::Address),
            Self::Unix(listener, _) => {
                let address = listener.local_addr().ok()?;
                address.as_pathname().map(|path| Listen::Unix(path.to_owned()))
            }
        }
    }

    /// The address, with the port that was chosen; absent for a unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

/// `listeners` as they would be configured.
#[must_use]
pub fn described(listeners: &[Listener]) -> Option<Listen> {
    let addresses: Vec<Listen> = listeners.iter().filter_map(Listener::listen).collect();
    Listen::of(&addresses)
}

/// How clients reach these listeners, in the words of `listen`.
#[must_use]
pub fn url(listen: &Listen, bound: &[Listener]) -> String {
    let address = bound.first().and_then(Listener::local_address);
    match (listen, address) {
        (Listen::Localhost(_), Some(address)) => format!("http://localhost:{}", address.port()),
        (_, Some(address)) => format!("http://{address}"),
        (listen, None) => listen.to_string(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener as StdUnixListener};

    use socket2::SockRef;

    use super::*;

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
        drop(bind(&listen).expect("bound"));
        assert!(!path.exists(), "it goes with its listener");
    }

    #[tokio::test]
    async fn a_socket_is_this_users_alone_and_a_file_is_no_socket() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let (path, listen) = unix_at(&folder);
        let bound = bind(&listen).expect("bound");
        let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(bound);
        std::fs::write(&path, "text").expect("written");
        let error = bind(&listen).expect_err("a file").into_source();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn the_wildcard_of_one_family_leaves_the_port_to_the_other() {
        let six = bind(&"[::]:0".parse().expect("an address")).expect("bound");
        let port = six[0].local_address().expect("TCP").port();
        bind(&Listen::Address((Ipv4Addr::UNSPECIFIED, port).into())).expect("bound as well");
    }

    #[tokio::test]
    async fn a_connection_that_was_reset_does_not_belong_to_the_next_one_from_its_port() {
        let listeners = bind(&"127.0.0.1:0".parse().expect("an address")).expect("bound");
        let address = SockAddr::from(listeners[0].local_address().expect("TCP"));
        let connect_from = |port: u16| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
            client.set_reuse_address(true).expect("set");
            client.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("bound");
            client.connect(&address).expect("connected");
            client
        };
        let first = connect_from(0);
        let mut accepted = listeners[0].accept().await.expect("accepted");
        first.set_linger(Some(std::time::Duration::ZERO)).expect("a reset");
        drop(first);
        let port = accepted.endpoints().peer.expect("TCP").port();
        let _next = connect_from(port);
        assert_eq!(accepted.identify(), Owner::Gone);
    }

    #[tokio::test]
    async fn a_socket_that_another_program_has_put_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, listen) = unix_at(&folder);
        let ours = bind(&listen).expect("bound");
        std::fs::remove_file(&path).expect("removed");
        let _theirs = StdUnixListener::bind(&path).expect("bound");
        drop(ours);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_may_be_in_use_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, listen) = unix_at(&folder);
        let live = StdUnixListener::bind(&path).expect("bound");
        assert_eq!(bind(&listen).expect_err("in use").into_source().kind(), io::ErrorKind::AddrInUse);
        // Its program takes no connections: a knock that waited would wait for ever.
        SockRef::from(&live).listen(0).expect("a short queue");
        let _waiting: Vec<io::Result<()>> = (0..3).map(|_| knock(&path)).collect();
        assert_eq!(bind(&listen).expect_err("in use").into_source().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        std::fs::remove_file(&path).expect("removed");
        let _other_kind = UnixDatagram::bind(&path).expect("bound");
        let error = bind(&listen).expect_err("another kind").into_source();
        assert!(error.to_string().contains("may be in use"), "{error}");
        assert!(path.exists());
    }
}
