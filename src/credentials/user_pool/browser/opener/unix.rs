//! Programs that open a page on Linux and macOS.

use std::{os::unix::process::CommandExt, process::Command};

const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// The environment that a browser needs for its display, profile and language. Other variables may hold secrets.
pub(super) const KEPT_VARIABLES: [&str; 18] = [
    "BROWSER",
    "DBUS_SESSION_BUS_ADDRESS",
    "DESKTOP_SESSION",
    "DISPLAY",
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "USER",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_CONFIG_DIRS",
    "XDG_CURRENT_DESKTOP",
    "XDG_DATA_DIRS",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
];

/// The program that opens `url`.
pub(super) fn opener(url: &str) -> Command {
    let mut command = Command::new(OPENER);
    // An interrupt at the terminal must not close a browser that has just been started.
    command.arg(url).process_group(0);
    command
}
