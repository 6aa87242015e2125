//! Hands verified requests to the user's own local server, with the identity in headers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, uri};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;

use super::received::Received;
use crate::sandbox::{
    answer::{Body, Form},
    paced::Hangup,
    vault::Issued,
};

/// Fields that concern one connection, or that only the gateway may see or write.
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
    pub(super) async fn forward(&self, received: &Received, path: &str, issued: &Issued) -> Response<Body> {
        let failed =
            || Form::Gateway.json(StatusCode::BAD_GATEWAY, &json!({ "message": "Internal server error" }));
        let Some(request) = self.request(received, path, issued) else { return failed() };
        match self.client.request(request).await {
            Ok(response) => response.map(|body| body.map_err(|_| Hangup).boxed_unsync()),
            Err(error) => {
                tracing::warn!(%error, "backend does not answer");
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
