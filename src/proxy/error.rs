//! What goes wrong on the data path, and the answer that a client gets for it.

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::{body::Body, guard::Refusal, upstream::UpstreamError};
use crate::{credentials::channel::Unavailable, signing::TargetError};

/// Everything that ends a request without an answer of the upstream.
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
    /// There is no room for another request or body.
    Overloaded,
    /// The request cannot be signed.
    Credentials(Unavailable),
    /// The upstream did not answer.
    Upstream(UpstreamError),
    /// The body carries signatures of the client's own between its chunks.
    ChunkedSignature,
    /// A mistake of the proxy's own; the message is for the log.
    Internal(Cow<'static, str>),
}

/// How an error looks from outside.
struct Face {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    proxy_status: &'static str,
    retry_after: Option<Duration>,
}

/// RFC 9457, with `message` for clients that expect AWS's own shape.
#[derive(Serialize)]
struct Problem<'a> {
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
        self.face().code
    }

    /// Whether the connection may not be used again: what follows in it cannot be trusted or was not read.
    #[must_use]
    pub fn closes(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_malformed(),
            Self::Target(_)
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::BodyTooLarge { .. }
            | Self::ChunkedSignature
            | Self::Overloaded => true,
            Self::NoRoute | Self::Credentials(_) | Self::Upstream(_) | Self::Internal(_) => false,
        }
    }

    /// The answer to the client.
    #[must_use]
    pub fn response(&self, request_id: &str) -> Response<Body> {
        let face = self.face();
        let detail = self.detail();
        let problem = Problem {
            r#type: format!("urn:countersign:{}", face.code),
            title: face.title,
            status: face.status.as_u16(),
            detail: &detail,
            code: face.code,
            message: &detail,
            request_id,
        };
        let text = serde_json::to_vec(&problem).expect("strings and a number serialise");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = face.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A browser that was led here would fetch an icon for the page, and would be let through to the API.
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        headers.insert(
            "proxy-status",
            HeaderValue::from_str(&format!("countersign; error={}", face.proxy_status))
                .expect("error types are tokens"),
        );
        if let Some(pause) = face.retry_after {
            let seconds = pause.as_secs_f64().ceil().clamp(1.0, 60.0) as u64;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if face.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer, Basic realm=\"countersign\""),
            );
        }
        if face.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        if self.closes() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn face(&self) -> Face {
        let face =
            |status, code, title, proxy_status| Face { status, code, title, proxy_status, retry_after: None };
        match self {
            Self::Refused(refusal) => refusal_face(refusal, face),
            Self::Target(TargetError::TooLong) => face(
                StatusCode::URI_TOO_LONG,
                "uri-too-long",
                "Request target too long",
                "http_request_error",
            ),
            Self::Target(_) | Self::BodyIncomplete => {
                face(StatusCode::BAD_REQUEST, "bad-request", "Bad request", "http_request_error")
            }
            Self::ChunkedSignature => face(
                StatusCode::NOT_IMPLEMENTED,
                "unsupported-transfer-coding",
                "Unsupported body signature",
                "http_request_error",
            ),
            Self::NoRoute => face(StatusCode::NOT_FOUND, "no-route", "No route", "destination_not_found"),
            Self::BodyTimeout => {
                face(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", "http_request_error")
            }
            Self::BodyTooLarge { .. } => {
                face(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", "http_request_error")
            }
            Self::Overloaded => Face {
                retry_after: Some(Duration::from_secs(1)),
                ..face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "overloaded",
                    "Overloaded",
                    "connection_limit_reached",
                )
            },
            Self::Credentials(Unavailable::Temporarily { retry_after }) => Face {
                retry_after: Some(*retry_after),
                ..face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "credentials-unavailable",
                    "Credentials unavailable",
                    "proxy_internal_error",
                )
            },
            Self::Credentials(Unavailable::LoginRequired { .. }) => face(
                StatusCode::SERVICE_UNAVAILABLE,
                "login-required",
                "Sign-in required",
                "proxy_configuration_error",
            ),
            Self::Upstream(error) => upstream_face(error, face),
            Self::Internal(_) => {
                face(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", "proxy_internal_error")
            }
        }
    }

    /// What helps the client, and nothing that it should not know.
    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Refused(refusal) => refusal.to_string().into(),
            Self::Target(error) => sentence(&error.to_string()).into(),
            Self::NoRoute => "No route's path is a prefix of the request's path.".into(),
            Self::BodyTimeout => "The request body did not arrive in time.".into(),
            Self::BodyIncomplete => "The request body ended early or is not framed as HTTP/1.1 asks.".into(),
            Self::BodyTooLarge { limit } => format!(
                "The request body is larger than {limit} bytes, the limit that the setting max-body gives."
            )
            .into(),
            Self::Overloaded => "The proxy is at one of its limits; try again in a moment.".into(),
            Self::Credentials(Unavailable::Temporarily { .. }) => {
                "There are no valid AWS credentials at the moment; a refresh is under way.".into()
            }
            Self::Credentials(Unavailable::LoginRequired { remedy }) => sentence(remedy).into(),
            Self::Upstream(error) => error.advice().into(),
            Self::ChunkedSignature => "The client has signed the chunks of the body (x-amz-content-sha256: \
                                       STREAMING-...), which the proxy cannot do again as another user. Let the \
                                       client send the body unsigned or signed as a whole."
                .into(),
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
            Self::Upstream(error) => Some(error),
            _ => None,
        }
    }
}

