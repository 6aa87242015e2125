//! The 403 of a gateway: whether the request may be sent again, and what it means, for the log. The answer itself goes
//! down untouched.

mod meaning;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use serde_json::json;
use tracing::warn;

use crate::{
    inspector::Recording,
    proxy::headers::{X_AMZN_ERRORTYPE, X_AMZN_REQUESTID},
    signing::Scope,
};
use meaning::Meaning;

/// A refusal is a line or two, with a canonical request a few kilobytes.
const MAX_TEXT: usize = 64 * 1024;

/// The headers in which gateways and services number their answers.
const REQUEST_IDS: [HeaderName; 3] = [
    X_AMZN_REQUESTID,
    HeaderName::from_static("apigw-requestid"),
    HeaderName::from_static("x-amz-request-id"),
];

/// The headers of a 403 that a gateway may have sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// `x-amzn-errortype`, without the address that some services append.
    error_type: Option<String>,
    request_id: Option<String>,
    /// Whether the gateway's own request id is there, which no integration's answer has.
    is_gateways_own: bool,
    /// Whether the text can be read as it comes.
    is_plain: bool,
}

impl Refused {
    /// `None` for any other answer, and for a 403 without the marks that gateways leave on theirs.
    pub(super) fn of<B>(response: &Response<B>) -> Option<Self> {
        // The status goes first, so that no other answer pays for looking these headers up.
        if response.status() != StatusCode::FORBIDDEN {
            return None;
        }
        let headers = response.headers();
        let error_type = text(headers, &X_AMZN_ERRORTYPE);
        let request_id = REQUEST_IDS.iter().find_map(|name| text(headers, name));
        let marked = error_type.is_some() || request_id.is_some();
        marked.then(|| Self {
            error_type: error_type.map(|error| error.split(':').next().unwrap_or_default().to_owned()),
            request_id,
            is_gateways_own: headers.contains_key(X_AMZN_REQUESTID),
            is_plain: !headers.contains_key(header::CONTENT_ENCODING),
        })
    }

    /// Whether the text decides about another attempt: the gateway itself refused, before anything ran.
    pub(super) fn may_be_retryable(&self) -> bool {
        self.is_gateways_own
            && matches!(
                self.error_type.as_deref(),
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
    pub(super) fn retryable(&self, text: &[u8]) -> Option<RetryableRefusal> {
        let text = String::from_utf8_lossy(text);
        match self.error_type.as_deref()? {
            "ExpiredTokenException" => Some(RetryableRefusal::Credentials),
            "UnrecognizedClientException" | "InvalidClientTokenId" if text.contains("security token") => {
                Some(RetryableRefusal::Credentials)
            }
            "InvalidSignatureException"
                if text.contains("Signature expired") || text.contains("Signature not yet current") =>
            {
                Some(RetryableRefusal::Clock)
            }
            _ => None,
        }
    }
}

/// What is wrong with a signed request, where the proxy can correct it and send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryableRefusal {
    /// The credentials have expired or are not known.
    Credentials,
    /// The signing time is too far from the gateway's.
    Clock,
}

impl RetryableRefusal {
    /// The label in the metric of retries.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Clock => "clock-skew",
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Reads along while a refusal goes down, and logs its meaning when it is dropped with the body.
#[derive(Debug)]
pub(in crate::proxy) struct RefusalLogger {
    id: String,
    refused: Refused,
    scope: Scope,
    canonical_request: Vec<u8>,
    text: Vec<u8>,
    recording: Option<Recording>,
}

impl RefusalLogger {
    /// A logger for the answer to the request `id`, which was signed for `scope`.
    pub(super) fn new(
        id: &str,
        refused: Refused,
        scope: Scope,
        canonical_request: Vec<u8>,
        recording: Option<Recording>,
    ) -> Self {
        Self { id: id.to_owned(), refused, scope, canonical_request, text: Vec::new(), recording }
    }

