//! What the service manager hears, systemd usually: readiness, how it goes, the end. Without one, nobody does.

use sd_notify::NotifyState;
use tracing::debug;

use crate::credentials::channel::{Receiver, State};

/// Says that the process is ready as soon as the first attempt to obtain credentials has ended, and from then on
/// how it goes.
///
/// The attempt has a deadline of its own, and its end need not be a success: while Cognito is out of reach the
/// proxy runs and goes on trying, and to start it anew would cure nothing.
pub async fn keep_informed(url: String, mut credentials: Receiver) {
    let mut said = None;
    loop {
        let status = status(&url, &credentials.state());
        if status != said {
            if let Some(status) = &status {
                tell(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
            said = status;
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

/// Says that the configuration is read again; [`reloaded`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "the time of the service manager cannot be told"),
    }
}

/// Says that the configuration has been read again, well or not.
pub fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Says that the process is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        debug!(%error, "the service manager cannot be told");
    }
}
