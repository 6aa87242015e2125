//! How the identity pool, or STS behind it, refuses, and what can be done about it.

use std::{error::Error, fmt, time::Duration};

use aws_sdk_cognitoidentity::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::aws_http::foreign::ForeignAnswer;

/// How the identity pool answered instead, by what the caller can do about it.
#[derive(Debug)]
pub enum IdentityPoolError {
    /// The token has expired: a newer one may be taken.
    TokenExpired(String),
    /// The token's signature is not the pool's: its keys have changed since, or the token is another issuer's.
    TokenUnverified(String),
    /// The identity is gone or belongs to another login: it is looked up again.
    IdentityGone(String),
    /// The pool is busy, or out of reach.
    Transient {
        /// What happened.
        message: String,
        /// When to ask again, if the answer says.
        retry_after: Option<Duration>,
    },
    /// The pool refuses; its words.
    Refused(String),
}

impl IdentityPoolError {
    /// What a person should do, as far as the pool's words tell.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        let message = self.to_string();
        let remedies: [(&str, &str); 11] = [
            ("Unauthenticated access", "allow guests in the identity pool, or set credentials to cognito"),
            ("supported provider", "add the user pool and its client to the identity pool's login providers"),
            ("Issuer doesn't match", "check login-provider, user-pool-id and the pool's login providers"),
            ("IdentityPool", "check identity-pool-id"),
            ("InvalidIdentityPoolConfiguration", "give the identity pool a role that trusts it"),
            ("required claim: aud", "use an ID token, not an access token"),
            ("custom role", "check custom-role-arn: the user's token must allow the role"),
            ("classic) flow is not enabled", "allow the classic flow, or unset classic-flow-role-arn"),
            ("AssumeRoleWithWebIdentity", "check classic-flow-role-arn and the role's trust policy"),
            (
                "verify signed token",
                "add the user pool that issued the token to the identity pool's login providers",
            ),
            ("Token expired", "sign in again with `countersign login`"),
        ];
        let known = remedies.iter().find(|(words, _)| message.contains(words));
        known.map_or("check identity-pool-id, the pool's roles and its login providers", |(_, remedy)| remedy)
    }
}

impl fmt::Display for IdentityPoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenExpired(message)
            | Self::TokenUnverified(message)
            | Self::IdentityGone(message)
            | Self::Refused(message) => write!(f, "the identity pool refused: {message}"),
            Self::Transient { message, .. } => write!(f, "the identity pool could not be asked: {message}"),
        }
    }
}

impl Error for IdentityPoolError {}

/// Sorts an error of either SDK by its code and words.
pub(super) fn classify<E>(error: &SdkError<E, HttpResponse>) -> IdentityPoolError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let retry_after = error.raw_response().and_then(retry_after);
    let transient = |message| IdentityPoolError::Transient { message, retry_after };
    if let Some(response) = error.raw_response().filter(|response| !is_from_aws(response)) {
        let body = response.body().bytes().unwrap_or_default();
        return transient(ForeignAnswer::new(response.status().as_u16(), body).to_string());
    }
    let SdkError::ServiceError(service) = error else {
        return transient(DisplayErrorContext(error).to_string());
    };
    match sort(service.err().code(), service.err().message().unwrap_or_default()) {
        IdentityPoolError::Transient { message, .. } => transient(message),
        other => other,
    }
}

/// Whether an answer bears a mark that AWS's errors have and a page that stands between has not.
fn is_from_aws(response: &HttpResponse) -> bool {
    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    let mark = ["\"__type\"", "<ErrorResponse"].into_iter().find(|mark| body.contains(mark));
    // A good answer that breaks off has none, and is no page.
    let is_page = body.trim_start().starts_with('<');
    response.headers().contains_key("x-amzn-errortype")
        || mark.is_some()
        || (response.status().is_success() && !is_page)
}

/// `Retry-After` in seconds; its other form is a date, which no service of AWS sends.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    response.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

