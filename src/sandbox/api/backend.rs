//! Forwards verified requests to the user's own local server, with the identity in headers.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, uri};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::received::Received;
use crate::sandbox::{
    answer::{Body, Form, RequestIds},
    credential_store::Issued,
    paced::Hangup,
};

/// Fields that concern one connection, or that only the gateway reads or writes.
const NOT_FORWARDED: [&str; 10] = [
    "authorization",
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

const PREFIX: &str = "x-countersign-";

pub(super) struct Backend {
    base: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
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
        issued: &Issued,
        ids: &RequestIds,
    ) -> Response<Body> {
        let failed = || Form::Gateway.text(StatusCode::BAD_GATEWAY, NO_RESPONSE_FROM_BACKEND.to_owned());
        let Some(mut request) = self.request(received, path, issued) else { return failed() };
        ids.mark(Form::Gateway, request.headers_mut());
        match self.client.request(request).await {
            Ok(response) => response.map(|body| body.map_err(|_| Hangup).boxed_unsync()),
            Err(error) => {
                tracing::warn!(backend = %self.base, cause = root_cause(&error), "no response from backend");
                failed()
            }
        }
    }

    fn request(&self, received: &Received, path: &str, issued: &Issued) -> Option<Request<Full<Bytes>>> {
        let query = received.query().map_or_else(String::new, |query| format!("?{query}"));
        let prefix = self.base.path().trim_end_matches('/');
        let mut parts = uri::Parts::default();
        parts.scheme = self.base.scheme().cloned();
        parts.authority = self.base.authority().cloned();
        parts.path_and_query = format!("{prefix}{path}{query}").parse().ok();
        let mut request = Request::new(Full::new(received.body.clone()));
        *request.method_mut() = received.method.parse().ok()?;
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.headers_mut() = headers(received, issued);
        Some(request)
    }
}

/// The innermost cause, such as `Connection refused`.
fn root_cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

fn headers(received: &Received, issued: &Issued) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &received.headers {
        let ours = name.starts_with(PREFIX) || NOT_FORWARDED.contains(&name.as_str());
        let parsed = (HeaderName::try_from(name), HeaderValue::from_bytes(value));
        if let (false, (Ok(name), Ok(value))) = (ours, parsed) {
            headers.append(name, value);
        }
    }
    let principal = &issued.principal;
    let login = principal.login.as_ref();
    for (name, value) in [
        ("identity-id", Some(principal.identity_id.as_str())),
        ("user-arn", Some(principal.user_arn().as_str())),
        ("access-key", Some(issued.access_key.as_str())),
        ("login-provider", login.map(|(provider, _)| provider.as_str())),
        ("login-subject", login.map(|(_, subject)| subject.as_str())),
    ] {
        let name = HeaderName::try_from(format!("{PREFIX}{name}"));
        if let (Ok(name), Some(Ok(value))) = (name, value.map(HeaderValue::try_from)) {
            headers.insert(name, value);
        }
    }
    if let Some(host) = received.header("host").and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(header::HeaderName::from_static("x-forwarded-host"), host);
    }
    headers
}
