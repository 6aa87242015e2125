//! Errors of Unix.

use rustix::io::Errno;

/// Errors for something that this machine lacks: files, memory, threads, ports.
pub(super) const SHORTAGES: [i32; 6] = [
    Errno::MFILE.raw_os_error(),
    Errno::NFILE.raw_os_error(),
    Errno::NOBUFS.raw_os_error(),
    Errno::NOMEM.raw_os_error(),
    Errno::AGAIN.raw_os_error(),
    Errno::ADDRNOTAVAIL.raw_os_error(),
];
