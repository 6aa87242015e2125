//! Sockets that a service manager has bound and passed on (`LISTEN_FDS` of systemd's socket activation).

use std::{error::Error, fmt, io};

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use super::{Listen, Listener};

/// The name of the sockets that become the admin listener.
const ADMIN: &str = "admin";

/// The first passed file descriptor.
const SD_LISTEN_FDS_START: usize = 3;

/// The passed sockets; usually none.
#[derive(Debug, Default)]
pub struct Passed {
    pub(crate) data: Vec<Listener>,
    pub(crate) admin: Vec<Listener>,
}

/// A passed file descriptor that is not a listening socket.
#[derive(Debug)]
pub struct PassedError {
    number: usize,
    source: io::Error,
}

impl fmt::Display for PassedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on file descriptor {}, which the service manager passed", self.number)
    }
}

impl Error for PassedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl Passed {
    /// Takes the sockets that were passed to this process; `names` are those of `LISTEN_FDNAMES`.
    ///
    /// Must be called while the process has one thread: this changes the environment, so that no program which this one
    /// starts takes the sockets for its own.
    ///
    /// # Errors
    /// When something other than a listening stream socket with an address was passed.
    pub fn take(names: &str) -> Result<Self, PassedError> {
        let mut given = ListenFd::from_env();
        let mut names = names.split(':');
        let mut passed = Self::default();
        for index in 0..given.len() {
            let listener = listener(&mut given, index)
                .map_err(|source| PassedError { number: SD_LISTEN_FDS_START + index, source })?;
            let listeners = if names.next() == Some(ADMIN) { &mut passed.admin } else { &mut passed.data };
            listeners.push(listener);
        }
        Ok(passed)
    }

    /// The addresses of the sockets for clients.
    #[must_use]
    pub fn addresses(&self) -> Vec<Listen> {
        self.data.iter().filter_map(Listener::listen).collect()
    }
}

fn listener(given: &mut ListenFd, index: usize) -> io::Result<Listener> {
    let not_listening = || io::Error::other("it is not a listening TCP or unix socket with an address");
    let listener = if let Ok(Some(tcp)) = given.take_tcp_listener(index) {
        tcp.set_nonblocking(true)?;
        if !SockRef::from(&tcp).is_listener()? {
            return Err(not_listening());
        }
        Listener::Tcp(TcpListener::from_std(tcp)?)
    } else if let Ok(Some(unix)) = given.take_unix_listener(index) {
        unix.set_nonblocking(true)?;
        if !SockRef::from(&unix).is_listener()? {
            return Err(not_listening());
        }
        Listener::Unix(UnixListener::from_std(unix)?, None)
    } else {
        return Err(not_listening());
    };
    if listener.listen().is_some() { Ok(listener) } else { Err(not_listening()) }
}
