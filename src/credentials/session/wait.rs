//! What an operation on the stored session is waiting for, so that a timeout can say so.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What the current operation is waiting for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct CurrentWait(Arc<Mutex<Option<Wait>>>);

/// Something that an operation on the stored session waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Another process holds this lock.
    Lock(PathBuf),
    /// The file system does not respond for this file.
    Disk(PathBuf),
}

/// Restores the previous wait when it is dropped, also when a caller times out.
#[derive(Debug)]
pub(super) struct WaitGuard<'a> {
    waits: &'a CurrentWait,
    before: Option<Wait>,
}

impl CurrentWait {
    /// Records `wait` until the guard is dropped.
    pub(super) fn begin(&self, wait: Wait) -> WaitGuard<'_> {
        let before = self.replace(Some(wait));
        WaitGuard { waits: self, before }
    }

    pub(super) fn current(&self) -> Option<Wait> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, wait: Option<Wait>) -> Option<Wait> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), wait)
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.waits.replace(self.before.take());
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(path) => write!(f, "{} holds the session lock {}", Holder::of(path), path.display()),
            Self::Disk(path) => write!(f, "the file system does not respond for {}", path.display()),
        }
    }
}

/// The process that holds a lock, if the system says.
#[derive(Debug, PartialEq, Eq)]
pub struct Holder(Option<u32>);

impl Holder {
    /// The process that holds the lock at `path` now.
    pub(super) fn of(path: &Path) -> Self {
        let table = fs::read_to_string("/proc/locks").unwrap_or_default();
        let identity = fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        Self(identity.ok().and_then(|(device, inode)| holder_in(&table, device, inode)))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(process) => write!(f, "process {process}"),
            None => f.write_str("another process"),
        }
    }
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

    #[test]
    fn a_guard_restores_the_wait_before_it() {
        let waits = CurrentWait::default();
        let [lock, disk] = [Wait::Lock("/state/lock".into()), Wait::Disk("/state/session".into())];
        let outer = waits.begin(lock.clone());
        drop(waits.begin(disk.clone()));
        assert_eq!(waits.current(), Some(lock));
        drop(outer);
        assert_eq!(waits.current(), None);
        assert_eq!(disk.to_string(), "the file system does not respond for /state/session");
    }
}
