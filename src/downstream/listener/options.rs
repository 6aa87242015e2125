//! Options of listening sockets that systems treat differently.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{NO_SUCH_FAMILY, allow_quick_restart};
#[cfg(windows)]
pub(super) use windows::{NO_SUCH_FAMILY, allow_quick_restart};
