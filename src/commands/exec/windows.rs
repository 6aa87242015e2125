//! How a program is started, told to end and judged on Windows.

use std::{
    ffi::{OsStr, OsString},
    process::ExitStatus,
};

use tokio::process::Child;
use tracing::debug;

use crate::shutdown::Signal;

/// The program of this name: `CreateProcess` finds `npm.exe` alone, and a shell finds `npm.cmd` as well.
pub(super) fn program(name: &OsStr) -> OsString {
    // Where nothing is found, the attempt to start it says so.
    which::which(name).map_or_else(|_| name.to_owned(), Into::into)
}

/// Ends the program: Windows has no way to ask.
pub(super) fn ask_to_end(child: &mut Child) {
    if let Err(error) = child.start_kill() {
        debug!(%error, "the program cannot be ended");
    }
}

/// Does nothing: the console tells every program that runs in it.
pub(super) fn forward(_: &Child, signal: Signal) {
    debug!(%signal, "the console has told the program as well");
}

/// The program's exit code, also where it stands for an error of Windows: 0xC000013A after Ctrl-C.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}
