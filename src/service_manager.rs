//! Notifications for the service manager, usually systemd: ready, status, reloading, stopping. Without a service
//! manager nothing is sent.

use sd_notify::NotifyState;
use tracing::debug;

use crate::credentials::channel::{Receiver, State};

/// Sends "ready" as soon as the first attempt to obtain credentials has ended, and the status whenever it changes.
///
/// The attempt has its own deadline and may fail: while Cognito is out of reach the proxy keeps running and retrying,
/// and a restart would not help.
pub async fn keep_informed(url: String, mut credentials: Receiver) {
    let mut sent = None;
    loop {
        let status = status(&url, &credentials.state());
        if status != sent {
            if let Some(status) = &status {
                notify(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
            sent = status;
        }
        if !credentials.changed().await {
            return;
        }
    }
}

/// One line on the proxy, once there is something to say.
fn status(url: &str, state: &State) -> Option<String> {
    match (state.problem.as_deref(), &state.issued) {
        (Some(problem), _) => {
            let why = problem.remedy.as_ref().unwrap_or(&problem.message);
            Some(format!("{url}: no new credentials: {}", why.replace('\n', " ")))
        }
        (None, Some(issued)) => Some(format!("{url}: signing as {}", issued.identity)),
        (None, None) => None,
    }
}

/// Sends that the configuration is read again; [`reloaded`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "cannot read the monotonic clock for the service manager"),
    }
}

/// Sends that the configuration has been read again, well or not.
pub fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// Sends that the process is about to end.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "cannot notify the service manager");
    }
}
