//! Hardens the process (no core file, no reader of its memory, no payload in a panic message) and checks its resources.

use std::{io, panic, sync::OnceLock, thread};

use rand::{TryRng, rngs::SysRng};
use rustix::process::{Resource, Rlimit};

use crate::telemetry;

/// Keeps other processes of the user out of the memory, and the memory out of core files.
///
/// Failures are ignored: the proxy works without, and some systems do not allow this.
pub fn harden() {
    if !is_undumpable() {
        // The limit is the second choice: a program that `exec` runs inherits it, and it does not hold for core files
        // that are piped to a program (`core_pattern` with `|`). The hard limit stays, so that the program can raise it
        // again.
        let mut limit = rustix::process::getrlimit(Resource::Core);
        limit.current = Some(0);
        let _ = rustix::process::setrlimit(Resource::Core, limit);
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // Without the message, which may quote what a client sent. The location is enough to find the cause.
        telemetry::say(&format!("countersign: internal error at {place}\n"));
    }));
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

/// How many open files the process needs at least: standard streams, those of the runtime, configuration and session
/// files, a listener and a connection on either side, and some spare ones.
const MIN_OPEN_FILES: u64 = 64;

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

/// Checks for what every command needs and libraries would panic without: open files, a thread, random bytes.
///
/// # Errors
/// When the system refuses one of these.
pub fn check_resources() -> io::Result<()> {
    let limit = raise_open_files(MIN_OPEN_FILES);
    if limit < MIN_OPEN_FILES {
        return Err(io::Error::other(format!(
            "this process may have {limit} files open and needs {MIN_OPEN_FILES} at least; raise the limit (ulimit -n)"
        )));
    }
    let thread = thread::Builder::new().spawn(|| {}).map_err(|error| no_thread(&error))?;
    // An empty thread cannot panic.
    let _ = thread.join();
    SysRng
        .try_next_u32()
        .map_err(|error| io::Error::other(format!("the system gives no random bytes (getrandom): {error}")))
        .map(drop)
}

/// The error for a thread that cannot be started, with the limit that is usually the cause.
pub fn no_thread(error: &io::Error) -> io::Error {
    let message = format!("no thread can be started; raise the limit on processes (ulimit -u): {error}");
    io::Error::new(error.kind(), message)
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

/// Whether this process ignores the signal with this number; `false` if the system does not say.
pub fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| signal > 0 && mask >> (signal - 1) & 1 == 1)
}
