//! Signature Version 4: the wire request, its canonical form and the signature. No I/O, no clock.
//!
//! The order is fixed by the types: a [`WireTarget`] and a [`Payload`] make an [`Unsigned`] request, and
//! only [`Signer::sign`] makes a [`SignedRequest`] of it. Source of the rules: AWS, "Signature Version 4
//! signing process"; where AWS is silent, what API Gateway was seen to accept.

mod canonical;
mod comparison;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod location;
mod payload;
mod percent;
mod target;

use std::{fmt, time::SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use cache::{SigningCache, SigningState, TimeAndToken};
pub use comparison::{Computed, Part, Row, compare};
pub use payload::{Payload, PayloadBuilder, PayloadHash};
pub use target::{Encoding, TargetError, WireTarget};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The headers that signing adds: host, date, token, content hash and authorization.
const OURS: usize = 5;

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// Carries the session token of temporary credentials.
pub(crate) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What a signature is valid for, besides its day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `eu-west-1`
    pub region: String,
    /// The signing name, `execute-api`.
    pub service: String,
}

impl Scope {
    /// How this service reads a path.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        if self.is_s3() { Encoding::Once } else { Encoding::Twice }
    }

    /// Whether this service has the rules of S3: `s3tables`, `s3vectors` and `s3files` do not.
    #[must_use]
    pub fn is_s3(&self) -> bool {
        matches!(self.service.as_str(), "s3" | "s3control" | "s3express" | "s3-outposts" | "s3-object-lambda")
    }

    /// Whether the service requires `x-amz-content-sha256`.
    fn wants_content_sha256(&self) -> bool {
        self.is_s3() || self.service == "aoss"
    }
}

/// A request whose every byte on the wire is decided, but for the signature.
#[derive(Clone, Debug)]
pub struct Unsigned {
    /// The method.
    pub method: Method,
    /// Path and query as they will be sent.
    pub target: WireTarget,
    /// The value of `Host` or `:authority`.
    pub host: HeaderValue,
    /// The other headers; `host`, `authorization` and what the signer sets are not among them.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Payload,
}

/// A request that may go to the upstream: nothing else may.
#[derive(Debug)]
pub struct SignedRequest {
    method: Method,
    target: WireTarget,
    headers: HeaderMap,
    payload: Payload,
}

impl SignedRequest {
    /// Takes the request apart for sending: method, target, headers and body.
    #[must_use]
    pub fn into_parts(self) -> (Method, WireTarget, HeaderMap, Payload) {
        (self.method, self.target, self.headers, self.payload)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query as they go.
    #[must_use]
    pub fn target(&self) -> &WireTarget {
        &self.target
    }

    /// The headers as they go: `host` first, `authorization` last.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// Why a request could not be signed.
#[derive(Debug, PartialEq, Eq)]
pub enum SigningError {
    /// The access key id or the session token is not a header value.
    CredentialsNotPrintable,
    /// The time is before 1970 or after 9999.
    TimeOutOfRange,
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CredentialsNotPrintable => "the credentials contain bytes that a header cannot carry",
            Self::TimeOutOfRange => "the signing time is outside the years 1970 to 9999",
        })
    }
}

impl std::error::Error for SigningError {}

/// Signs requests for one scope; what is the same for many of them is made once.
#[derive(Debug)]
pub struct Signer {
    scope: Scope,
    cache: SigningCache,
}

/// The texts behind a signature, as AWS names them.
#[derive(Debug)]
pub struct Explanation {
    /// The canonical request.
    pub canonical_request: Vec<u8>,
    /// The string to sign.
    pub string_to_sign: String,
}

impl Clone for Signer {
    /// A clone has a cache of its own: threads do not wait for each other.
    fn clone(&self) -> Self {
        Self::new(self.scope.clone())
    }
}

impl Signer {
    /// A signer for `scope`.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self { scope, cache: SigningCache::default() }
    }

    /// The scope that requests are signed for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Signs `unsigned` as of `time`; the unsigned request stays usable for another attempt.
    ///
    /// # Errors
    /// Only for credentials or a time that cannot be written into headers.
    pub fn sign(
        &self,
        unsigned: &Unsigned,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<SignedRequest, SigningError> {
        self.sign_at(&mut self.cache.state(), unsigned, credentials, time)
    }

    /// Signs like [`sign`](Self::sign) and tells what was signed.
    ///
    /// # Errors
    /// As `sign`.
    pub fn sign_explained(
        &self,
        unsigned: &Unsigned,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<(SignedRequest, Explanation), SigningError> {
        let mut state = self.cache.state();
        let request = self.sign_at(&mut state, unsigned, credentials, time)?;
        let explanation = Explanation {
            canonical_request: state.canonical_request.clone(),
            string_to_sign: String::from_utf8_lossy(&state.string_to_sign).into_owned(),
        };
        Ok((request, explanation))
    }

    fn sign_at(
        &self,
        state: &mut SigningState,
        unsigned: &Unsigned,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<SignedRequest, SigningError> {
        let time_and_token = state.prepare(&self.scope, credentials, time)?;
        let mut headers = self.headers_to_sign(unsigned, &time_and_token);
        let selected = canonical::select(&headers, &unsigned.host, canonical::is_signed);
        state.canonical_request.clear();
        canonical::request(
            &mut state.canonical_request,
            &unsigned.method,
            &unsigned.target,
            &selected,
            self.scope.encoding(),
            unsigned.payload.signed_as(),
        );
        let authorization = state.authorize(credentials, &selected)?;
        drop(selected);
        headers.insert(header::AUTHORIZATION, secret_value(authorization)?);
        Ok(SignedRequest {
            method: unsigned.method.clone(),
            target: unsigned.target.clone(),
            headers,
            payload: unsigned.payload.clone(),
        })
    }

    /// All headers but the signature, with room for it: the map is made once for each attempt.
    fn headers_to_sign(&self, unsigned: &Unsigned, time_and_token: &TimeAndToken<'_>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(unsigned.headers.len() + OURS);
        headers.insert(header::HOST, unsigned.host.clone());
        for (name, value) in &unsigned.headers {
            headers.append(name, value.clone());
        }
        headers.insert(X_AMZ_DATE, time_and_token.timestamp.value().clone());
        if let Some(token) = time_and_token.token {
            headers.insert(X_AMZ_SECURITY_TOKEN, token.value().clone());
        }
        if self.scope.wants_content_sha256() {
            headers.insert(
                X_AMZ_CONTENT_SHA256,
                HeaderValue::from_str(unsigned.payload.signed_as())
                    .expect("hexadecimal digits are visible ASCII"),
            );
        }
        headers
    }
}

fn secret_value(text: Bytes) -> Result<HeaderValue, SigningError> {
    let mut value =
        HeaderValue::from_maybe_shared(text).map_err(|_| SigningError::CredentialsNotPrintable)?;
    value.set_sensitive(true);
    Ok(value)
}

mod cache;
#[cfg(test)]
mod tests;
