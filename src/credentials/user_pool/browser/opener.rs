//! Opens a page in the user's browser.

use std::{
    ffi::OsStr,
    io,
    process::{Command, Stdio},
};

#[cfg(unix)]
use std::os::unix::process::CommandExt;

#[cfg(target_os = "macos")]
const OPENER: &str = "open";
#[cfg(not(target_os = "macos"))]
const OPENER: &str = "xdg-open";

/// The environment that a browser needs for its display, profile and language. Other variables may hold secrets.
const KEPT_VARIABLES: [&str; 18] = [
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

/// Starts the opener and does not wait for it.
pub(crate) fn open(url: &str) -> io::Result<()> {
    command(url).spawn().map(drop)
}

fn command(url: &str) -> Command {
    let kept = |name: &OsStr| KEPT_VARIABLES.iter().any(|kept| name == *kept);
    let mut command = Command::new(OPENER);
    command
        .arg(url)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| kept(name)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // An interrupt at the terminal must not close a browser that has just been started.
    #[cfg(unix)]
    command.process_group(0);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_inherits_no_secrets() {
        let command = command("https://login.test/");
        let names: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        assert!(names.iter().all(|name| KEPT_VARIABLES.iter().any(|kept| name == kept)), "{names:?}");
        assert!(names.contains(&"PATH".into()));
    }
}