fn sort(code: Option<&str>, message: &str) -> IdentityPoolError {
    let transient = |message| IdentityPoolError::Transient { message, retry_after: None };
    let Some(code) = code else { return transient(message.to_owned()) };
    let text = format!("{code}: {message}");
    match code {
        "NotAuthorizedException" if message.contains("Token expired") => IdentityPoolError::TokenExpired(text),
        "NotAuthorizedException" if message.contains("Couldn't verify signed token") => {
            IdentityPoolError::TokenUnverified(text)
        }
        "NotAuthorizedException" if message.starts_with("Logins don't match") => {
            IdentityPoolError::IdentityGone(text)
        }
        "ResourceNotFoundException" if message.starts_with("Identity ") => IdentityPoolError::IdentityGone(text),
        "ResourceConflictException" => IdentityPoolError::IdentityGone(text),
        "TooManyRequestsException"
        | "LimitExceededException"
        | "InternalErrorException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ExternalServiceException"
        | "ConcurrentModificationException"
        // The classic flow's token was made a moment ago: another one is as good as new.
        | "ExpiredTokenException"
        | "InvalidIdentityToken"
        | "IDPCommunicationError" => transient(text),
        throttled if throttled.starts_with("Throttling") => transient(text),
        _ => IdentityPoolError::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn kind(code: &str, message: &str) -> &'static str {
        match sort(Some(code), message) {
            IdentityPoolError::TokenExpired(_) => "token-expired",
            IdentityPoolError::TokenUnverified(_) => "token-unverified",
            IdentityPoolError::IdentityGone(_) => "identity-gone",
            IdentityPoolError::Transient { .. } => "transient",
            IdentityPoolError::Refused(_) => "refused",
        }
    }

    fn response(status: u16, header: Option<(&'static str, &'static str)>, body: &str) -> HttpResponse {
        let mut response = HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }

    #[test]
    fn answers_are_told_from_pages_by_the_marks_of_aws() {
        for (status, header, body, expected) in [
            (400, Some(("x-amzn-errortype", "NotAuthorizedException:")), "", true),
            (400, None, r#"{"__type":"NotAuthorizedException"}"#, true),
            (403, None, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", true),
            (200, None, r#"{"IdentityId":"eu-we"#, true),
            (200, None, "  <html><title>Portal</title>", false),
            (403, None, "<html>", false),
            (407, None, "", false),
            (403, None, r#"{"code":"ACCESS_DENIED","message":"blocked"}"#, false),
        ] {
            assert_eq!(is_from_aws(&response(status, header, body)), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_wait_that_is_asked_for_is_read() {
        for (value, seconds) in [("7", Some(7)), (" 86400 ", Some(86_400)), ("soon", None), ("-1", None)] {
            let asked = retry_after(&response(429, Some(("retry-after", value)), ""));
            assert_eq!(asked, seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_service_that_is_busy_says_when_to_come_back() {
        use aws_sdk_cognitoidentity::{error::ErrorMetadata, operation::get_id::GetIdError};

        let header = Some(("retry-after", "7"));
        let throttled = GetIdError::generic(ErrorMetadata::builder().code("ThrottlingException").build());
        let body = r#"{"__type":"ThrottlingException"}"#;
        let page = GetIdError::generic(ErrorMetadata::builder().build());
        for (error, status, body) in [(throttled, 400, body), (page, 503, "<html>busy</html>")] {
            let error = SdkError::service_error(error, response(status, header, body));
            let IdentityPoolError::Transient { retry_after, .. } = classify(&error) else {
                panic!("{error:?}")
            };
            assert_eq!(retry_after, Some(Duration::from_secs(7)), "{body}");
        }
    }

    #[test]
    fn refusals_are_sorted_by_what_can_be_done() {
        let expired = "Invalid login token. Token expired: 1446742058 >= 1446727732";
        let unverified = "Invalid login token. Couldn't verify signed token.";
        let mismatch = "Logins don't match. Please include at least one valid login";
        for (code, message, expected) in [
            ("NotAuthorizedException", expired, "token-expired"),
            ("NotAuthorizedException", unverified, "token-unverified"),
            ("NotAuthorizedException", mismatch, "identity-gone"),
            ("ResourceNotFoundException", "Identity 'eu-west-1:x' not found.", "identity-gone"),
            ("ResourceNotFoundException", "IdentityPool 'eu-west-1:x' not found.", "refused"),
            ("ResourceConflictException", "", "identity-gone"),
            ("TooManyRequestsException", "Rate exceeded", "transient"),
            ("ExternalServiceException", "", "transient"),
            ("ThrottlingException", "", "transient"),
            ("InvalidIdentityPoolConfigurationException", "", "refused"),
            (
                "NotAuthorizedException",
                "Unauthenticated access is not supported for this identity pool.",
                "refused",
            ),
            ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", "refused"),
        ] {
            assert_eq!(kind(code, message), expected, "{code}: {message}");
        }
    }
}
