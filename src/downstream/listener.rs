//! Listen addresses, binding them, and accepting connections on them.

mod address;
mod loop_check;
mod options;
#[cfg_attr(not(target_os = "linux"), path = "listener/no_passed.rs")]
mod passed;
#[cfg_attr(not(unix), path = "listener/no_unix_socket.rs")]
mod unix_socket;

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::Path,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

pub use address::{InvalidListen, Listen, reachable};
pub use passed::{Passed, PassedError};
pub use unix_socket::{SocketFile, StdUnixStream, UnixListener, UnixStream};

pub use super::peer::Owner;

/// Whether this system has unix sockets that the proxy can listen on.
pub const HAS_UNIX_SOCKETS: bool = unix_socket::IS_AVAILABLE;

/// How many established connections the kernel queues while the accept loop is busy.
const BACKLOG: i32 = 1_024;

/// How many ports are tried when port 0 gives one that is taken on the other address family.
const MAX_PORT_TRIES: usize = 16;

/// The two ends of an accepted connection; both absent for a unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The proxy's end.
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
    /// A unix socket. Its file is removed with it, unless a service manager made it.
    Unix(UnixListener, Option<SocketFile>),
}

/// An accepted connection, not yet registered with a runtime.
#[derive(Debug)]
pub enum Accepted {
    /// TCP.
    Tcp(TcpStream, Endpoints),
    /// A unix socket.
    Unix(StdUnixStream, Endpoints),
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
                // A reset frees the client's port at once, so that the kernel may have found the next process to use
                // it. What the client sent before the reset can still be read, and would pass as that process's
                // request.
                if !matches!(stream.take_error(), Ok(None)) {
                    endpoints.owner = Owner::Gone;
                }
                endpoints.owner
            }
            Self::Unix(_, endpoints) => endpoints.owner,
        }
    }
}

/// An address that cannot be bound.
#[derive(Debug)]
pub struct BindError {
    address: String,
    source: io::Error,
}

impl BindError {
    /// The error of the system.
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

/// Binds `listen`. `localhost` binds both loopback addresses: a client may try either, and another program must not
/// receive its requests there.
///
/// # Errors
/// When an address is taken. A host without IPv6 gets 127.0.0.1 alone.
pub fn bind(listen: &Listen) -> Result<Vec<Listener>, BindError> {
    match listen {
        Listen::Localhost(port) => bind_localhost(*port),
        Listen::Address(address) => tcp(*address).map(|listener| vec![listener]),
        Listen::Unix(path) => unix(path).map(|listener| vec![listener]),
    }
}

fn bind_localhost(port: u16) -> Result<Vec<Listener>, BindError> {
    let mut tries = if port == 0 { MAX_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let four = tcp((Ipv4Addr::LOCALHOST, port).into())?;
        let chosen = four.local_address().map_or(port, |address| address.port());
        match tcp((Ipv6Addr::LOCALHOST, chosen).into()) {
            Ok(six) => return Ok(vec![four, six]),
            Err(error) if is_absent(&error.source) => {
                tracing::info!("this host has no IPv6, listening on 127.0.0.1 only");
                return Ok(vec![four]);
            }
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// Whether the host lacks this address family.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error() == Some(options::NO_SUCH_FAMILY)
}

fn tcp(address: SocketAddr) -> Result<Listener, BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            // Otherwise [::] would also take the IPv4 port.
            socket.set_only_v6(true)?;
        }
        options::allow_quick_restart(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    };
    bound().map(Listener::Tcp).map_err(|source| BindError { address: address.to_string(), source })
}

fn unix(path: &Path) -> Result<Listener, BindError> {
    let bound = unix_socket::bind(path);
    let address = || format!("unix:{}", path.display());
    bound
        .map(|(listener, file)| Listener::Unix(listener, Some(file)))
        .map_err(|source| BindError { address: address(), source })
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
                // Otherwise the end of an answer waits for the client's acknowledgement, by up to 40 ms on Linux.
                stream.set_nodelay(true)?;
                let local = stream.local_addr().ok();
                let endpoints = Endpoints { local, peer: Some(peer), ..Endpoints::default() };
                Ok(Accepted::Tcp(stream.into_std()?, endpoints))
            }
            Self::Unix(listener, _) => {
                let (stream, owner) = unix_socket::accept(listener).await?;
                Ok(Accepted::Unix(stream, Endpoints { owner, ..Endpoints::default() }))
            }
        }
    }

    /// The bound address, as a value of `listen`.
    #[must_use]
    pub fn listen(&self) -> Option<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Listen::Address),
            Self::Unix(listener, _) => unix_socket::path(listener).map(Listen::Unix),
        }
    }

    /// The bound address with its actual port; `None` for a unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

/// The bound addresses as one value of `listen`.
#[must_use]
pub fn described(listeners: &[Listener]) -> Option<Listen> {
    let addresses: Vec<Listen> = listeners.iter().filter_map(Listener::listen).collect();
    Listen::of(&addresses)
}

/// The URL under which clients reach these listeners.
#[must_use]
pub fn url(listen: &Listen, bound: &[Listener]) -> String {
    let address = bound.first().and_then(Listener::local_address);
    match (listen, address) {
        (Listen::Localhost(_), Some(address)) => format!("http://localhost:{}", address.port()),
        (_, Some(address)) => format!("http://{address}"),
        (listen, None) => listen.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockAddr;

    use super::*;

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
}
