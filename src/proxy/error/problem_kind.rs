//! Status, code and `Proxy-Status` error of each failure. They are chosen here and nowhere else.

use std::time::Duration;

use http::StatusCode;

use super::ProxyError;
use crate::{
    credentials::channel::Unavailable,
    proxy::{admission::Refusal, websocket::handshake::HandshakeError},
    signing::TargetError,
    tls::fault::TlsFault,
    upstream::{ProxyCause, UpstreamError},
};

/// The parts of a problem document and its headers that depend on the failure.
pub(super) struct ProblemKind {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) proxy_status: &'static str,
    pub(super) retry_after: Option<Duration>,
}

impl ProxyError {
    pub(super) fn kind(&self) -> ProblemKind {
        let kind = |status, code, title, proxy_status| ProblemKind {
            status,
            code,
            title,
            proxy_status,
            retry_after: None,
        };
        match self {
            Self::Refused(refusal) => refusal_kind(refusal, kind),
            Self::Target(TargetError::TooLong) => kind(
                StatusCode::URI_TOO_LONG,
                "uri-too-long",
                "Request target too long",
                "http_request_error",
            ),
            Self::Handshake(HandshakeError::Version) => kind(
                StatusCode::UPGRADE_REQUIRED,
                "websocket-version",
                "WebSocket version not supported",
                "http_request_error",
            ),
            Self::Target(_)
            | Self::BodyIncomplete
            | Self::UnclearBucket(_)
            | Self::AwsChunked(_)
            | Self::Handshake(_) => {
                kind(StatusCode::BAD_REQUEST, "bad-request", "Bad request", "http_request_error")
            }
            Self::ChunkedSignature => kind(
                StatusCode::NOT_IMPLEMENTED,
                "unsupported-transfer-coding",
                "Unsupported body signature",
                "http_request_error",
            ),
            Self::NoRoute => kind(StatusCode::NOT_FOUND, "no-route", "No route", "destination_not_found"),
            Self::BodyTimeout => {
                kind(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", "http_request_error")
            }
            Self::BodyTooLarge { .. } => {
                kind(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", "http_request_error")
            }
            Self::Overloaded(_) => ProblemKind {
                retry_after: Some(Duration::from_secs(1)),
                ..kind(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "overloaded",
                    "Overloaded",
                    "connection_limit_reached",
                )
            },
            Self::Credentials(Unavailable::Temporarily { retry_after }) => ProblemKind {
                retry_after: Some(*retry_after),
                ..kind(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "credentials-unavailable",
                    "Credentials unavailable",
                    "proxy_internal_error",
                )
            },
            Self::Credentials(Unavailable::LoginRequired { .. }) => kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "login-required",
                "Sign-in required",
                "proxy_configuration_error",
            ),
            Self::Upstream(error) => upstream_kind(error, kind),
            Self::HandshakeAnswer(_) => kind(
                StatusCode::BAD_GATEWAY,
                "upstream-websocket",
                "Upstream broke the WebSocket handshake",
                "http_upgrade_failed",
            ),
            Self::Internal(_) => {
                kind(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", "proxy_internal_error")
            }
        }
    }
}

type MakeKind = fn(StatusCode, &'static str, &'static str, &'static str) -> ProblemKind;

fn refusal_kind(refusal: &Refusal, kind: MakeKind) -> ProblemKind {
    let error = "http_request_error";
    let denied = "http_request_denied";
    match refusal {
        Refusal::Malformed(_) | Refusal::Tls => {
            kind(StatusCode::BAD_REQUEST, "bad-request", "Bad request", error)
        }
        Refusal::TransferCoding => kind(
            StatusCode::NOT_IMPLEMENTED,
            "unsupported-transfer-coding",
            "Unsupported transfer coding",
            error,
        ),
        Refusal::Upgrade => {
            kind(StatusCode::NOT_IMPLEMENTED, "upgrade-not-supported", "Upgrade not supported", error)
        }
        Refusal::Expectation => {
            kind(StatusCode::EXPECTATION_FAILED, "expectation-failed", "Expectation failed", error)
        }
        Refusal::UriTooLong => {
            kind(StatusCode::URI_TOO_LONG, "uri-too-long", "Request target too long", error)
        }
        Refusal::HeadTooLarge => kind(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            "Request head too large",
            error,
        ),
        Refusal::HeadTimeout => {
            kind(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", error)
        }
        Refusal::Method => {
            kind(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", denied)
        }
        Refusal::HostNotAllowed { .. } => {
            kind(StatusCode::FORBIDDEN, "host-not-allowed", "Host not allowed", denied)
        }
        Refusal::CrossSite { .. } => kind(StatusCode::FORBIDDEN, "cross-site", "Cross-site request", denied),
        Refusal::TokenRequired | Refusal::OtherUser | Refusal::UnknownUser | Refusal::NotOperator => {
            kind(StatusCode::UNAUTHORIZED, "token-required", "Token required", denied)
        }
    }
}

fn upstream_kind(error: &UpstreamError, kind: MakeKind) -> ProblemKind {
    let bad = StatusCode::BAD_GATEWAY;
    let late = StatusCode::GATEWAY_TIMEOUT;
    match error {
        UpstreamError::Dns(_) => kind(bad, "upstream-dns", "Upstream name not found", "dns_error"),
        UpstreamError::Shortage(_) => ProblemKind {
            retry_after: Some(Duration::from_secs(1)),
            ..kind(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", "connection_limit_reached")
        },
        UpstreamError::Refused(_) => {
            kind(bad, "upstream-refused", "Upstream refused the connection", "connection_refused")
        }
        UpstreamError::Tls(TlsFault::Certificate(_)) => {
            kind(bad, "upstream-tls", "Upstream certificate not trusted", "tls_certificate_error")
        }
        UpstreamError::Tls(_) => kind(bad, "upstream-tls", "TLS failed", "tls_protocol_error"),
        UpstreamError::Closed { .. } => {
            kind(bad, "upstream-closed", "Upstream closed the connection", "connection_terminated")
        }
        UpstreamError::Protocol(_) => {
            kind(bad, "upstream-protocol", "Upstream broke the protocol", "http_protocol_error")
        }
        UpstreamError::Proxy(failure) => match failure.cause() {
            ProxyCause::Connection(error) => upstream_kind(error, kind),
            ProxyCause::Answer(_) => {
                kind(bad, "upstream-refused", "Proxy refused the tunnel", "connection_refused")
            }
        },
        UpstreamError::ConnectTimeout(_) => {
            kind(late, "upstream-timeout", "Upstream timeout", "connection_timeout")
        }
        UpstreamError::SendTimeout | UpstreamError::ResponseTimeout => {
            kind(late, "upstream-timeout", "Upstream timeout", "http_response_timeout")
        }
    }
}
