//! `countersign credentials`: AWS credentials as JSON, for `credential_process` of the AWS tools.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Failure, print, whoami::rfc3339};
use crate::{
    app,
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::source::{Issued, Source},
    shutdown::Signals,
    telemetry,
};

/// The form that the AWS SDKs and Tools Reference Guide gives under "Process credential provider".
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessCredentials<'a> {
    version: u8,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::for_credentials(arguments, environment)?;
    telemetry::start(&config.telemetry).map_err(Failure::Runtime)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let mut source = app::source(&config.credentials, &config.aws_http, &Clock::system())?;
    let mut signals = Signals::listen()?;
    let fetched = source.fetch();
    tokio::pin!(fetched);
    let issued = tokio::select! {
        fetched = fetched.as_mut() => fetched.map_err(Failure::runtime)?,
        signal = signals.next() => {
            // Who ends an AWS tool with Ctrl-C must not lose a refresh token that is being exchanged.
            tokio::select! {
                _ = fetched => {}
                _ = signals.next() => {}
            }
            return Ok(ExitCode::from(signal.exit_code()));
        }
    };
    if io::stdout().is_terminal() {
        telemetry::say(
            "countersign: these are secrets: until they expire, whoever has them acts as this user\n",
        );
    }
    print(json(&issued)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn json(issued: &Issued) -> Result<Zeroizing<String>, Failure> {
    let credentials = ProcessCredentials {
        version: 1,
        access_key_id: issued.credentials.access_key_id(),
        secret_access_key: issued.credentials.secret_access_key(),
        session_token: issued.credentials.session_token(),
        expiration: issued.expiry.and_then(rfc3339),
    };
    let mut text = Zeroizing::new(serde_json::to_string_pretty(&credentials).map_err(Failure::runtime)?);
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use serde_json::{Value, json};

    use super::*;
    use crate::credentials::source::Identity;

    fn printed(token: Option<&str>, expiry: Option<SystemTime>) -> Value {
        let token = token.map(str::to_owned);
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", token, None, "test");
        let identity = Identity::default();
        let issued = Issued { credentials, issued_at: SystemTime::UNIX_EPOCH, expiry, identity };
        serde_json::from_str(&super::json(&issued).expect("JSON")).expect("JSON")
    }

    #[test]
    fn the_form_is_that_of_credential_process() {
        let expiry = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        assert_eq!(
            printed(Some("token"), Some(expiry)),
            json!({
                "Version": 1,
                "AccessKeyId": "AKIDEXAMPLE",
                "SecretAccessKey": "secret",
                "SessionToken": "token",
                "Expiration": "2023-11-14T22:13:20Z",
            })
        );
    }

    #[test]
    fn what_keys_do_not_have_is_left_out() {
        let keys = json!({ "Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret" });
        assert_eq!(printed(None, None), keys);
    }
}
