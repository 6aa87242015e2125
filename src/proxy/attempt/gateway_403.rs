//! Whether a gateway's 403 allows another attempt.

use http::StatusCode;

use crate::proxy::meaning::AnswerHead;

/// What is wrong with a signed request, where the proxy can correct it and send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryableRefusal {
    /// The credentials have expired or are not known.
    Credentials,
    /// The signing time is too far from the gateway's.
    Clock,
}

impl RetryableRefusal {
    /// Whether the text decides about another attempt: the gateway itself refused, before anything ran.
    pub(super) fn is_possible(head: &AnswerHead) -> bool {
        head.status() == Some(StatusCode::FORBIDDEN)
            && head.has_service_request_id()
            && matches!(
                head.error_type(),
                Some(
                    "ExpiredTokenException"
                        | "UnrecognizedClientException"
                        | "InvalidSignatureException"
                        | "InvalidClientTokenId"
                )
            )
    }

    /// What is wrong and can be corrected before another attempt, from the type and the text.
    ///
    /// "Missing Authentication Token" in answer to a signed request means a wrong route, and "not authorized"
    /// means policy: neither is among these.
    pub(super) fn of(head: &AnswerHead, text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        match head.error_type()? {
            "ExpiredTokenException" => Some(Self::Credentials),
            "UnrecognizedClientException" | "InvalidClientTokenId" if text.contains("security token") => {
                Some(Self::Credentials)
            }
            "InvalidSignatureException"
                if text.contains("Signature expired") || text.contains("Signature not yet current") =>
            {
                Some(Self::Clock)
            }
            _ => None,
        }
    }

    /// The label in the metric of retries.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Clock => "clock-skew",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Response};

    use super::*;

    fn head(status: StatusCode, fields: &[(&'static str, &'static str)]) -> Option<AnswerHead> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        for (name, value) in fields {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        AnswerHead::of(&response)
    }

    fn retryable(error_type: &'static str, text: &str) -> Option<RetryableRefusal> {
        let fields = [("x-amzn-requestid", "id"), ("x-amzn-errortype", error_type)];
        let head = head(StatusCode::FORBIDDEN, &fields).filter(RetryableRefusal::is_possible)?;
        RetryableRefusal::of(&head, text.as_bytes())
    }

    #[test]
    fn only_token_and_clock_are_retryable() {
        for (error_type, text, expected) in [
            (
                "ExpiredTokenException",
                "The security token included in the request is expired",
                Some(RetryableRefusal::Credentials),
            ),
            (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                Some(RetryableRefusal::Credentials),
            ),
            (
                "InvalidSignatureException",
                "Signature expired: 20170212T175938Z is now earlier than 20170215T145534Z",
                Some(RetryableRefusal::Clock),
            ),
            (
                "InvalidSignatureException:http://internal.amazon.com/",
                "Signature not yet current: 20170212T175938Z is still later than",
                Some(RetryableRefusal::Clock),
            ),
            (
                "InvalidClientTokenId",
                "The security token included in the request is invalid",
                Some(RetryableRefusal::Credentials),
            ),
            ("UnrecognizedClientException", "No account has this name", None),
            ("InvalidSignatureException", "The request signature we calculated does not match", None),
            ("MissingAuthenticationTokenException", "Missing Authentication Token", None),
            ("AccessDeniedException", "User: arn:aws:sts::1:x is not authorized to perform", None),
            ("IncompleteSignatureException", "Authorization header requires 'Credential' parameter.", None),
        ] {
            assert_eq!(retryable(error_type, text), expected, "{text}");
        }
    }

    #[test]
    fn only_a_403_with_the_gateways_request_id_is_retryable() {
        let error_type = ("x-amzn-errortype", "ExpiredTokenException");
        for (status, id, expected) in [
            (403, "x-amzn-requestid", true),
            (403, "apigw-requestid", false),
            (403, "x-other", false),
            (401, "x-amzn-requestid", false),
            (500, "x-amzn-requestid", false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let head = head(status, &[(id, "1"), error_type]).expect("a head with a type");
            assert_eq!(RetryableRefusal::is_possible(&head), expected, "{status} {id}");
        }
    }
}
