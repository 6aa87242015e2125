//! The process as the system sees it: no core file, no reader of its memory, no payload in a panic; how many files it
//! may have open.

use std::{io, panic, sync::OnceLock, thread};

use rand::{TryRng, rngs::SysRng};
use rustix::process::{Resource, Rlimit};

use crate::telemetry;

/// Keeps other processes of the user out of the memory, and the memory out of files.
///
/// What the system does not grant is not worth ending for.
pub fn harden() {
    if !is_undumpable() {
        // The limit is a second choice: a program that `exec` runs inherits it, and a core file that is piped to a
        // program (`core_pattern` with `|`) is not held to it. The hard limit stays, so that others can raise it again.
        let mut limit = rustix::process::getrlimit(Resource::Core);
        limit.current = Some(0);
        let _ = rustix::process::setrlimit(Resource::Core, limit);
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // The message may quote what a client sent: the place is enough to find it.
        telemetry::say(&format!("countersign: internal error at {place}\n"));
    }));
}

/// Makes the system write no core file of this process and let no process of the same user read its memory; whether it
/// does. A program that this one starts is not held to it: `execve` undoes it (`PR_SET_DUMPABLE` in prctl(2)).
#[cfg(target_os = "linux")]
fn is_undumpable() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn is_undumpable() -> bool {
    false
}

/// Fewer open files than this are not enough to start: standard streams, the runtime's own, configuration and session
/// files, a listener and a connection on either side, with some to spare.
const MIN_OPEN_FILES: u64 = 64;

/// The limit on open files that the process was started with.
static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Lets the process have `wanted` files open at the same time, as far as its hard limit allows; how many it may have.
///
/// Shells start programs with a soft limit of 1,024 for the sake of programs that use select(2), and a much higher hard
/// one for those that do not.
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

/// Sees to what no command can do without, and the libraries panic for want of: open files, a thread, random bytes.
///
/// # Errors
/// When the system does not give it.
pub fn check_resources() -> io::Result<()> {
    let limit = raise_open_files(MIN_OPEN_FILES);
    if limit < MIN_OPEN_FILES {
        return Err(io::Error::other(format!(
            "this process may have {limit} files open and needs {MIN_OPEN_FILES} at least; raise the limit (ulimit -n)"
        )));
    }
    let thread = thread::Builder::new().spawn(|| {}).map_err(|error| no_thread(&error))?;
    // It has nothing in it that could panic.
    let _ = thread.join();
    SysRng
        .try_next_u32()
        .map_err(|error| io::Error::other(format!("the system gives no random bytes (getrandom): {error}")))
        .map(drop)
}

/// What the system says when it starts no thread, with the limit that is usually met.
pub fn no_thread(error: &io::Error) -> io::Error {
    let message = format!("no thread can be started; raise the limit on processes (ulimit -u): {error}");
    io::Error::new(error.kind(), message)
}

/// Runs `start` with the limit on open files that this process was started with, for a program that is to inherit it.
///
/// Files that are open stay open; for the moment that `start` takes, another thread may find that it can open no more.
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

/// Whether this process ignores the signal with this number, as far as the system tells.
pub fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| signal > 0 && mask >> (signal - 1) & 1 == 1)
}
