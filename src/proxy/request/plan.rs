//! The request before it is signed: its route, its target, its headers, its body.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    destination::Destination,
    payload_form::PayloadForm,
    route::{BuildError, Mount, Route, Routes},
};
use crate::{
    proxy::{error::ProxyError, headers, settings::Settings},
    signing::{Explanation, Payload, Scope, SignedRequest, Unsigned, WireTarget},
};

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
    bucket_mount: Option<Box<Mount>>,
    method: Method,
    target: WireTarget,
    headers: HeaderMap,
    form: PayloadForm,
}

/// A request that can be signed.
#[derive(Debug)]
pub struct Ready<'a> {
    pub(in crate::proxy) route: &'a Route,
    /// How URLs correspond where the client names the bucket in the host and the upstream has it in the path.
    pub(in crate::proxy) bucket_mount: Option<Box<Mount>>,
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
        let destination = self.routes.destination(path, headers.get(header::HOST))?;
        let Destination { route, .. } = destination;
        let target = destination.target(path, query)?;
        let bucket_mount = destination.bucket.map(|_| Box::new(destination.mount().into_owned()));
        let form = PayloadForm::of(&headers, route.scope())?;
        let headers = headers::upward(headers, &self.strip_headers, &route.set_headers);
        Ok(Plan { route, bucket_mount, method, target, headers, form })
    }
}

impl<'a> Plan<'a> {
    /// The request with its whole body.
    #[must_use]
    pub fn with_body(self, payload: Payload) -> Ready<'a> {
        let Self { route, bucket_mount, method, target, mut headers, form } = self;
        let payload = form.apply(payload);
        // An empty POST needs a length of 0 (RFC 9110 section 8.6); an empty GET needs none.
        if payload.length() > 0 || headers.contains_key(header::CONTENT_TYPE) || !is_usually_empty(&method) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(payload.length()));
        }
        let unsigned = Unsigned { method, target, host: route.host.clone(), headers, payload };
        Ready { route, bucket_mount, unsigned }
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
