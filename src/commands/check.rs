//! `countersign check`: is the configuration valid, and where does each value come from.

use std::process::ExitCode;

use super::{
    Failure, print,
    sign_in::{self, until_signal},
};
use crate::{
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::provider::IssuedCredentials,
    telemetry,
};

pub(super) async fn run(
    arguments: &Arguments,
    environment: &Environment,
    json: bool,
    online: bool,
) -> Result<ExitCode, Failure> {
    let config = Config::for_serve(arguments, environment)?;
    telemetry::start(&config.telemetry).map_err(Failure::Runtime)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let text = if json {
        serde_json::to_string_pretty(&config.effective).map_err(Failure::runtime)? + "\n"
    } else {
        config.effective.to_string()
    };
    print(text.as_bytes())?;
    if online {
        let clock = Clock::system();
        let credentials = sign_in::credentials(&config.credentials, &config.aws_http, &clock);
        let issued = until_signal(credentials).await?;
        tracing::info!("{}", signed_in(&issued, &clock));
    }
    Ok(ExitCode::SUCCESS)
}

fn signed_in(issued: &IssuedCredentials, clock: &Clock) -> String {
    let left = issued.expiry.and_then(|expiry| expiry.duration_since(clock.now()).ok());
    let seconds = left.map(|left| format!(", valid for {} s", left.as_secs())).unwrap_or_default();
    format!("credentials obtained for {}{seconds}", issued.identity)
}
