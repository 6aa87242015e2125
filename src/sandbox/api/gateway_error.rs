//! Errors that API Gateway answers with by itself, for faults and for `/gateway/{name}`.

use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::sandbox::answer::{Body, Form};

/// An error of the gateway, which has no cause in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayError {
    /// The name by which a fault or a path asks for it.
    pub name: &'static str,
    status: StatusCode,
    /// `x-amzn-errortype`, where the gateway sends one.
    error_type: Option<&'static str>,
    message: &'static str,
}

/// The errors, with the statuses and messages of the gateway's default responses.
const ERRORS: &[GatewayError] = &[
    error("wrong-stage", StatusCode::FORBIDDEN, Some("ForbiddenException"), "Forbidden"),
    error("waf", StatusCode::FORBIDDEN, Some("ForbiddenException"), "Forbidden"),
    error("api-key", StatusCode::FORBIDDEN, Some("ForbiddenException"), "Forbidden"),
    THROTTLED,
    error("quota", StatusCode::TOO_MANY_REQUESTS, Some("LimitExceededException"), "Limit Exceeded"),
    error("too-large", StatusCode::PAYLOAD_TOO_LARGE, Some("RequestTooLargeException"), "Request Too Long"),
    error(
        "integration",
        StatusCode::BAD_GATEWAY,
        Some("InternalServerErrorException"),
        "Internal server error",
    ),
    INTEGRATION_TIMEOUT,
];

/// What the gateway answers above its rate, and above the number of WebSocket connections.
pub(super) const THROTTLED: GatewayError =
    error("throttled", StatusCode::TOO_MANY_REQUESTS, Some("TooManyRequestsException"), "Too Many Requests");

/// What the gateway answers when an integration takes longer than 29 s.
pub(super) const INTEGRATION_TIMEOUT: GatewayError =
    error("timeout", StatusCode::GATEWAY_TIMEOUT, None, "Endpoint request timed out");

const fn error(
    name: &'static str,
    status: StatusCode,
    error_type: Option<&'static str>,
    message: &'static str,
) -> GatewayError {
    GatewayError { name, status, error_type, message }
}

impl GatewayError {
    /// The error with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ERRORS.iter().find(|error| error.name == name).copied()
    }

    /// The names of all.
    pub(in crate::sandbox) fn names() -> impl Iterator<Item = &'static str> {
        ERRORS.iter().map(|error| error.name)
    }

    pub(in crate::sandbox) fn response(self) -> Response<Body> {
        let mut response = Form::Gateway.json(self.status, &json!({ "message": self.message }));
        if let Some(error_type) = self.error_type {
            response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error_type));
        }
        response
    }
}
