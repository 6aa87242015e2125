//! Hardens the process (no core file, no reader of its memory, no payload in a panic message) and checks its resources.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{io, panic, thread};

use rand::{TryRng, rngs::SysRng};

use crate::telemetry;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use system::{raise_open_files, with_inherited_open_files};

/// Keeps other processes of the user out of the memory, and the memory out of core files.
///
/// Failures are ignored: the proxy works without, and some systems do not allow this.
pub fn harden() {
    system::protect_memory();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // Without the message, which may quote what a client sent. The location is enough to find the cause.
        telemetry::say(&format!("countersign: internal error at {place}\n"));
    }));
}

/// How many open files the process needs at least: standard streams, those of the runtime, configuration and session
/// files, a listener and a connection on either side, and some spare ones.
const MIN_OPEN_FILES: u64 = 64;

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
    let message = format!("no thread can be started; {}: {error}", system::HOW_TO_GET_THREADS);
    io::Error::new(error.kind(), message)
}

/// Whether this process ignores the signal with this number; `false` if the system does not say.
pub fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| signal > 0 && mask >> (signal - 1) & 1 == 1)
}
