//! Options of listening sockets on Unix.

use std::io;

use rustix::io::Errno;
use socket2::Socket;

/// The error for a family of addresses that this host lacks.
pub(crate) const NO_SUCH_FAMILY: i32 = Errno::AFNOSUPPORT.raw_os_error();

/// Lets the port be bound while connections of the process that had it before are still in TIME_WAIT.
pub(crate) fn allow_quick_restart(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}
