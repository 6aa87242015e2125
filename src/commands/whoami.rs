//! `countersign whoami`: who the credentials belong to, and for how long.

use std::process::ExitCode;

use serde_json::json;

use super::{
    Failure, print_aside,
    sign_in::{self, until_signal},
    start_log,
};
use crate::{
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::{Login, Settings, provider::IssuedCredentials},
    rfc3339,
};

pub(super) async fn run(
    arguments: &Arguments,
    environment: &Environment,
    json: bool,
) -> Result<ExitCode, Failure> {
    let config = Config::for_session(arguments, environment)?;
    start_log(&config.telemetry, &config.warnings)?;
    let clock = Clock::system();
    until_signal(async {
        let issued = sign_in::credentials(&config.credentials, &config.aws_http, &clock).await?;
        let about = about(&config.credentials, &issued, &clock);
        let text = if json {
            serde_json::to_string_pretty(&about).map_err(Failure::runtime)? + "\n"
        } else {
            lines(&about)
        };
        print_aside(text).await?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn about(settings: &Settings, issued: &IssuedCredentials, clock: &Clock) -> serde_json::Value {
    let (user_pool, identity_pool) = match settings {
        Settings::Cognito(cognito) => {
            let user_pool = match &cognito.login {
                Login::UserPool(pool) => Some(pool.id.to_string()),
                Login::IdTokenFile { .. } => None,
            };
            (user_pool, Some(cognito.identity_pool.id.to_string()))
        }
        Settings::Guest { identity_pool } => (None, Some(identity_pool.id.to_string())),
        Settings::Aws => (None, None),
    };
    let expiry = issued.expiry.and_then(rfc3339::seconds);
    let left = issued.expiry.and_then(|expiry| expiry.duration_since(clock.now()).ok());
    json!({
        "user": issued.identity.username,
        "subject": issued.identity.subject,
        "identity_id": issued.identity.identity_id,
        "user_pool": user_pool,
        "identity_pool": identity_pool,
        "access_key_id": issued.credentials.access_key_id(),
        "expiry": expiry,
        "expires_in": left.map(|left| left.as_secs()),
    })
}

/// What is known, a line each.
fn lines(about: &serde_json::Value) -> String {
    let names = [
        ("user", "user"),
        ("subject", "subject"),
        ("identity id", "identity_id"),
        ("user pool", "user_pool"),
        ("identity pool", "identity_pool"),
        ("access key id", "access_key_id"),
        ("expiry", "expiry"),
    ];
    let known = names.iter().filter_map(|(label, key)| about[key].as_str().map(|value| (label, value)));
    known.map(|(label, value)| format!("{label:<14} {value}\n")).collect()
}
