//! Credentials for the commands that need them once, and how a signal ends these commands.

use std::time::Duration;

use tokio::time::timeout;

use super::Failure;
use crate::{
    app, aws_http,
    clock::Clock,
    credentials::{
        Settings,
        provider::{CredentialsProvider, IssuedCredentials},
    },
    shutdown::Signals,
};

/// The longest that a sign-in may take: half a minute for another process that uses the session, and all calls.
const MAX_SIGN_IN: Duration = Duration::from_secs(60);

/// Credentials of the user that `settings` describe, or the reason why there are none.
pub(super) async fn credentials(
    settings: &Settings,
    http: &aws_http::Settings,
    clock: &Clock,
) -> Result<IssuedCredentials, Failure> {
    let mut source = app::source(settings, http, clock)?;
    match timeout(MAX_SIGN_IN, source.fetch()).await {
        Ok(fetched) => fetched.map_err(Failure::runtime),
        Err(_) => {
            let seconds = MAX_SIGN_IN.as_secs();
            let obstacle = source.waits_for().map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
            Err(Failure::runtime(format!("the sign-in did not end within {seconds} seconds{obstacle}")))
        }
    }
}

/// Does `work` until a signal comes that ends the command.
///
/// From here on signals are heard instead of ending the process, so that nothing in `work` may block the thread. A
/// renewal of the session that has begun goes on without `work`: see `session::settled`.
pub(super) async fn until_signal<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut signals = Signals::listen_beside_another()?;
    tokio::select! {
        ended = work => ended,
        signal = signals.next() => Err(Failure::Interrupted(signal)),
    }
}
