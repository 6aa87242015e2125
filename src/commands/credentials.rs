//! `countersign credentials`: AWS credentials as JSON, for `credential_process` of the AWS tools.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Failure,
    advice::in_one_line,
    print_aside,
    sign_in::{self, until_signal},
    start_log,
};
use crate::{
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::provider::IssuedCredentials,
    rfc3339, telemetry,
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
    start_log(&config.telemetry, &config.warnings)?;
    until_signal(async {
        let clock = Clock::system();
        let issued = sign_in::credentials(&config.credentials, &config.aws_http, &clock)
            .await
            .map_err(in_one_line)?;
        if io::stdout().is_terminal() {
            telemetry::say(
                "countersign: warning: these are secrets; anyone who has them can act as this user until they expire\n",
            );
        }
        print_aside(SecretText(json(&issued)?)).await?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

/// Text that is wiped once it has been printed.
struct SecretText(Zeroizing<String>);

impl AsRef<[u8]> for SecretText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn json(issued: &IssuedCredentials) -> Result<Zeroizing<String>, Failure> {
    let credentials = ProcessCredentials {
        version: 1,
        access_key_id: issued.credentials.access_key_id(),
        secret_access_key: issued.credentials.secret_access_key(),
        session_token: issued.credentials.session_token(),
        expiration: issued.expiry.and_then(rfc3339::seconds),
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
    use crate::credentials::provider::Identity;

    fn printed(token: Option<&str>, expiry: Option<SystemTime>) -> Value {
        let token = token.map(str::to_owned);
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", token, None, "test");
        let identity = Identity::default();
        let issued = IssuedCredentials { credentials, issued_at: SystemTime::UNIX_EPOCH, expiry, identity };
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
    fn absent_fields_of_credentials_are_left_out() {
        let keys = json!({ "Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret" });
        assert_eq!(printed(None, None), keys);
    }
}
