//! Systems that do not say whose a connection is, unless one asks for every socket of every process.

use std::net::SocketAddr;

use super::{Owner, is_on_this_machine};

/// Whether this system has a way to say whose a connection is.
pub(super) const IS_KNOWN: bool = false;

pub(super) fn owner(local: SocketAddr, peer: SocketAddr) -> Owner {
    if is_on_this_machine(local, peer) { Owner::OnThisMachine } else { Owner::Remote }
}

pub(super) fn is_held(_: SocketAddr, _: SocketAddr) -> Option<bool> {
    None
}
