//! `countersign inspect`: opens the inspector of a running proxy in the browser, or prints its exchanges as they happen.

mod follow;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Failure, local_http, print_aside};
use crate::{
    cli::InspectOptions,
    config::{Arguments, Config, Environment},
    credentials::user_pool::open_in_browser,
    downstream::listener::{Listen, reachable},
    telemetry,
};

/// The longest that the proxy may take to tell its token.
const MAX_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn run(
    options: InspectOptions,
    arguments: &Arguments,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let listen = Config::for_healthcheck(arguments, environment)?.admin_listen;
    let token = token(&listen).await?;
    if options.follow || options.json {
        let colour = environment.colour() && io::stdout().is_terminal();
        return follow::run(&listen, &token, options.json, colour).await;
    }
    let url = match &listen {
        Listen::Localhost(port) => format!("http://localhost:{port}"),
        Listen::Address(address) => format!("http://{}", reachable(*address)),
        Listen::Unix(_) => {
            return Err(Failure::runtime(format!(
                "the admin listener is {listen}, which a browser cannot open; use countersign inspect --follow, or \
                 start the proxy with --admin-listen localhost:8182"
            )));
        }
    };
    let url = format!("{url}/inspect#{}", token.expose_secret());
    print_aside(format!("{url}\n")).await?;
    // A program that captures the output needs the URL alone.
    if io::stdout().is_terminal()
        && let Err(error) = open_in_browser(&url)
    {
        telemetry::say(&format!("countersign: cannot open a browser ({error}); open the URL above in one\n"));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Asks the admin listener for the inspector's token, which it gives to its own user only.
async fn token(listen: &Listen) -> Result<SecretString, Failure> {
    let (status, body) =
        local_http::ask(listen, Method::POST, "/inspect/token", MAX_WAIT).await.map_err(|source| {
            Failure::runtime(format!(
                "nothing answers at {listen}: {source}\n  tip: start `countersign serve --inspect bodies`, or name its \
                 admin listener with --admin-listen"
            ))
        })?;
    let problem = || serde_json::from_slice::<Problem>(&body).map(|problem| problem.detail).ok();
    match status {
        StatusCode::OK => match serde_json::from_slice(&body) {
            Ok(Answer { token }) if is_token(&token) => Ok(token.into()),
            _ => Err(Failure::runtime(format!(
                "{listen} answers, but not as an admin listener of countersign; check --admin-listen"
            ))),
        },
        StatusCode::NOT_FOUND => Err(Failure::runtime(format!(
            "the proxy at {listen} keeps no requests; start it with --inspect heads, or with --inspect bodies"
        ))),
        status => Err(Failure::runtime(problem().unwrap_or_else(|| {
            format!(
                "{listen} answers {status}, but not as an admin listener of countersign; check --admin-listen"
            )
        }))),
    }
}

/// Whether a text can stand in a URL and at a terminal: another program may listen there.
fn is_token(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_nothing_that_a_terminal_or_a_browser_obeys() {
        assert!(is_token("abc-DEF_123"));
        for text in ["", "a b", "a\u{1b}[31m", "a&b", "a\nb", "é"] {
            assert!(!is_token(text), "{text:?}");
        }
    }
}
