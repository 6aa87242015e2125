//! Why a stored session cannot be used, kept or renewed.

use std::{error, fmt, io, path::PathBuf};

use super::wait::Holder;
use crate::credentials::user_pool;

/// Why a stored session cannot be used or kept.
#[derive(Debug)]
pub enum Error {
    /// Others may read the file.
    Exposed(PathBuf),
    /// The file belongs to another user.
    Foreign(PathBuf),
    /// Another process, this one if the system tells, holds the lock.
    Busy(PathBuf, Holder),
    /// The file or its folder cannot be read or written.
    Io(PathBuf, io::Error),
}

impl Error {
    /// What a person should do, when only a person can help; names no path, since clients are told.
    ///
    /// Everything else passes by itself: a disk is full or read-only for a while, another process holds the lock.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Exposed(_) => Some("make the stored session private with chmod 600, or sign in again"),
            Self::Foreign(_) => {
                Some("the stored session belongs to another user; sign in with `countersign login`")
            }
            Self::Busy(..) | Self::Io(..) => None,
        }
    }
}

/// Why the user pool has refused the refresh token of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended(String);

impl Ended {
    pub(super) fn new(reason: String) -> Self {
        Self(reason)
    }

    /// The end that a refusal of the refresh token is.
    pub(in crate::credentials) fn of(error: &user_pool::Error) -> Self {
        Self(error.to_string())
    }

    /// The user pool's refusal.
    pub(super) fn reason(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored session has ended: {}", self.0)
    }
}

impl error::Error for Ended {}

/// Why tokens could not be renewed.
#[derive(Debug)]
pub enum RenewError {
    /// There is no stored session, or its refresh token was refused, for this reason if it is known.
    SignedOut(Option<Ended>),
    /// The store failed.
    Store(Error),
    /// The user pool refused or did not answer.
    UserPool(user_pool::Error),
}

impl From<Error> for RenewError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed(path) => {
                let path = path.display();
                write!(f, "others may read the session in {path}; run chmod 600 {path}, or sign in again")
            }
            Self::Foreign(path) => {
                write!(f, "the session in {} belongs to another user", path.display())
            }
            Self::Busy(path, holder) => {
                write!(f, "the session lock {} is still held by {holder}", path.display())
            }
            Self::Io(path, _) => write!(f, "the session in {} cannot be used", path.display()),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io(_, source) => Some(source),
            Self::Exposed(_) | Self::Foreign(_) | Self::Busy(..) => None,
        }
    }
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignedOut(_) => "nobody is signed in; run `countersign login`",
            Self::Store(_) => "the stored session cannot be used",
            Self::UserPool(_) => "the stored session cannot be renewed",
        })
    }
}

impl error::Error for RenewError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::SignedOut(ended) => ended.as_ref().map(|ended| ended as _),
            Self::Store(source) => Some(source),
            Self::UserPool(source) => Some(source),
        }
    }
}
