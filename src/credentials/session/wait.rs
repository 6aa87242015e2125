//! What an operation on the stored session is waiting for, so that a timeout can say so.

#[cfg_attr(not(target_os = "linux"), path = "wait/no_holder.rs")]
mod holder;

use std::{
    fmt,
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
        Self(holder::of(path))
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

#[cfg(test)]
mod tests {
    use super::*;

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
