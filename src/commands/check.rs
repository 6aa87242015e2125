//! `countersign check`: is the configuration valid, and where does each value come from.

use std::process::ExitCode;

use serde::Serialize;

use super::{
    Failure, print,
    sign_in::{self, until_signal},
    start_log,
};
use crate::{
    cli::CheckOptions,
    clock::Clock,
    config::{Arguments, Config, Effective, Environment},
    credentials::provider::IssuedCredentials,
};

/// The configuration for programs.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    effective: &'a Effective,
    warnings: &'a [String],
}

pub(super) async fn run(
    arguments: &Arguments,
    environment: &Environment,
    options: CheckOptions,
) -> Result<ExitCode, Failure> {
    let config = Config::for_serve(arguments, environment)?;
    let effective = &config.effective;
    let warnings = [config.warnings.clone(), config.doubts()].concat();
    let text = if options.json {
        let report = Report { effective, warnings: &warnings };
        serde_json::to_string_pretty(&report).map_err(Failure::runtime)? + "\n"
    } else if options.all {
        effective.to_string()
    } else {
        effective.without_defaults().to_string()
    };
    print(text.as_bytes())?;
    start_log(&config.telemetry, &warnings)?;
    if options.online {
        let clock = Clock::system();
        let credentials = sign_in::credentials(&config.credentials, &config.aws_http, &clock);
        let issued = until_signal(credentials).await?;
        tracing::info!("{}", signed_in(&issued, &clock));
    }
    if !options.json {
        print(verdict(warnings.len(), options.online).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(warnings: usize, online: bool) -> String {
    let sign_in = if online { " and the sign-in works" } else { "" };
    let warnings = match warnings {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        count => format!(", with {count} warnings"),
    };
    format!("\nThe configuration is valid{sign_in}{warnings}.\n")
}

fn signed_in(issued: &IssuedCredentials, clock: &Clock) -> String {
    let left = issued.expiry.and_then(|expiry| expiry.duration_since(clock.now()).ok());
    let seconds = left.map(|left| format!(", valid for {} s", left.as_secs())).unwrap_or_default();
    format!("credentials obtained for {}{seconds}", issued.identity)
}
