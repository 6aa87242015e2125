//! How a program is started, told to end and judged on Windows.

use std::{
    ffi::{OsStr, OsString},
    process::{ExitCode, ExitStatus},
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

/// The program's exit code; 1 for one that is above 255, as that of a program that Windows has ended.
pub(super) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
