//! What a process that holds secrets owes them: no core file, no reader of its memory, no payload in a panic.

use std::panic;

use rustix::process::Resource;

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

/// Whether this process ignores the signal with this number, as far as the system tells.
pub fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| signal > 0 && mask >> (signal - 1) & 1 == 1)
}
