//! Modes, inodes and folders that can be synced.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use super::{Exposure, Readers};

/// What makes a file private, as the end of "can be read by other users".
pub(crate) const HOW_TO_PROTECT: &str = "chmod 600 it";

/// What makes a file private, without its name.
pub(crate) const PROTECTING_TOOL: &str = "chmod 600";

/// What to type to make the file private.
pub(crate) fn protecting_command(path: &Path) -> String {
    format!("chmod 600 {}", path.display())
}

/// Creates a file for writing; fails if there is one.
pub(crate) fn create(path: &Path, readers: Readers) -> io::Result<File> {
    let mode = match readers {
        Readers::OnlyUser => 0o600,
        Readers::Everyone => 0o644,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Creates a folder for this user alone, unless there is one, and those above it.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether the file is private.
pub(crate) fn exposure(file: &File) -> io::Result<Option<Exposure>> {
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 {
        return Ok(Some(Exposure::Shared));
    }
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    Ok((!is_own).then_some(Exposure::Foreign))
}

/// Whether other users may read a file with a secret.
pub(crate) fn is_readable_by_others(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(admits_others(metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw()))
}

/// A file of root's that another user is let read by its group was handed out to that user: so Kubernetes
/// gives secrets to a pod's `fsGroup`, with mode 0440.
fn admits_others(mode: u32, owner: u32, own_user: u32) -> bool {
    let handed_out = owner == 0 && own_user != 0;
    mode & 0o004 != 0 || (mode & 0o040 != 0 && !handed_out)
}

/// Whether `path` still names the open `file`.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

/// Puts the names in `folder` on the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The time of the last change, by ctime: `chmod 600` must count as a change too, since it may make a file usable.
pub(crate) fn time_of_change(metadata: &Metadata) -> Option<SystemTime> {
    let seconds = Duration::from_secs(metadata.ctime().try_into().ok()?);
    let nanoseconds = Duration::from_nanos(metadata.ctime_nsec().try_into().ok()?);
    Some(SystemTime::UNIX_EPOCH + seconds + nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_roots_may_be_read_by_its_group() {
        let (root, other) = (0, 65_532);
        for (mode, owner, own_user, open) in [
            (0o400, root, other, false),
            (0o440, root, other, false),
            (0o444, root, other, true),
            (0o440, root, root, true),
            (0o440, other, other, true),
            (0o600, other, other, false),
            (0o604, other, other, true),
        ] {
            assert_eq!(admits_others(mode, owner, own_user), open, "{mode:o} of {owner} for {own_user}");
        }
    }
}
