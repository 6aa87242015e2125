//! Failures of the data path, and the answer that a client gets for each.

mod format;
mod problem_kind;

use std::{borrow::Cow, error::Error, fmt};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::{
    admission::Refusal,
    request::{aws_chunked::AwsChunkedError, bucket_host::UnclearBucket},
    response::{body::Body, proxy_status::PROXY_STATUS},
    websocket::handshake::{AnswerError, HandshakeError, VERSION},
};
use crate::{
    credentials::channel::Unavailable, downstream, signing::TargetError, telemetry::metrics::Limit,
    upstream::UpstreamError,
};
pub(super) use format::{Client, ErrorFormat};
use problem_kind::ProblemKind;

/// Why a request ends without an answer of the upstream.
#[derive(Debug)]
pub enum ProxyError {
    /// The request was not admitted.
    Refused(Refusal),
    /// The target cannot be sent.
    Target(TargetError),
    /// No route has a prefix of the path.
    NoRoute,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body ended before its end.
    BodyIncomplete,
    /// The body is larger than the limit, in bytes.
    BodyTooLarge {
        /// The limit.
        limit: u64,
    },
    /// This limit on requests, body memory or connections is reached.
    Overloaded(Limit),
    /// The request cannot be signed.
    Credentials(Unavailable),
    /// The upstream did not answer.
    Upstream(UpstreamError),
    /// The body carries signatures of the client's own between its chunks.
    ChunkedSignature,
    /// It is not certain which bucket the request means, or where the upstream expects its name.
    UnclearBucket(UnclearBucket),
    /// The signed chunks of the body are not what the request announced.
    AwsChunked(AwsChunkedError),
    /// The request asks for a WebSocket, and is no valid handshake.
    Handshake(HandshakeError),
    /// The upstream's answer to a WebSocket handshake is not valid.
    HandshakeAnswer(AnswerError),
    /// A mistake of the proxy's own; the message is for the log.
    Internal(Cow<'static, str>),
}

/// RFC 9457, with `message` and `__type` for clients that expect AWS's own shape.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    __type: Option<&'a str>,
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
}

impl ProxyError {
    /// The code in the answer, the log and the metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind().code
    }

    /// The limit that the request has met, if that is why it failed.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Overloaded(limit) => Some(*limit),
            Self::BodyTooLarge { .. } => Some(Limit::BodySize),
            Self::BodyTimeout => Some(Limit::BodyTime),
            Self::Refused(Refusal::HeadTooLarge | Refusal::UriTooLong)
            | Self::Target(TargetError::TooLong) => Some(Limit::HeadSize),
            Self::Refused(Refusal::HeadTimeout) => Some(Limit::HeadTime),
            _ => None,
        }
    }

    /// Whether the connection has to close: the bytes that follow cannot be trusted, or it has no place.
    #[must_use]
    pub fn closes(&self) -> bool {
        match self {
            Self::Overloaded(limit) => *limit == Limit::Connections,
            Self::Refused(refusal) => refusal.is_malformed(),
            Self::Target(_)
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::BodyTooLarge { .. }
            | Self::AwsChunked(_)
            | Self::Handshake(_)
            | Self::HandshakeAnswer(_) => true,
            Self::ChunkedSignature
            | Self::UnclearBucket(_)
            | Self::NoRoute
            | Self::Credentials(_)
            | Self::Upstream(_)
            | Self::Internal(_) => false,
        }
    }

    /// The answer to a connection that is not served, head included.
    #[must_use]
    pub(super) fn whole_answer(&self) -> Bytes {
        downstream::serialized(&self.problem("none").map(|body| match body {
            Body::Full(full) => full.into_inner().unwrap_or_default(),
            Body::Refusal(..) | Body::Stream(_) => Bytes::new(),
        }))
    }

    /// The answer to a client of no known service: a problem document.
    #[must_use]
    pub fn problem(&self, request_id: &str) -> Response<Body> {
        self.response(request_id, ErrorFormat::Problem)
    }

    /// The body in `format`.
    fn body(&self, kind: &ProblemKind, request_id: &str, format: ErrorFormat) -> Vec<u8> {
        let detail = self.detail();
        let xml = |form| format::xml(form, kind, &detail, request_id);
        let problem = Problem {
            __type: (format == ErrorFormat::Json).then_some(kind.code),
            r#type: format!("urn:countersign:{}", kind.code),
            title: kind.title,
            status: kind.status.as_u16(),
            detail: &detail,
            code: kind.code,
            message: &detail,
            request_id,
        };
        match format {
            ErrorFormat::Problem | ErrorFormat::Json => {
                serde_json::to_vec(&problem).expect("strings and a number serialise")
            }
            ErrorFormat::Cbor => format::cbor(&[
                ("__type", kind.code),
                ("message", &detail),
                ("code", kind.code),
                ("request_id", request_id),
            ]),
            ErrorFormat::Xml(form) => xml(form),
        }
    }

    /// The answer to the client, with a body in `format`.
    pub(super) fn response(&self, request_id: &str, format: ErrorFormat) -> Response<Body> {
        let kind = self.kind();
        let mut response = Response::new(Body::from(self.body(&kind, request_id, format)));
        *response.status_mut() = kind.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.extend(format.header());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Without this policy, a browser that shows the problem as a page also asks the API for /favicon.ico.
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        headers.insert(
            PROXY_STATUS,
            HeaderValue::from_str(&format!("countersign; error={}", kind.proxy_status))
                .expect("error types are tokens"),
        );
        if let Some(pause) = kind.retry_after {
            let seconds = pause.as_secs_f64().ceil().clamp(1.0, 60.0) as u64;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer, Basic realm=\"countersign\""),
            );
        }
        if kind.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        if kind.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
        if self.closes() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// A text that helps the client. It names no secret and no path of this machine.
    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Refused(refusal) => refusal.to_string().into(),
            Self::Target(error) => sentence(&error.to_string()).into(),
            Self::NoRoute => "No route's path is a prefix of the request's path.".into(),
            Self::BodyTimeout => "The request body did not arrive in time.".into(),
            Self::BodyIncomplete => "The request body ended early or is not framed as HTTP/1.1 asks.".into(),
            Self::BodyTooLarge { limit } => format!(
                "The request body is larger than {limit} bytes. To let it pass, start the proxy with a larger --max-body."
            )
            .into(),
            Self::Overloaded(limit) => {
                let flag = match limit {
                    Limit::Connections => " (--max-connections)",
                    Limit::InFlight => " (--max-in-flight)",
                    Limit::Tunnels => " (--max-tunnels)",
                    Limit::BodyMemory => " (--body-memory)",
                    _ => "",
                };
                format!("The proxy has reached its limit on {}{flag}; try again in a moment.", limit.name()).into()
            }
            Self::Credentials(Unavailable::Temporarily { .. }) => {
                "There are no valid AWS credentials at the moment; a refresh is under way.".into()
            }
            Self::Credentials(Unavailable::LoginRequired { remedy }) => sentence(remedy).into(),
            Self::Upstream(error) => error.advice(),
            Self::ChunkedSignature => "The client has signed the chunks of the body (x-amz-content-sha256: \
                                       STREAMING-...), which the proxy cannot do again as another user. Let the \
                                       client send the body unsigned or signed as a whole."
                .into(),
            Self::UnclearBucket(unclear) => unclear.to_string().into(),
            Self::AwsChunked(error) => error.to_string().into(),
            Self::Handshake(error) => error.to_string().into(),
            Self::HandshakeAnswer(error) => {
                format!("The upstream's answer to the WebSocket handshake is not valid: {error}.").into()
            }
            Self::Internal(_) => "The proxy failed to handle this request.".into(),
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail())
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // The detail says what the error says, in other words.
            Self::Upstream(error) => error.source(),
            _ => None,
        }
    }
}

