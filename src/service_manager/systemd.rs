//! Messages to systemd, or to another service manager that takes the same ones (sd_notify(3)).

use sd_notify::NotifyState;
use tracing::debug;

pub(super) const IS_AVAILABLE: bool = true;

/// The process is ready, with a line on it.
pub(super) fn ready(status: Option<&str>) {
    match status {
        Some(status) => notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        None => notify(&[NotifyState::Ready]),
    }
}

pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "cannot read the monotonic clock for the service manager"),
    }
}

pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "cannot notify the service manager");
    }
}
