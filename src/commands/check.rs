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
    downstream::{listener, peer},
    service_manager,
    shutdown::ReloadRequests,
};

/// The configuration for programs.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    effective: &'a Effective,
    warnings: &'a [String],
    /// What this system lacks.
    unavailable: &'a [&'a str],
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
        let report = Report { effective, warnings: &warnings, unavailable: &unavailable() };
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
        print(of_system(&unavailable()).as_bytes())?;
        print(verdict(warnings.len(), options.online).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the proxy does elsewhere and cannot do on this system, with what takes its place.
fn unavailable() -> Vec<&'static str> {
    let features = [
        (
            peer::TELLS_OWNERS,
            "does not say which user a connection belongs to: programs of all users of this machine may use the proxy, \
             unless bearer-token-file is set",
        ),
        (listener::HAS_UNIX_SOCKETS, "has no unix sockets: listen on localhost"),
        (ReloadRequests::ARE_POSSIBLE, "has no SIGHUP: restart the proxy to change its configuration"),
        (
            service_manager::IS_AVAILABLE,
            "has no systemd: no service manager is notified, and none passes sockets",
        ),
    ];
    features.into_iter().filter(|(is_available, _)| !is_available).map(|(_, text)| text).collect()
}

fn of_system(unavailable: &[&str]) -> String {
    let lines: String = unavailable.iter().map(|text| format!("  {text}\n")).collect();
    if lines.is_empty() { lines } else { format!("\nThis system ({}):\n{lines}", std::env::consts::OS) }
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
