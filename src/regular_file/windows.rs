//! Opening regular files on Windows.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt,
    path::Path,
};

use super::{RegularFile, not_regular};

/// A pipe that the path names learns nothing of who opens it (SECURITY_ANONYMOUS).
const ANONYMOUS: u32 = 0;

impl RegularFile {
    /// Opens the file at `path` and follows symbolic links.
    ///
    /// # Errors
    /// When it does not exist or cannot be opened; `InvalidInput` when it is a pipe, a device or a directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // A directory cannot be opened, and the error would be about permissions.
        refuse_other_kinds(fs::metadata(path)?.file_type())?;
        OpenOptions::new().read(true).security_qos_flags(ANONYMOUS).open(path)?.try_into()
    }

    /// Opens the file at `path` for reading and writing, or creates one that only those can read who can read what is in
    /// the folder.
    ///
    /// # Errors
    /// When it can be neither opened nor created; `InvalidInput` when it is not a regular file.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.security_qos_flags(ANONYMOUS).open(path)?.try_into()
    }
}

/// Whether the open file is a regular one. Of pipes and devices Windows has no metadata, which is an error as well.
pub(super) fn refuse_unless_regular(file: &File) -> io::Result<()> {
    refuse_other_kinds(file.metadata()?.file_type())
}

fn refuse_other_kinds(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    Err(not_regular(if kind.is_dir() { "a directory" } else { "something else" }))
}
