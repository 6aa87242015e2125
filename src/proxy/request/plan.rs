//! The request before it is signed: its route, its target, its headers, its body.

use std::{sync::Arc, time::SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use hyper::body::Incoming;

use super::{
    aws_chunked::{self, SignedChunks},
    client_body::ClientBody,
    content_length,
    destination::Destination,
    payload_form::PayloadForm,
    route::{BuildError, Mount, Route, Routes},
    streamed_body::StreamedBody,
};
use crate::{
    inspector::{self, RequestBody},
    proxy::{
        error::ProxyError,
        headers,
        meaning::SignedFacts,
        settings::{PayloadSigning, Settings},
        websocket::handshake::Handshake,
    },
    signing::{
        Explanation, Payload, PayloadBuilder, QueryToken, Scope, SignedRequest, TargetBuffer, TargetError,
        Unsigned, WireTarget,
    },
};

/// Carries the API key of a usage plan.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Decides what each request becomes.
#[derive(Debug)]
pub(in crate::proxy) struct Planner {
    pub(in crate::proxy) routes: Routes,
    strip_headers: Vec<HeaderName>,
    targets: TargetBuffer,
}

/// A request whose destination is decided and whose body is still to come.
#[derive(Debug)]
pub struct Plan<'a> {
    route: &'a Route,
    bucket_mount: Option<Box<Mount>>,
    method: Method,
    target: WireTarget,
    headers: HeaderMap,
    /// The client's Content-Length.
    length: Option<HeaderValue>,
    form: PayloadForm,
    /// Whether the body is taken out of signed chunks.
    is_decoded: bool,
}

/// A request that can be signed.
#[derive(Debug)]
pub struct Ready<'a> {
    pub(in crate::proxy) route: &'a Route,
    /// How URLs correspond where the client names the bucket in the host and the upstream has it in the path.
    pub(in crate::proxy) bucket_mount: Option<Box<Mount>>,
    pub(in crate::proxy) unsigned: Unsigned,
    /// The body, where it streams. The payload of `unsigned` is empty then.
    pub(in crate::proxy) streamed: Option<StreamedBody>,
    /// How it is signed as a WebSocket handshake, if it is one.
    pub(in crate::proxy) handshake: Option<HandshakeSigning>,
}

/// How a WebSocket handshake is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum HandshakeSigning {
    Headers,
    Query(QueryToken),
}

impl Planner {
    /// # Errors
    /// When trusted roots are missing or cannot be read.
    pub(in crate::proxy) fn new(settings: &Settings) -> Result<Self, BuildError> {
        let (routes, strip_headers) = (Routes::build(settings)?, settings.strip_headers.clone());
        Ok(Self { routes, strip_headers, targets: TargetBuffer::default() })
    }

    /// The same planner with other upstream connections.
    pub(in crate::proxy) fn sibling(&self) -> Self {
        let (routes, strip_headers) = (self.routes.sibling(), self.strip_headers.clone());
        Self { routes, strip_headers, targets: TargetBuffer::default() }
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
        let target = destination.target(&self.targets, path, query)?;
        let bucket_mount = destination.bucket.map(|_| Box::new(destination.mount().into_owned()));
        let form = PayloadForm::of(&headers, route.scope())?;
        let length = headers.get(header::CONTENT_LENGTH).cloned();
        let headers = headers::upward(headers, &self.strip_headers, &route.set_headers);
        Ok(Plan { route, bucket_mount, method, target, headers, length, form, is_decoded: false })
    }
}

impl<'a> Plan<'a> {
    /// The body that the client sends in the form that its head names.
    pub(in crate::proxy) fn client_body(&mut self, incoming: Incoming) -> ClientBody {
        ClientBody::new(incoming, self.take_signed_chunks())
    }

    /// Whether `body` goes up as it arrives.
    pub(in crate::proxy) fn streams(&self, body: &ClientBody) -> bool {
        let is_sendable = match body.declared() {
            Some(length) => length > 0,
            // S3 answers 501 to Transfer-Encoding, except for chunks of its own, whose length is announced.
            None => !self.route.scope().is_s3() || matches!(self.form, PayloadForm::UnsignedTrailer),
        };
        self.route.payload == PayloadSigning::Unsigned && is_sendable
    }

