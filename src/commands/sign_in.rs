//! Credentials for the commands that need them once, and how a signal ends these commands.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Failure,
    advice::{advised, with_doubt_of_pool},
};
use crate::{
    app, aws_http,
    clock::Clock,
    credentials::{
        Login, Settings,
        provider::{CredentialsProvider, FetchError, IssuedCredentials},
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
        Ok(fetched) => fetched.map_err(|error| failure(error, settings)),
        Err(_) => {
            let seconds = MAX_SIGN_IN.as_secs();
            let obstacle = source.waits_for().map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
            Err(Failure::runtime(format!("the sign-in did not end within {seconds} seconds{obstacle}")))
        }
    }
}

fn failure(error: FetchError, settings: &Settings) -> Failure {
    let FetchError::Terminal { remedy, source } = error else { return Failure::runtime(error) };
    let remedy = match settings {
        Settings::Cognito(cognito) => match &cognito.login {
            Login::UserPool(pool) => with_doubt_of_pool(&remedy, source.as_ref(), pool),
            Login::IdTokenFile { .. } => remedy,
        },
        Settings::Guest { .. } | Settings::Aws => remedy,
    };
    advised("", source.as_ref(), &remedy)
}

/// Does `work` until a signal comes that ends the command.
///
/// From here on a signal no longer ends the process by itself, so that nothing in `work` may block the thread. A
/// renewal of the session that has begun goes on without `work`: see `session::settled`.
pub(super) async fn until_signal<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut signals = Signals::listen_beside_another()?;
    tokio::select! {
        ended = work => ended,
        signal = signals.next() => Err(Failure::Interrupted(signal)),
    }
}