type MakeFace = fn(StatusCode, &'static str, &'static str, &'static str) -> Face;

fn refusal_face(refusal: &Refusal, face: MakeFace) -> Face {
    let error = "http_request_error";
    let denied = "http_request_denied";
    match refusal {
        Refusal::Malformed(_) => face(StatusCode::BAD_REQUEST, "bad-request", "Bad request", error),
        Refusal::TransferCoding => face(
            StatusCode::NOT_IMPLEMENTED,
            "unsupported-transfer-coding",
            "Unsupported transfer coding",
            error,
        ),
        Refusal::Upgrade => {
            face(StatusCode::NOT_IMPLEMENTED, "upgrade-not-supported", "Upgrade not supported", error)
        }
        Refusal::Expectation => {
            face(StatusCode::EXPECTATION_FAILED, "expectation-failed", "Expectation failed", error)
        }
        Refusal::UriTooLong => {
            face(StatusCode::URI_TOO_LONG, "uri-too-long", "Request target too long", error)
        }
        Refusal::HeadTooLarge => face(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            "Request head too large",
            error,
        ),
        Refusal::HeadTimeout => {
            face(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", error)
        }
        Refusal::Method => {
            face(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", denied)
        }
        Refusal::HostNotAllowed { .. } => {
            face(StatusCode::FORBIDDEN, "host-not-allowed", "Host not allowed", denied)
        }
        Refusal::CrossSite { .. } => face(StatusCode::FORBIDDEN, "cross-site", "Cross-site request", denied),
        Refusal::TokenRequired | Refusal::OtherUser => {
            face(StatusCode::UNAUTHORIZED, "token-required", "Token required", denied)
        }
    }
}

fn upstream_face(error: &UpstreamError, face: MakeFace) -> Face {
    let bad = StatusCode::BAD_GATEWAY;
    let late = StatusCode::GATEWAY_TIMEOUT;
    match error {
        UpstreamError::Dns(_) => face(bad, "upstream-dns", "Upstream name not found", "dns_error"),
        UpstreamError::Refused(_) => {
            face(bad, "upstream-refused", "Upstream refused the connection", "connection_refused")
        }
        UpstreamError::Certificate(_) => {
            face(bad, "upstream-tls", "Upstream certificate not trusted", "tls_certificate_error")
        }
        UpstreamError::Tls(_) => face(bad, "upstream-tls", "TLS failed", "tls_protocol_error"),
        UpstreamError::Closed { .. } => {
            face(bad, "upstream-closed", "Upstream closed the connection", "connection_terminated")
        }
        UpstreamError::Protocol(_) => {
            face(bad, "upstream-protocol", "Upstream broke the protocol", "http_protocol_error")
        }
        UpstreamError::ConnectTimeout => {
            face(late, "upstream-timeout", "Upstream timeout", "connection_timeout")
        }
        UpstreamError::ResponseTimeout => {
            face(late, "upstream-timeout", "Upstream timeout", "http_response_timeout")
        }
    }
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
