//! Which process holds a lock: Linux has a table of all locks.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The process that holds the lock at `path` now.
pub(super) fn of(path: &Path) -> Option<u32> {
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let metadata = fs::metadata(path).ok()?;
    holder_in(&table, metadata.dev(), metadata.ino())
}

/// Finds the lock of a file in `/proc/locks`, which has lines like `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0
/// EOF` with the device in hexadecimal (proc_locks(5)). Lines with an arrow belong to processes that wait.
fn holder_in(table: &str, device: u64, inode: u64) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_held = fields.next() == Some("FLOCK");
        let process = fields.nth(2)?;
        (is_held && fields.next() == Some(&file)).then(|| process.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_holder_is_found_by_device_and_inode_and_is_not_a_waiter() {
        let table = "1: POSIX  ADVISORY  WRITE 11 08:02:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 fd:02:77 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 14 fd:02:77 0 EOF\n\
                     4: FLOCK\n\nnonsense";
        let device = rustix::fs::makedev(0xfd, 2);
        assert_eq!(holder_in(table, device, 77), Some(13));
        assert_eq!(holder_in(table, device, 78), None);
        assert_eq!(holder_in("", device, 77), None);
    }
}