/// The whole answer to a connection beyond `max-connections`, head included.
#[must_use]
pub fn no_room() -> Bytes {
    ProxyError::Overloaded(Limit::Connections).whole_answer()
}

/// First letter upper case, full stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

impl From<Refusal> for ProxyError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<TargetError> for ProxyError {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<UnclearBucket> for ProxyError {
    fn from(unclear: UnclearBucket) -> Self {
        Self::UnclearBucket(unclear)
    }
}

impl From<AwsChunkedError> for ProxyError {
    fn from(error: AwsChunkedError) -> Self {
        Self::AwsChunked(error)
    }
}

impl From<HandshakeError> for ProxyError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<AnswerError> for ProxyError {
    fn from(error: AnswerError) -> Self {
        Self::HandshakeAnswer(error)
    }
}

impl From<Unavailable> for ProxyError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Credentials(unavailable)
    }
}

impl From<UpstreamError> for ProxyError {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn field(error: &ProxyError, name: header::HeaderName) -> Option<String> {
        let response = error.problem("id");
        response.headers().get(name).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn what_passes_says_in_one_to_sixty_whole_seconds_when_to_ask_again() {
        let unavailable = |millis| {
            let retry_after = Duration::from_millis(millis);
            ProxyError::Credentials(Unavailable::Temporarily { retry_after })
        };
        let login = Unavailable::LoginRequired { remedy: "run countersign login".into() };
        for (error, seconds) in [
            (ProxyError::Overloaded(Limit::InFlight), Some("1")),
            (ProxyError::Upstream(UpstreamError::Shortage("no port".into())), Some("1")),
            (unavailable(0), Some("1")),
            (unavailable(1_001), Some("2")),
            (unavailable(59_001), Some("60")),
            (unavailable(3_600_000), Some("60")),
            (ProxyError::Credentials(login), None),
            (ProxyError::Upstream(UpstreamError::ResponseTimeout), None),
            (ProxyError::NoRoute, None),
        ] {
            assert_eq!(field(&error, header::RETRY_AFTER).as_deref(), seconds, "{error:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_accepted() {
        let (token, method) = (Refusal::TokenRequired.into(), Refusal::Method.into());
        let (challenge, allowed) = (header::WWW_AUTHENTICATE, header::ALLOW);
        assert_eq!(field(&token, challenge.clone()).as_deref(), Some("Bearer, Basic realm=\"countersign\""));
        assert_eq!(field(&token, allowed.clone()), None);
        assert_eq!(field(&method, challenge), None);
        assert_eq!(field(&method, allowed).as_deref(), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }

    #[test]
    fn a_connection_ends_where_what_follows_cannot_be_trusted() {
        for (error, closes) in [
            (Refusal::Malformed("There is no Host header".into()).into(), true),
            (Refusal::HeadTooLarge.into(), true),
            (Refusal::TokenRequired.into(), false),
            (ProxyError::BodyTooLarge { limit: 1 }, true),
            (ProxyError::BodyIncomplete, true),
            (ProxyError::Target(TargetError::BadEscape), true),
            (ProxyError::Overloaded(Limit::Connections), true),
            (ProxyError::Overloaded(Limit::InFlight), false),
            (ProxyError::NoRoute, false),
            (ProxyError::Upstream(UpstreamError::ResponseTimeout), false),
        ] {
            let connection = field(&error, header::CONNECTION);
            assert_eq!(connection.as_deref(), closes.then_some("close"), "{error:?}");
        }
    }
}
