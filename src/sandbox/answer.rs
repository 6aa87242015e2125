//! Responses in the forms of the AWS services: JSON 1.1 of Cognito, JSON of API Gateway, XML of STS.

use std::future;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::{Value, json};

use super::{
    faults::{Fault, Faults},
    paced::{Hangup, Paced},
    xml,
};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(super) const GATEWAY_ID: HeaderName = HeaderName::from_static("x-amz-apigw-id");

pub(super) type Body = UnsyncBoxBody<Bytes, Hangup>;

/// An error in AWS's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AwsError {
    pub(super) code: String,
    pub(super) message: String,
}

/// The service that a response looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// cognito-idp and cognito-identity: 400, `__type`, and an error type that ends in a colon.
    Cognito,
    /// A REST API: 403, `message` alone, and the gateway's own request id.
    Gateway,
    /// Managed login's token endpoint: 400 and `error`.
    OAuth,
    /// STS: XML.
    Sts,
}

/// The ids by which AWS marks an answer as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestIds {
    /// `x-amzn-requestid`.
    pub(super) request: String,
    /// `x-amz-apigw-id`, which an event has as its extended request id.
    pub(super) gateway: String,
}

impl RequestIds {
    pub(super) fn random() -> Self {
        let id = uuid::Uuid::new_v4();
        Self { request: id.to_string(), gateway: format!("{}=", &id.simple().to_string()[..15]) }
    }

    pub(super) fn mark(&self, form: Form, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, ascii(&self.request));
        if form == Form::Gateway {
            headers.insert(GATEWAY_ID, ascii(&self.gateway));
        }
    }
}

impl AwsError {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    pub(super) fn not_authorized(message: impl Into<String>) -> Self {
        Self::new("NotAuthorizedException", message)
    }

    pub(super) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }
}

impl Form {
    pub(super) fn ok(self, value: &Value) -> Response<Body> {
        self.json(StatusCode::OK, value)
    }

    /// As [`ok`](Self::ok), for people to read.
    pub(super) fn ok_indented(self, value: &Value) -> Response<Body> {
        self.text(StatusCode::OK, format!("{value:#}\n"))
    }

    pub(super) fn error(self, error: &AwsError) -> Response<Body> {
        let AwsError { code, message } = error;
        let marked = |mut response: Response<Body>, kind: String| {
            if let Ok(kind) = HeaderValue::try_from(kind) {
                response.headers_mut().insert("x-amzn-errortype", kind);
            }
            response
        };
        match self {
            Self::Cognito => {
                let body = json!({ "__type": code, "message": message });
                marked(self.json(StatusCode::BAD_REQUEST, &body), format!("{code}:"))
            }
            Self::Gateway => {
                let body = json!({ "message": message });
                marked(self.json(gateway_status(code), &body), code.clone())
            }
            Self::OAuth => self.json(StatusCode::BAD_REQUEST, &json!({ "error": code })),
            Self::Sts => self.text(sts_status(code), xml::error(code, message)),
        }
    }

    pub(super) fn json(self, status: StatusCode, value: &Value) -> Response<Body> {
        self.text(status, value.to_string())
    }

    pub(super) fn text(self, status: StatusCode, text: String) -> Response<Body> {
        let kind = match self {
            Self::Cognito => "application/x-amz-json-1.1",
            Self::Gateway | Self::OAuth => "application/json",
            Self::Sts => "text/xml",
        };
        self.with_request_id(plain(status, kind, text))
    }

    /// Marks an answer as one of AWS.
    pub(super) fn with_request_id(self, mut response: Response<Body>) -> Response<Body> {
        RequestIds::random().mark(self, response.headers_mut());
        response
    }

    /// Carries out the fault that is planned for `operation`; `None` if the call gets its usual response.
    pub(super) async fn disturbed(
        self,
        faults: &Faults,
        operation: &str,
    ) -> Result<Option<Response<Body>>, Hangup> {
        self.carry_out(faults.take(operation)).await
    }

    /// Carries out a fault; `None` if the call gets its usual response.
    pub(super) async fn carry_out(self, fault: Option<Fault>) -> Result<Option<Response<Body>>, Hangup> {
        Ok(Some(match fault {
            // Those of a WebSocket connection come with its 101 or after it.
            None | Some(Fault::WrongAccept | Fault::CloseAfter { .. }) => return Ok(None),
            Some(Fault::Page(status, title)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
                plain(status, "text/html", format!("<html><head><title>{title}</title></head></html>"))
            }
            Some(Fault::Delay(time) | Fault::Late(time)) => {
                tokio::time::sleep(time).await;
                return Ok(None);
            }
            Some(Fault::Hang) => future::pending().await,
            Some(Fault::Disconnect) => return Err(Hangup),
            Some(Fault::Error { code, message }) => self.error(&AwsError { code, message }),
            Some(Fault::Status(status)) => self.broken(status),
            Some(Fault::Gateway(error)) => error.response(),
            Some(Fault::Truncate) => plain(StatusCode::OK, "application/json", Paced::truncated(1000, 10)),
            Some(Fault::MalformedJson) => self.text(StatusCode::OK, "{\"AuthenticationRes".to_owned()),
        }))
    }

    fn broken(self, status: u16) -> Response<Body> {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self {
            Self::Cognito => {
                let body = json!({ "__type": "InternalErrorException", "message": "Internal error" });
                self.json(status, &body)
            }
            Self::Gateway => self.json(status, &json!({ "message": null })),
            Self::OAuth => self.json(status, &json!({ "error": "server_error" })),
            Self::Sts => self.text(status, xml::error("InternalFailure", "Internal failure")),
        }
    }
}

/// An answer with a content type and no marks of AWS.
pub(super) fn plain(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<AnyBody>,
) -> Response<Body> {
    let mut response = Response::new(body.into().0);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Anything that a response body can be made of.
pub(super) struct AnyBody(Body);

impl From<String> for AnyBody {
    fn from(text: String) -> Self {
        Self(Full::from(text).map_err(|never| match never {}).boxed_unsync())
    }
}

impl From<Paced> for AnyBody {
    fn from(paced: Paced) -> Self {
        Self(paced.boxed_unsync())
    }
}

fn gateway_status(code: &str) -> StatusCode {
    match code {
        "TooManyRequestsException" | "LimitExceededException" => StatusCode::TOO_MANY_REQUESTS,
        "UnauthorizedException" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::FORBIDDEN,
    }
}

fn sts_status(code: &str) -> StatusCode {
    match code {
        "AccessDenied" | "IDPRejectedClaim" => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("ids are ASCII")
}
