//! The errors of the identity pool and of STS, by what can be done about them.

use std::{error::Error, fmt, time::Duration};

use aws_sdk_cognitoidentity::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::aws_http::foreign::ForeignAnswer;

/// An error of the identity pool, by what the caller can do about it.
#[derive(Debug)]
pub enum IdentityPoolError {
    /// The token has expired. A newer one may be accepted.
    TokenExpired(String),
    /// The signature of the token is unknown: the issuer's keys have changed, or another issuer made the token.
    TokenUnverified(String),
    /// The identity does not exist or belongs to another login, so that it must be looked up again.
    IdentityGone(String),
    /// The pool is busy, or out of reach.
    Transient {
        /// What happened.
        message: String,
        /// The `Retry-After` of the answer.
        retry_after: Option<Duration>,
    },
    /// The pool refused, with this message.
    Refused(String),
}

impl IdentityPoolError {
    /// What a person should do, guessed from the pool's message.
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

/// Classifies an error of either SDK by its code and message.
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

/// Whether a response has a mark of AWS's errors, which the page of a proxy or portal in between has not.
fn is_from_aws(response: &HttpResponse) -> bool {
    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    let mark = ["\"__type\"", "<ErrorResponse"].into_iter().find(|mark| body.contains(mark));
    // A successful response that breaks off has no mark either, but does not look like a page.
    let is_page = body.trim_start().starts_with('<');
    response.headers().contains_key("x-amzn-errortype")
        || mark.is_some()
        || (response.status().is_success() && !is_page)
}

/// `Retry-After` in seconds. Its other form is a date, which AWS does not send.
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
        // These are about the OpenID token of the classic flow, which was issued a moment ago: another attempt gets a
        // new one.
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
    fn aws_answers_are_recognised_by_their_headers() {
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
