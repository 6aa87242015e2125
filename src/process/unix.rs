//! Limits of a process on Unix, and who may read its memory.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit};

/// What to do when the system gives no thread.
pub(super) const HOW_TO_GET_THREADS: &str = "raise the limit on processes (ulimit -u)";

/// Keeps other processes of the user out of the memory, and the memory out of core files.
pub(super) fn protect_memory() {
    if !is_undumpable() {
        // The limit is the second choice: a program that `exec` runs inherits it, and it does not hold for core files
        // that are piped to a program (`core_pattern` with `|`). The hard limit stays, so that the program can raise it
        // again.
        let mut limit = rustix::process::getrlimit(Resource::Core);
        limit.current = Some(0);
        let _ = rustix::process::setrlimit(Resource::Core, limit);
    }
}

/// Makes the process undumpable, so that there is no core file and no other process of the user can read its memory;
/// `false` if the system refuses. `execve` resets this for programs that the process starts (`PR_SET_DUMPABLE` in
/// prctl(2)).
#[cfg(target_os = "linux")]
fn is_undumpable() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn is_undumpable() -> bool {
    false
}

/// The limit on open files that the process inherited.
static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit on open files to `wanted`, or to the hard limit if that is lower; returns the new limit.
///
/// Shells start programs with a soft limit of 1,024, because select(2) cannot handle more, and with a much higher hard
/// limit for programs that do not use it.
pub fn raise_open_files(wanted: u64) -> u64 {
    let inherited = *INHERITED.get_or_init(|| rustix::process::getrlimit(Resource::Nofile));
    let now = rustix::process::getrlimit(Resource::Nofile);
    let Some(current) = now.current else { return u64::MAX };
    let raised = wanted.min(inherited.maximum.unwrap_or(u64::MAX));
    if raised <= current {
        return current;
    }
    match rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..now }) {
        Ok(()) => raised,
        Err(_) => current,
    }
}

/// Runs `start` with the inherited limit on open files, for a program that is started in it and inherits the limit.
///
/// Open files stay open, but while `start` runs, other threads may be unable to open more.
pub fn with_inherited_open_files<T>(start: impl FnOnce() -> T) -> T {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let changed = INHERITED.get().filter(|inherited| inherited.current != now.current);
    if let Some(inherited) = changed {
        let _ = rustix::process::setrlimit(Resource::Nofile, *inherited);
    }
    let started = start();
    if changed.is_some() {
        let _ = rustix::process::setrlimit(Resource::Nofile, now);
    }
    started
}
