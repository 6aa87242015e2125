//! The request before it is signed: its route, its target, its headers, its body.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    payload_form::PayloadForm,
    route::{BuildError, Route, Routes},
};
use crate::{
    proxy::{error::ProxyError, headers, meaning::SignedFacts, settings::Settings},
    signing::{Explanation, Payload, Scope, SignedRequest, Unsigned, WireTarget},
};

/// Carries the API key of a usage plan.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Decides what each request becomes.
#[derive(Debug)]
pub(in crate::proxy) struct Planner {
    pub(in crate::proxy) routes: Routes,
    strip_headers: Vec<HeaderName>,
}

/// A request whose destination is decided and whose body is still to come.
#[derive(Debug)]
pub struct Plan<'a> {
    route: &'a Route,
    method: Method,
    target: WireTarget,
    headers: HeaderMap,
    form: PayloadForm,
}

/// A request that can be signed.
#[derive(Debug)]
pub struct Ready<'a> {
    pub(in crate::proxy) route: &'a Route,
    pub(in crate::proxy) unsigned: Unsigned,
}

impl Planner {
    /// # Errors
    /// When trusted roots are missing or cannot be read.
    pub(in crate::proxy) fn new(settings: &Settings) -> Result<Self, BuildError> {
        Ok(Self { routes: Routes::build(settings)?, strip_headers: settings.strip_headers.clone() })
    }

    /// The same planner with other upstream connections.
    pub(in crate::proxy) fn sibling(&self) -> Self {
        Self { routes: self.routes.sibling(), strip_headers: self.strip_headers.clone() }
    }

    /// Decides where a request goes, and which of its headers go along.
    ///
    /// # Errors
    /// When it cannot go anywhere.
    pub(in crate::proxy) fn plan(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Plan<'_>, ProxyError> {
        let route = self.routes.select(path).ok_or(ProxyError::NoRoute)?;
        let target = route.target(path, query)?;
        let form = PayloadForm::of(&headers, route.scope())?;
        let headers = headers::upward(headers, &self.strip_headers, &route.set_headers);
        Ok(Plan { route, method, target, headers, form })
    }
}

impl<'a> Plan<'a> {
    /// The request with its whole body.
    #[must_use]
    pub fn with_body(self, payload: Payload) -> Ready<'a> {
        let Self { route, method, target, mut headers, form } = self;
        let payload = form.apply(payload);
        // An empty POST needs a length of 0 (RFC 9110 section 8.6); an empty GET needs none.
        if payload.length() > 0 || headers.contains_key(header::CONTENT_TYPE) || !is_usually_empty(&method) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(payload.length()));
        }
        let unsigned = Unsigned { method, target, host: route.host.clone(), headers, payload };
        Ready { route, unsigned }
    }
}

impl Ready<'_> {
    /// What the request is signed for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.route.signer(&self.unsigned).scope()
    }

    /// `https://` or `http://` and the name that is connected to.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.route.mount.address
    }

    /// What was signed at `signed_at`, for the meaning of the answer.
    #[must_use]
    pub fn signed_facts(&self, canonical_request: &[u8], signed_at: SystemTime) -> SignedFacts {
        let unsigned = &self.unsigned;
        SignedFacts {
            scope: self.scope().clone(),
            host: String::from_utf8_lossy(unsigned.host.as_bytes()).into_owned(),
            method: unsigned.method.clone(),
            path: unsigned.target.as_path_and_query().path().to_owned(),
            has_base_path: !self.route.mount.base.is_empty(),
            has_api_key: unsigned.headers.contains_key(X_API_KEY),
            canonical_request: String::from_utf8_lossy(canonical_request).into_owned(),
            signed_at,
        }
    }

    /// Signs without sending, and returns what was signed.
    pub(in crate::proxy) fn explain(
        &self,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<(SignedRequest, Explanation), ProxyError> {
        let explained = self.route.signer(&self.unsigned).sign_explained(&self.unsigned, credentials, time);
        explained.map_err(|error| ProxyError::Internal(error.to_string().into()))
    }
}

fn is_usually_empty(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE")
}
