//! The configuration file that is used although nobody named it: only this user and root may have written it.
//!
//! Such a file chooses the upstream, the credentials, and files whose content is sent in headers. In a folder that
//! others can write to, another user could have put it there.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io::{self, ErrorKind};

#[cfg(unix)]
pub(super) use unix::{Doubt, open};
#[cfg(windows)]
pub(super) use windows::{Doubt, open};

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// There is none.
    Absent,
    /// It cannot be opened, or is no regular file.
    Io(io::Error),
    /// Others may have written it.
    Untrusted(Doubt),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Absent,
            _ => Self::Io(error),
        }
    }
}
