//! What an error answer of Cognito means.

mod cause;

use std::{fmt, time::Duration};

use super::{exchange::CognitoResponse, operation::Operation, verdict::Verdict};

pub use cause::Cause;

/// How much of Cognito's message is passed on, in characters.
const MAX_MESSAGE: usize = 300;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The call that was refused.
    pub operation: Operation,
    /// What it means.
    pub cause: Cause,
    /// The error's code, `NotAuthorizedException`.
    pub code: String,
    /// Cognito's message, without the secrets of the request.
    pub message: String,
    /// The `Retry-After` of the answer.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads an error answer. `secrets` are those of the request, which the message must not repeat.
    ///
    /// `None` when nothing marks it as Cognito's: a proxy or portal in between may answer with any status.
    pub(super) fn read(operation: Operation, answer: &CognitoResponse, secrets: &[&str]) -> Option<Self> {
        let body: ErrorBody = serde_json::from_slice(&answer.body).unwrap_or_default();
        // Some emulators write only `code`.
        let bare_exception = body.code.as_deref().filter(|code| code.ends_with("Exception"));
        let code = answer.error_type.as_deref().or(body.kind.as_deref()).or(bare_exception)?;
        let code = bare_code(code).to_owned();
        let message = body.message.or(body.upper_message).unwrap_or_default();
        let cause = Cause::of(&code, &message, answer.status);
        let message = presentable(&message, secrets);
        Some(Self { operation, cause, code, message, retry_after: answer.retry_after })
    }

    pub(super) fn verdict(&self) -> Verdict {
        let renewal = self.operation.renews_tokens();
        match self.cause {
            Cause::Unavailable | Cause::SignInExpired => Verdict::Transient { retry_after: self.retry_after },
            // Triggers run on renewal as well. A trigger that fails says nothing about the token.
            Cause::Trigger if renewal => Verdict::Transient { retry_after: self.retry_after },
            Cause::RefreshTokenInvalid | Cause::RefreshTokenReused => Verdict::SessionOver,
            Cause::NotAuthorized | Cause::DeviceUnknown if renewal => Verdict::SessionOver,
            cause => cause.terminal_verdict(),
        }
    }
}

#[derive(Default, serde::Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    #[serde(rename = "Message")]
    upper_message: Option<String>,
}

/// The name in `aws.cognito#NotAuthorizedException:http://…`.
fn bare_code(code: &str) -> &str {
    let name = code.rsplit_once('#').map_or(code, |(_, name)| name);
    name.split([':', ',']).next().unwrap_or(name).trim()
}

fn presentable(message: &str, secrets: &[&str]) -> String {
    let mut text = message.to_owned();
    // Shorter secrets would also match parts of ordinary words.
    for secret in secrets.iter().filter(|secret| secret.chars().count() > 3) {
        text = text.replace(secret, "***");
    }
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MAX_MESSAGE).collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = if self.code.is_empty() { "an error without a code" } else { &self.code };
        write!(f, "the user pool answered {} with {code}", self.operation)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
