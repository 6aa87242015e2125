//! Status, code and error type of each failure: the one place where they are chosen.

use std::time::Duration;

use http::StatusCode;

use super::ProxyError;
use crate::{
    credentials::channel::Unavailable,
    proxy::{
        guard::Refusal,
        upstream::{ProxyCause, UpstreamError},
    },
    signing::TargetError,
    tls_fault::TlsFault,
};

/// How an error looks from outside.
pub(super) struct Face {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) proxy_status: &'static str,
    pub(super) retry_after: Option<Duration>,
}

impl ProxyError {
    pub(super) fn face(&self) -> Face {
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
            Self::Overloaded(_) => Face {
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
}

type MakeFace = fn(StatusCode, &'static str, &'static str, &'static str) -> Face;

fn refusal_face(refusal: &Refusal, face: MakeFace) -> Face {
    let error = "http_request_error";
    let denied = "http_request_denied";
    match refusal {
        Refusal::Malformed(_) | Refusal::Tls => {
            face(StatusCode::BAD_REQUEST, "bad-request", "Bad request", error)
        }
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
        Refusal::TokenRequired | Refusal::OtherUser | Refusal::UnknownUser | Refusal::NotOperator => {
            face(StatusCode::UNAUTHORIZED, "token-required", "Token required", denied)
        }
    }
}

fn upstream_face(error: &UpstreamError, face: MakeFace) -> Face {
    let bad = StatusCode::BAD_GATEWAY;
    let late = StatusCode::GATEWAY_TIMEOUT;
    match error {
        UpstreamError::Dns(_) => face(bad, "upstream-dns", "Upstream name not found", "dns_error"),
        UpstreamError::Shortage(_) => Face {
            retry_after: Some(Duration::from_secs(1)),
            ..face(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", "connection_limit_reached")
        },
        UpstreamError::Refused(_) => {
            face(bad, "upstream-refused", "Upstream refused the connection", "connection_refused")
        }
        UpstreamError::Tls(TlsFault::Certificate(_)) => {
            face(bad, "upstream-tls", "Upstream certificate not trusted", "tls_certificate_error")
        }
        UpstreamError::Tls(_) => face(bad, "upstream-tls", "TLS failed", "tls_protocol_error"),
        UpstreamError::Closed { .. } => {
            face(bad, "upstream-closed", "Upstream closed the connection", "connection_terminated")
        }
        UpstreamError::Protocol(_) => {
            face(bad, "upstream-protocol", "Upstream broke the protocol", "http_protocol_error")
        }
        UpstreamError::Proxy(failure) => match failure.cause() {
            ProxyCause::Connection(error) => upstream_face(error, face),
            ProxyCause::Answer(_) => {
                face(bad, "upstream-refused", "Proxy refused the tunnel", "connection_refused")
            }
        },
        UpstreamError::ConnectTimeout(_) => {
            face(late, "upstream-timeout", "Upstream timeout", "connection_timeout")
        }
        UpstreamError::SendTimeout | UpstreamError::ResponseTimeout => {
            face(late, "upstream-timeout", "Upstream timeout", "http_response_timeout")
        }
    }
}
