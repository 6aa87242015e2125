//! Forwards authorised requests to the user's own local server, with the identity in headers.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use super::{authorizer::Caller, received::Received};
use crate::sandbox::{
    answer::{Body, Form, RequestIds},
    paced::Hangup,
};

/// Fields that concern one connection, or that only the gateway reads or writes. Without IAM, Authorization is the
/// integration's to read.
const NOT_FORWARDED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amz-security-token",
];

/// The body of the 502 that API Gateway gives when an integration fails.
pub const NO_RESPONSE_FROM_BACKEND: &str = r#"{"message":"Internal server error"}"#;

pub(super) const PREFIX: &str = "x-countersign-";

/// Bytes that may answer an event of a WebSocket connection: a message of the gateway's.
const MAX_EVENT_ANSWER: usize = 128 * 1024;

pub(super) struct Backend {
    base: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What the server answered to an event of a WebSocket connection.
#[derive(Debug)]
pub(super) struct EventAnswer {
    pub(super) status: StatusCode,
    /// The subprotocol that it chose for the connection.
    pub(super) protocol: Option<String>,
    pub(super) body: String,
}

impl Backend {
    pub(super) fn new(base: Uri) -> Self {
        Self { base, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Forwards a request whose `path` is below the stage.
    pub(super) async fn forward(
        &self,
        received: &Received,
        path: &str,
        caller: &Caller,
        ids: &RequestIds,
    ) -> Response<Body> {
        let failed = || Form::Gateway.text(StatusCode::BAD_GATEWAY, NO_RESPONSE_FROM_BACKEND.to_owned());
        let Some(mut request) = self.request(received, path, caller) else { return failed() };
        ids.mark(Form::Gateway, request.headers_mut());
        match self.client.request(request).await {
            Ok(response) => response.map(|body| body.map_err(|_| Hangup).boxed_unsync()),
            Err(error) => {
                self.warn(&error);
                failed()
            }
        }
    }

    /// Posts an event to `target`, a path below the stage with its query; `None` without a usable answer.
    pub(super) async fn post_event(
        &self,
        target: &str,
        headers: HeaderMap,
        event: &Value,
    ) -> Option<EventAnswer> {
        let mut request = Request::new(Full::from(event.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(target)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.client.request(request).await.inspect_err(|error| self.warn(error)).ok()?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_EVENT_ANSWER).collect().await;
        let body = body.inspect_err(|error| self.warn(error.as_ref())).ok()?.to_bytes();
        let protocol = head.headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|name| name.to_str().ok());
        Some(EventAnswer {
            status: head.status,
            protocol: protocol.map(str::to_owned),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn warn(&self, error: &(dyn Error + 'static)) {
        tracing::warn!(backend = %self.base, cause = root_cause(error), "no response from backend");
    }

    fn request(&self, received: &Received, path: &str, caller: &Caller) -> Option<Request<Full<Bytes>>> {
        let query = received.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut request = Request::new(Full::new(received.body.clone()));
        *request.method_mut() = received.method.parse().ok()?;
        *request.uri_mut() = self.uri(&format!("{path}{query}"))?;
        *request.headers_mut() = headers(received, caller);
        Some(request)
    }

    /// `target` below the server's own path.
    fn uri(&self, target: &str) -> Option<Uri> {
        let prefix = self.base.path().trim_end_matches('/');
        let mut parts = uri::Parts::default();
        parts.scheme = self.base.scheme().cloned();
        parts.authority = self.base.authority().cloned();
        parts.path_and_query = format!("{prefix}{target}").parse().ok();
        Uri::from_parts(parts).ok()
    }
}

/// The innermost cause, such as `Connection refused`.
fn root_cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

fn headers(received: &Received, caller: &Caller) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &received.headers {
        let is_signature = name == "authorization" && matches!(caller, Caller::Iam(_));
        let ours = is_signature || name.starts_with(PREFIX) || NOT_FORWARDED.contains(&name.as_str());
        let parsed = (HeaderName::try_from(name), HeaderValue::from_bytes(value));
        if let (false, (Ok(name), Ok(value))) = (ours, parsed) {
            headers.append(name, value);
        }
    }
    headers.extend(identity_headers(caller));
    if let Some(host) = received.header("host").and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(header::HeaderName::from_static("x-forwarded-host"), host);
    }
    headers
}

/// Who sent a request, in headers.
pub(super) fn identity_headers(caller: &Caller) -> HeaderMap {
    let pairs = identity(caller).into_iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(format!("{PREFIX}{name}")).ok()?;
        Some((name, HeaderValue::try_from(value?).ok()?))
    });
    pairs.collect()
}

/// The names of the identity's headers without their prefix, and their values.
fn identity(caller: &Caller) -> Vec<(&'static str, Option<String>)> {
    match caller {
        Caller::Anonymous => Vec::new(),
        Caller::UserPool(claims) => vec![
            ("login-provider", claims["iss"].as_str().map(|issuer| issuer.replacen("https://", "", 1))),
            ("login-subject", claims["sub"].as_str().map(str::to_owned)),
        ],
        Caller::Iam(issued) => {
            let principal = &issued.principal;
            let login = principal.login.as_ref();
            vec![
                ("identity-id", Some(principal.identity_id.clone())),
                ("user-arn", Some(principal.user_arn())),
                ("access-key", Some(issued.access_key.clone())),
                ("login-provider", login.map(|(provider, _)| provider.clone())),
                ("login-subject", login.map(|(_, subject)| subject.clone())),
            ]
        }
    }
}
