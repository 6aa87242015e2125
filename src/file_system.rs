//! What systems do differently with files: who may read and write one, which file a path names, and what makes a rename
//! last.

#[cfg(any(windows, test))]
mod access_list;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

#[cfg(windows)]
pub(crate) use system::has_trusted_owner;
pub(crate) use system::{
    HOW_TO_PROTECT, PROTECTING_TOOL, create, create_folder, exposure, is_at, is_readable_by_others,
    protecting_command, sync_folder, time_of_change,
};

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// This user, and on Windows the system.
    OnlyUser,
    /// All who may read what is in the folder. Only this user may write, where the system has modes.
    Everyone,
}

/// Why a file is not private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Other users may read or write it.
    Shared,
    /// It belongs to another user.
    Foreign,
}