    /// Reads the next chunk of the body.
    pub(in crate::proxy) fn observe(&mut self, chunk: &Bytes) {
        let left = MAX_TEXT.saturating_sub(self.text.len());
        self.text.extend_from_slice(&chunk[..chunk.len().min(left)]);
    }
}

impl Drop for RefusalLogger {
    fn drop(&mut self) {
        let text = if self.refused.is_plain { String::from_utf8_lossy(&self.text) } else { "".into() };
        let ours = String::from_utf8_lossy(&self.canonical_request);
        let Some(meaning) = Meaning::of(self.refused.error_type.as_deref(), &text, &ours) else { return };
        if let Some(recording) = &self.recording {
            recording.explain(json!({ "name": meaning.name(), "cause": meaning.to_string() }));
        }
        // The meaning quotes the upstream, for example its names of headers.
        let said = meaning::first_line(&meaning.to_string());
        warn!(
            request.id = (!self.id.is_empty()).then_some(self.id.as_str()),
            upstream.request_id = self.refused.request_id,
            meaning = meaning.name(),
            region = self.scope.region,
            service = self.scope.service,
            "the gateway refused the request: {said}"
        );
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn retryable(error_type: &'static str, text: &str) -> Option<RetryableRefusal> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert("x-amzn-requestid", HeaderValue::from_static("id"));
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error_type));
        Refused::of(&response).filter(Refused::may_be_retryable)?.retryable(text.as_bytes())
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
    fn a_403_without_the_gateways_request_id_is_the_backends() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("ExpiredTokenException"));
        assert!(!Refused::of(&response).expect("a 403 with a type").may_be_retryable());
    }

    fn refused(status: StatusCode, fields: &[(&'static str, &'static str)]) -> Option<Refused> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        for (name, value) in fields {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
            response.headers_mut().insert(name, value);
        }
        Refused::of(&response)
    }

    fn marks(error_type: Option<&str>, request_id: Option<&str>, is_plain: bool) -> Refused {
        let (error_type, request_id) = (error_type.map(str::to_owned), request_id.map(str::to_owned));
        Refused { error_type, is_gateways_own: request_id.as_deref() == Some("1"), request_id, is_plain }
    }

    #[test]
    fn a_403_is_a_gateways_by_the_marks_that_it_leaves() {
        let error_type = ("x-amzn-errortype", "AccessDeniedException:http://internal.amazon.com/");
        for (fields, expected) in [
            (&[][..], None),
            (&[("content-type", "application/json")], None),
            (&[("x-amzn-requestid", "1")], Some(marks(None, Some("1"), true))),
            (&[("apigw-requestid", "2")], Some(marks(None, Some("2"), true))),
            (&[("x-amz-request-id", "3")], Some(marks(None, Some("3"), true))),
            (&[error_type], Some(marks(Some("AccessDeniedException"), None, true))),
            (
                &[error_type, ("content-encoding", "gzip")],
                Some(marks(Some("AccessDeniedException"), None, false)),
            ),
        ] {
            assert_eq!(refused(StatusCode::FORBIDDEN, fields), expected, "{fields:?}");
            assert_eq!(refused(StatusCode::UNAUTHORIZED, fields), None, "{fields:?}");
        }
    }

    #[test]
    fn a_refusal_is_read_in_all_its_pieces_up_to_a_limit() {
        let scope = Scope { region: "eu-west-1".to_owned(), service: "execute-api".to_owned() };
        let mut logger = RefusalLogger::new("id", marks(None, Some("1"), true), scope, Vec::new(), None);
        for piece in ["User: ", "x is not ", "authorized"] {
            logger.observe(&Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!(logger.text, b"User: x is not authorized");
        logger.observe(&Bytes::from(vec![b'a'; MAX_TEXT]));
        logger.observe(&Bytes::from_static(b"more"));
        assert_eq!(logger.text.len(), MAX_TEXT);
    }

    #[test]
    fn no_other_status_is_a_refusal() {
        for status in [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED] {
            let mut response = Response::new(());
            *response.status_mut() = status;
            for (name, value) in [("x-amzn-requestid", "id"), ("x-amzn-errortype", "ExpiredTokenException")] {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            assert_eq!(Refused::of(&response), None, "{status}");
        }
    }
}
