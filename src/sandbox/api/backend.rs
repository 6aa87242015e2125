//! Forwards authorised requests to the user's own local server, with the identity in headers.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, uri};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

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
        caller: &Caller,
        ids: &RequestIds,
    ) -> Response<Body> {
        let failed = || Form::Gateway.text(StatusCode::BAD_GATEWAY, NO_RESPONSE_FROM_BACKEND.to_owned());
        let Some(mut request) = self.request(received, path, caller) else { return failed() };
        ids.mark(Form::Gateway, request.headers_mut());
        match self.client.request(request).await {
            Ok(response) => response.map(|body| body.map_err(|_| Hangup).boxed_unsync()),
            Err(error) => {
                tracing::warn!(backend = %self.base, cause = root_cause(&error), "no response from backend");
                failed()
            }
        }
    }

    fn request(&self, received: &Received, path: &str, caller: &Caller) -> Option<Request<Full<Bytes>>> {
        let query = received.query().map_or_else(String::new, |query| format!("?{query}"));
        let prefix = self.base.path().trim_end_matches('/');
        let mut parts = uri::Parts::default();
        parts.scheme = self.base.scheme().cloned();
        parts.authority = self.base.authority().cloned();
        parts.path_and_query = format!("{prefix}{path}{query}").parse().ok();
        let mut request = Request::new(Full::new(received.body.clone()));
        *request.method_mut() = received.method.parse().ok()?;
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.headers_mut() = headers(received, caller);
        Some(request)
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
    for (name, value) in identity(caller) {
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
