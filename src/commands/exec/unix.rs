//! How a program is started, signalled and judged on Unix.

use std::{ffi::OsStr, fs::File, os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::Pid;
use tokio::process::Child;
use tracing::debug;

use crate::shutdown::Signal;

/// What is started under this name: `execvp` looks for it.
pub(super) fn program(name: &OsStr) -> &OsStr {
    name
}

/// Asks the program to end.
pub(super) fn ask_to_end(child: &mut Child) {
    forward(child, Signal::Terminate);
}

/// Sends the program a signal that this process got.
pub(super) fn forward(child: &Child, signal: Signal) {
    // The id is gone once the program's end has been seen, and may be another's then.
    let Some(program) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
    if signal == Signal::Interrupt && gets_signals_of_the_terminal(program) {
        debug!("the terminal has told the program as well");
        return;
    }
    let signal = match signal {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Hangup => rustix::process::Signal::HUP,
    };
    if let Err(error) = rustix::process::kill_process(program, signal) {
        debug!(%error, "the signal cannot be sent to the program");
    }
}

/// Whether Ctrl-C at the terminal reaches `program` as it reaches this process: a second SIGINT would
/// be taken for impatience.
fn gets_signals_of_the_terminal(program: Pid) -> bool {
    let group = rustix::process::getpgrp();
    let foreground = File::open("/dev/tty").ok().and_then(|tty| rustix::termios::tcgetpgrp(tty).ok());
    foreground == Some(group) && rustix::process::getpgid(Some(program)) == Ok(group)
}

/// As shells have it.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
