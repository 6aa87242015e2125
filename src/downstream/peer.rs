//! The client's end of a connection: which user's process holds it, and whether any process does. Only Linux says.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
};

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

/// Whether this system says whose a connection is, as far as is known without asking it.
pub const TELLS_OWNERS: bool = system::IS_KNOWN;

/// Who holds the client's end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// A process of this process's user, or of root, who can act as any user anyway.
    Own,
    /// A process of the user with this id.
    Other(u32),
    /// A process on another machine.
    Remote,
    /// No process: the client has closed its socket already.
    Gone,
    /// A process on this machine, of any user: only Linux says of which.
    OnThisMachine,
    /// The kernel was not asked, or does not say although it could.
    #[default]
    Unknown,
}

impl Owner {
    /// The owner of a socket that belongs to the user with this id.
    #[cfg(unix)]
    pub(crate) fn of_user(user: u32) -> Self {
        if user == 0 || user == rustix::process::geteuid().as_raw() { Self::Own } else { Self::Other(user) }
    }

    /// Asks the kernel who holds the end at `peer` of a connection that was accepted at `local`.
    ///
    /// The answer holds for the moment of the call, which must come before anything is read: a client that sends a
    /// request and closes at once leaves a socket without an owner, and soon no socket at all.
    pub(crate) fn of(local: SocketAddr, peer: SocketAddr) -> Self {
        system::owner(local, peer)
    }
}

/// Makes a loopback connection and asks the kernel who holds it, to find out whether it says.
///
/// # Errors
/// When no loopback connection can be made.
pub(crate) fn kernel_tells_owners() -> io::Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let local = listener.local_addr()?;
    let client = TcpStream::connect(local)?;
    Ok(Owner::of(local, client.local_addr()?) == Owner::Own)
}

/// Whether both ends are on this machine. They are if either address is loopback, whatever source address the client
/// has bound, and if both addresses are the same.
fn is_on_this_machine(local: SocketAddr, peer: SocketAddr) -> bool {
    let (local, peer) = (local.ip().to_canonical(), peer.ip().to_canonical());
    local.is_loopback() || peer.is_loopback() || local == peer
}

/// Whether a process still holds the client's end.
///
/// The end of input looks the same whether the client has closed one half of the connection or both; only the kernel
/// distinguishes them. `None` when the client's end is on another machine, or the kernel does not say.
#[must_use]
pub(crate) fn is_held(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    system::is_held(local, peer)
}
