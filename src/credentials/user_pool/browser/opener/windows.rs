//! What opens a page on Windows.

use std::{os::windows::process::CommandExt, process::Command};

/// The environment that a browser needs for its profile and language. Other variables may hold secrets.
pub(super) const KEPT_VARIABLES: [&str; 20] = [
    "ALLUSERSPROFILE",
    "APPDATA",
    "COMPUTERNAME",
    "COMSPEC",
    "HOMEDRIVE",
    "HOMEPATH",
    "LOCALAPPDATA",
    "PATH",
    "PATHEXT",
    "PROGRAMDATA",
    "PROGRAMFILES",
    "PROGRAMFILES(X86)",
    "PUBLIC",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERNAME",
    "USERPROFILE",
    "WINDIR",
];

/// CREATE_NEW_PROCESS_GROUP: Ctrl-C must not close a browser that has just been started.
const NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// The program that opens `url`. `start` would have the shell read the URL, in which `&` begins a new command.
pub(super) fn opener(url: &str) -> Command {
    let mut command = Command::new("rundll32.exe");
    command.arg("url.dll,FileProtocolHandler").arg(url).creation_flags(NEW_PROCESS_GROUP);
    command
}