    /// The request with `body`, as it was typed.
    ///
    /// # Errors
    /// When its form is not the one that the request's headers name.
    pub fn with_body(mut self, mut body: Bytes) -> Result<Ready<'a>, ProxyError> {
        let Some(mut chunks) = self.take_signed_chunks() else {
            return Ok(self.with_payload(body.into(), &HeaderMap::new()));
        };
        let mut decoded = PayloadBuilder::default();
        while let Some(data) = chunks.decode(&mut body)? {
            decoded.push(data);
        }
        let (last, trailers) = chunks.finish()?;
        decoded.push(last.unwrap_or_default());
        Ok(self.with_payload(decoded.finish(), &trailers))
    }

    /// The request with its whole body, and with the checksums that followed it: the body is sent without chunks, so
    /// that they become headers.
    pub(in crate::proxy) fn with_payload(self, payload: Payload, trailers: &HeaderMap) -> Ready<'a> {
        let Self { route, bucket_mount, method, target, mut headers, length, form, is_decoded } = self;
        let payload = form.apply(payload, route.payload);
        if is_decoded {
            aws_chunked::remove_encoding(&mut headers);
        }
        for (name, value) in trailers {
            headers.insert(name, value.clone());
        }
        content_length::write(&mut headers, &method, payload.length(), length);
        let unsigned = Unsigned { method, target, host: route.host.clone(), headers, payload };
        Ready { route, bucket_mount, unsigned, streamed: None, handshake: None }
    }

    /// The request with a body that streams.
    pub(in crate::proxy) fn with_stream(self, body: StreamedBody) -> Ready<'a> {
        let Self { route, bucket_mount, method, target, mut headers, length, form, is_decoded } = self;
        // Checksums that follow a body have to be announced before it, in a body of chunks again.
        let form = if body.has_trailers() { PayloadForm::UnsignedTrailer } else { form };
        if is_decoded && !body.has_trailers() {
            aws_chunked::remove_encoding(&mut headers);
        }
        let payload = form.apply(Payload::empty(), route.payload);
        if let Some(known) = body.length() {
            headers.insert(header::CONTENT_LENGTH, content_length::value(known, length));
        }
        let unsigned = Unsigned { method, target, host: route.host.clone(), headers, payload };
        Ready { route, bucket_mount, unsigned, streamed: Some(body), handshake: None }
    }

    /// The request as a WebSocket handshake. What makes it one is not signed, so that a hop may replace it.
    ///
    /// # Errors
    /// When it is signed in the query and the query has parameters of a signature.
    pub(in crate::proxy) fn with_handshake(
        mut self,
        handshake: &Handshake,
    ) -> Result<Ready<'a>, TargetError> {
        if self.route.handshake_token.is_some() {
            self.target.check_for_query_signature()?;
        }
        handshake.write(&mut self.headers);
        let signing = self.route.handshake_token.map_or(HandshakeSigning::Headers, HandshakeSigning::Query);
        let mut ready = self.with_payload(Payload::empty(), &HeaderMap::new());
        ready.unsigned.headers.remove(header::CONTENT_LENGTH);
        Ok(Ready { handshake: Some(signing), ..ready })
    }

    /// What the head says of a body of signed chunks, which is plain once they are decoded.
    fn take_signed_chunks(&mut self) -> Option<Box<SignedChunks>> {
        match std::mem::replace(&mut self.form, PayloadForm::Plain) {
            PayloadForm::SignedChunks(chunks) => {
                self.is_decoded = true;
                Some(chunks)
            }
            form => {
                self.form = form;
                None
            }
        }
    }
}

impl Ready<'_> {
    /// What the request is signed for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.route.signer(&self.unsigned).scope()
    }

    /// Where it goes, for the inspector.
    pub(in crate::proxy) fn destination(&self) -> &Arc<inspector::Destination> {
        self.route.destination(&self.unsigned)
    }

    /// `https://` or `http://` and the name that is connected to.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.route.mount.address
    }

    /// The body, for the inspector.
    pub(in crate::proxy) fn recorded_body(&self) -> RequestBody<'_> {
        match &self.streamed {
            Some(body) => RequestBody::Streamed { length: body.length() },
            None => RequestBody::Collected(self.unsigned.payload.chunks()),
        }
    }

    /// Whether another attempt could send the whole request.
    pub(in crate::proxy) fn is_repeatable(&self) -> bool {
        self.streamed.as_ref().is_none_or(StreamedBody::is_untouched)
    }

    /// Leaves the memory of its headers to a later request, once there will be no other attempt.
    pub(in crate::proxy) fn recycle(self) {
        let Self { route, unsigned, .. } = self;
        route.signer(&unsigned).recycle(unsigned.headers);
    }

    /// Why the client's side broke the body off, if it did.
    pub(in crate::proxy) fn take_body_failure(&self) -> Option<ProxyError> {
        self.streamed.as_ref()?.take_failure()
    }

    /// What was signed at `signed_at`, for the meaning of the answer.
    #[must_use]
    pub fn signed_facts(&self, canonical_request: &[u8], signed_at: SystemTime) -> SignedFacts {
        let unsigned = &self.unsigned;
        SignedFacts {
            scope: self.scope().clone(),
            host: unsigned.host.as_authority().as_str().to_owned(),
            method: unsigned.method.clone(),
            path: unsigned.target.as_path_and_query().path().to_owned(),
            has_base_path: !self.route.mount.base.is_empty(),
            has_api_key: unsigned.headers.contains_key(X_API_KEY),
            canonical_request: String::from_utf8_lossy(canonical_request).into_owned(),
            signed_at,
        }
    }

    /// Signs the request.
    pub(in crate::proxy) fn sign(
        &self,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<SignedRequest, ProxyError> {
        match self.handshake {
            Some(HandshakeSigning::Query(_)) => self.explain(credentials, time).map(|(signed, _)| signed),
            Some(HandshakeSigning::Headers) | None => {
                let signed = self.route.signer(&self.unsigned).sign(&self.unsigned, credentials, time);
                signed.map_err(|error| ProxyError::Internal(error.to_string().into()))
            }
        }
    }

    /// Signs without sending, and returns what was signed.
    pub(in crate::proxy) fn explain(
        &self,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<(SignedRequest, Explanation), ProxyError> {
        let (signer, unsigned) = (self.route.signer(&self.unsigned), &self.unsigned);
        let explained = match self.handshake {
            Some(HandshakeSigning::Query(token)) => signer.sign_query(unsigned, credentials, time, token),
            Some(HandshakeSigning::Headers) | None => signer.sign_explained(unsigned, credentials, time),
        };
        explained.map_err(|error| ProxyError::Internal(error.to_string().into()))
    }
}
