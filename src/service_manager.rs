//! Notifications for the service manager, usually systemd: ready, status, reloading, stopping. Without a service
//! manager nothing is sent.

#[cfg_attr(not(target_os = "linux"), path = "service_manager/no_systemd.rs")]
mod systemd;

use crate::credentials::channel::{Receiver, State};

/// Whether this system can have a service manager that is notified.
pub const IS_AVAILABLE: bool = systemd::IS_AVAILABLE;

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
                systemd::ready(Some(status));
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
    systemd::reloading();
}

/// Sends that the configuration has been read again, well or not.
pub fn reloaded() {
    systemd::ready(None);
}

/// Sends that the process is about to end.
pub fn stopping() {
    systemd::stopping();
}
