//! Windows limits neither open files nor who of the user's programs may read the memory of others.

/// What to do when the system gives no thread.
pub(super) const HOW_TO_GET_THREADS: &str = "end other programs";

/// Nothing to do: Windows writes the memory of a process to a file only where an administrator has set that up.
pub(super) fn protect_memory() {}

/// The limit on open files: there is none.
pub fn raise_open_files(_wanted: u64) -> u64 {
    u64::MAX
}

/// Runs `start`, which starts a program.
pub fn with_inherited_open_files<T>(start: impl FnOnce() -> T) -> T {
    start()
}
