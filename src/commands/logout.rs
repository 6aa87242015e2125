//! `countersign logout`: revokes the stored session and forgets it.

use std::process::ExitCode;

use super::{Failure, print, user_session::UserSession};
use crate::config::{Arguments, Environment};

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode, Failure> {
    let session = UserSession::open(arguments, environment)?;
    let locked = session.store.lock().await.map_err(Failure::runtime)?;
    let stored = match locked.read().await {
        Ok(stored) => stored,
        Err(error) => {
            tracing::warn!(%error, "cannot read the stored session, so it is not revoked");
            None
        }
    };
    let refresh_token = stored.as_ref().and_then(|stored| stored.refresh_token.as_ref());
    let revoked = match refresh_token {
        Some(refresh_token) => session.client.revoke(refresh_token).await,
        None => Ok(()),
    };
    // The user asked for the session to be forgotten, so that a refusal of the pool does not keep it.
    locked.forget().await.map_err(Failure::runtime)?;
    revoked.map_err(|error| {
        let cause = crate::telemetry::causes(&error);
        Failure::runtime(format!(
            "signed out here, but the user pool has not revoked the session: {error}{}{cause}",
            if cause.is_empty() { "" } else { ": " }
        ))
    })?;
    let text = match stored {
        Some(stored) => format!("Signed out {}.\n", stored.username),
        None => "Nobody was signed in.\n".to_owned(),
    };
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
