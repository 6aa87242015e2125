//! What a process that holds secrets owes them: no core file, no reader of its memory, no payload in a panic.

use std::{io::Write, panic};

/// Keeps other processes of the user out of the memory, and the memory out of files.
///
/// What the system does not grant is not worth ending for; it says so itself in the log.
pub fn harden() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::debug!(%error, "other processes of this user may read the memory");
    }
    #[cfg(unix)]
    {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Core, none) {
            tracing::debug!(%error, "a crash may leave a core file");
        }
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // The message may quote what a client sent: the place is enough to find it.
        let _ = writeln!(std::io::stderr(), "countersign: internal error at {place}");
    }));
}

/// Whether this process ignores the signal with this number, as far as the system tells.
pub fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| signal > 0 && mask >> (signal - 1) & 1 == 1)
}
