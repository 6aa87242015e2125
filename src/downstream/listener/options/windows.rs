//! Options of listening sockets on Windows.

use std::io;

use socket2::Socket;

/// The error for a family of addresses that this host lacks (WSAEAFNOSUPPORT).
pub(crate) const NO_SUCH_FAMILY: i32 = 10_047;

/// Nothing to do: connections in TIME_WAIT keep no port, and `SO_REUSEADDR` would let another program of the user bind
/// the port as well and get a part of the requests ("Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE", Microsoft).
pub(crate) fn allow_quick_restart(_: &Socket) -> io::Result<()> {
    Ok(())
}
