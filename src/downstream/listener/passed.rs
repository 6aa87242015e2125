//! Sockets that a service manager has bound and passes on: `LISTEN_FDS` of systemd's protocol.

use std::{error::Error, fmt, io};

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use super::{Listen, Listener};

/// The name of the sockets that take the place of the admin listener.
const ADMIN: &str = "admin";

/// The first file descriptor that is passed.
const FIRST: usize = 3;

/// What was passed; usually nothing.
#[derive(Debug, Default)]
pub struct Passed {
    pub(crate) data: Vec<Listener>,
    pub(crate) admin: Vec<Listener>,
}

/// A file descriptor that is no socket to listen on.
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
    /// Takes over what was passed to this process; `names` are those of `LISTEN_FDNAMES`.
    ///
    /// To be called while the process has one thread: what was passed is taken out of the environment, so that
    /// no program that this one starts believes it to be its own.
    ///
    /// # Errors
    /// When something else than listening stream sockets with an address was passed.
    pub fn take(names: &str) -> Result<Self, PassedError> {
        let mut given = ListenFd::from_env();
        let mut names = names.split(':');
        let mut passed = Self::default();
        for index in 0..given.len() {
            let listener = listener(&mut given, index)
                .map_err(|source| PassedError { number: FIRST + index, source })?;
            let listeners = if names.next() == Some(ADMIN) { &mut passed.admin } else { &mut passed.data };
            listeners.push(listener);
        }
        Ok(passed)
    }

    /// Where clients reach what was passed for them.
    #[must_use]
    pub fn addresses(&self) -> Vec<Listen> {
        self.data.iter().filter_map(Listener::listen).collect()
    }
}

fn listener(given: &mut ListenFd, index: usize) -> io::Result<Listener> {
    let no_listener = || io::Error::other("it is no listening TCP or unix socket that has an address");
    let listener = if let Ok(Some(tcp)) = given.take_tcp_listener(index) {
        tcp.set_nonblocking(true)?;
        if !SockRef::from(&tcp).is_listener()? {
            return Err(no_listener());
        }
        Listener::Tcp(TcpListener::from_std(tcp)?)
    } else if let Ok(Some(unix)) = given.take_unix_listener(index) {
        unix.set_nonblocking(true)?;
        if !SockRef::from(&unix).is_listener()? {
            return Err(no_listener());
        }
        Listener::Unix(UnixListener::from_std(unix)?, None)
    } else {
        return Err(no_listener());
    };
    if listener.listen().is_some() { Ok(listener) } else { Err(no_listener()) }
}
