//! Why a stored session cannot be used, written or renewed.

use std::{error, fmt, io, path::PathBuf};

use super::wait::Holder;
use crate::{credentials::user_pool, file_system};

/// Why a stored session cannot be used or written.
#[derive(Debug)]
pub enum Error {
    /// Others may read the file.
    Exposed(PathBuf),
    /// The file belongs to another user.
    Foreign(PathBuf),
    /// Another process holds the lock; the holder is named if the system says.
    Busy(PathBuf, Holder),
    /// The file or its folder cannot be read or written.
    Io(PathBuf, io::Error),
}

impl Error {
    /// What a person should do; `None` for a failure that may pass by itself, like a full disk or a lock.
    ///
    /// It names no path, since clients see it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Exposed(_) => Some(format!(
                "make the stored session private with {}, or sign in again",
                file_system::PROTECTING_TOOL
            )),
            Self::Foreign(_) => Some(
                "the stored session belongs to another user; sign in with `countersign login`".to_owned(),
            ),
            Self::Busy(..) | Self::Io(..) => None,
        }
    }
}

/// Why the user pool has refused the refresh token of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnded(String);

impl SessionEnded {
    pub(super) fn new(reason: String) -> Self {
        Self(reason)
    }

    /// The session ended by `error`, the refusal of the refresh token.
    pub(in crate::credentials) fn of(error: &user_pool::Error) -> Self {
        Self(error.to_string())
    }

    /// The user pool's words.
    pub(super) fn reason(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored session has ended: {}", self.0)
    }
}

impl error::Error for SessionEnded {}

/// Why tokens could not be renewed.
#[derive(Debug)]
pub enum RenewError {
    /// There is no stored session, or its refresh token was refused; the reason if it is known.
    SignedOut(Option<SessionEnded>),
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
                let command = file_system::protecting_command(path);
                write!(
                    f,
                    "others may read the session in {}; run {command}, or sign in again",
                    path.display()
                )
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
            Self::SignedOut(_) => "not signed in; run `countersign login`",
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
