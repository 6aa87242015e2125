//! Opens a page in the user's browser.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    ffi::OsStr,
    io,
    process::{Command, Stdio},
};

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use system::KEPT_VARIABLES;

/// Starts the opener and does not wait for it.
pub(crate) fn open(url: &str) -> io::Result<()> {
    command(url).spawn().map(drop)
}

fn command(url: &str) -> Command {
    let kept = |name: &OsStr| KEPT_VARIABLES.iter().any(|kept| name.eq_ignore_ascii_case(kept));
    let mut command = system::opener(url);
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| kept(name)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
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
