//! Where clients connect: listen addresses, binding them, and the accepted connection.

use std::{net::SocketAddr, path::PathBuf};

/// A listen address as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `localhost:PORT`: 127.0.0.1 and \[::1\], both or none.
    Localhost(u16),
    /// `IP:PORT`.
    Address(SocketAddr),
    /// `unix:/path`, created with mode 0600.
    Unix(PathBuf),
}

/// The two ends of an accepted connection; both absent for a unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Our end.
    pub local: Option<SocketAddr>,
    /// The client's end.
    pub peer: Option<SocketAddr>,
}
