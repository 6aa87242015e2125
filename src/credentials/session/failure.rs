//! Why a stored session cannot be used, kept or renewed.

use std::{error, fmt, io, path::PathBuf};

use crate::credentials::user_pool;

/// Why a stored session cannot be used or kept.
#[derive(Debug)]
pub enum Error {
    /// Others may read the file.
    Exposed(PathBuf),
    /// The file belongs to another user.
    Foreign(PathBuf),
    /// Another process has held the lock for too long.
    Busy(PathBuf),
    /// The file or its folder cannot be read or written.
    Io(PathBuf, io::Error),
}

impl Error {
    /// What a person should do; names no path, since clients are told.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Exposed(_) => "make the stored session private with chmod 600, or sign in again",
            Self::Foreign(_) => {
                "the stored session belongs to another user; sign in with `countersign login`"
            }
            Self::Busy(_) => "another process holds the stored session; end it, or wait",
            Self::Io(..) => "the stored session cannot be read or written; see the log",
        }
    }
}

/// Why tokens could not be renewed.
#[derive(Debug)]
pub enum RenewError {
    /// There is no stored session, or its refresh token has been refused.
    SignedOut,
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
            Self::Busy(path) => {
                write!(f, "another process has held {} for half a minute", path.display())
            }
            Self::Io(path, _) => write!(f, "the session in {} cannot be used", path.display()),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io(_, source) => Some(source),
            Self::Exposed(_) | Self::Foreign(_) | Self::Busy(_) => None,
        }
    }
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignedOut => "nobody is signed in; run `countersign login`",
            Self::Store(_) => "the stored session cannot be used",
            Self::UserPool(_) => "the stored session cannot be renewed",
        })
    }
}

impl error::Error for RenewError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::SignedOut => None,
            Self::Store(source) => Some(source),
            Self::UserPool(source) => Some(source),
        }
    }
}
