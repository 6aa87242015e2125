//! AWS Signature Version 4 and 4A: the wire request, its canonical form and the signature. No I/O, no clock.
//!
//! The types fix the order: a [`WireTarget`] and a [`Payload`] make an [`Unsigned`] request, and only [`Signer::sign`]
//! makes a [`SignedRequest`] of it. The rules come from AWS, "Signature Version 4 signing process", and where AWS is
//! silent, from what API Gateway accepts.

mod amazon_location;
mod canonical;
mod comparison;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod key;
mod payload;
mod percent;
mod query;
mod region;
mod spare_headers;
mod target;

use std::{fmt, time::SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use cache::{SigningCache, SigningState, TimeAndToken};
pub(crate) use comparison::element;
pub use comparison::{Computed, Part, Row, compare};
pub use error::SigningError;
pub use host::WireHost;
pub use payload::{Payload, PayloadBuilder, PayloadHash};
pub use query::QueryToken;
pub use region::{InvalidRegionSet, RegionSet, SigningRegion};
pub use target::{Encoding, TargetBuffer, TargetError, WireTarget};

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// Carries the session token of temporary credentials.
pub(crate) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// Where a SigV4A signature is valid, which its scope does not say.
const X_AMZ_REGION_SET: HeaderName = HeaderName::from_static("x-amz-region-set");

/// What a signature is valid for, apart from its day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `eu-west-1`, or the regions of a SigV4A signature.
    pub region: SigningRegion,
    /// The signing name, `execute-api`.
    pub service: String,
}

impl Scope {
    /// How this service computes the canonical path.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        if self.is_s3() { Encoding::Once } else { Encoding::Twice }
    }

    /// Whether this service has the rules of S3: `s3tables`, `s3vectors` and `s3files` do not.
    #[must_use]
    pub fn is_s3(&self) -> bool {
        matches!(self.service.as_str(), "s3" | "s3control" | "s3express" | "s3-outposts" | "s3-object-lambda")
    }

    /// Whether the service accepts `UNSIGNED-PAYLOAD` for every request: the data planes of S3, and VPC Lattice, which
    /// accepts nothing else. The requests of `s3control` are small documents, which every SDK hashes.
    #[must_use]
    pub fn takes_unsigned_payload(&self) -> bool {
        self.is_lattice() || self.is_s3() && self.service != "s3control"
    }

    /// Whether this is VPC Lattice, which takes `UNSIGNED-PAYLOAD` and nothing else.
    #[must_use]
    pub fn is_lattice(&self) -> bool {
        self.service == "vpc-lattice-svcs"
    }

    /// Whether the service requires `x-amz-content-sha256`.
    fn wants_content_sha256(&self) -> bool {
        self.is_s3() || matches!(self.service.as_str(), "aoss" | "opensearch")
    }
}

/// A request in which every byte on the wire is fixed, except for the signature.
#[derive(Clone, Debug)]
pub struct Unsigned {
    /// The method.
    pub method: Method,
    /// Path and query as they will be sent.
    pub target: WireTarget,
    /// The value of `Host` or `:authority`.
    pub host: WireHost,
    /// The other headers, without `host`, `authorization` and those that the signer sets.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Payload,
}

/// A signed request, the only type of request that goes to the upstream.
pub struct SignedRequest {
    method: Method,
    target: WireTarget,
    host: WireHost,
    headers: HeaderMap,
    payload: Payload,
}

impl SignedRequest {
    /// Splits the request for sending: method, target, host, headers and body.
    #[must_use]
    pub fn into_parts(self) -> (Method, WireTarget, WireHost, HeaderMap, Payload) {
        (self.method, self.target, self.host, self.headers, self.payload)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query as they are sent.
    #[must_use]
    pub fn target(&self) -> &WireTarget {
        &self.target
    }

    /// The headers as they are sent: `host` first, `authorization` last.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for SignedRequest {
    /// Without the query, in which a signature and the session token may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut request = f.debug_struct("SignedRequest");
        request.field("method", &self.method).field("path", &self.target.path());
        request.field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// Signs requests for one scope, and caches what is the same for many of them.
#[derive(Debug)]
pub struct Signer {
    scope: Scope,
    /// The value of `x-amz-region-set`, for SigV4A.
    region_set: Option<HeaderValue>,
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
    /// A clone has a separate cache, so that threads do not wait for each other.
    fn clone(&self) -> Self {
        Self::new(self.scope.clone())
    }
}

impl Signer {
    /// A signer for `scope`.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let region_set = match &scope.region {
            SigningRegion::One(_) => None,
            SigningRegion::Set(set) => Some(set.header_value()),
        };
        Self { scope, region_set, cache: SigningCache::default() }
    }

    /// The scope that requests are signed for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Signs `unsigned` as of `time`. The unsigned request can be signed again for a retry.
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

    /// Signs like [`sign`](Self::sign) and also returns the texts behind the signature.
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
            string_to_sign: String::from_utf8(state.string_to_sign.clone())
                .expect("an algorithm, a time, a scope and a digest are text"),
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
        let mut headers = state.spare_headers.take();
        // First, since the date and the token are headers that get signed.
        let time_and_token = state.prepare(&self.scope, credentials, time)?;
        self.write_headers(&mut headers, unsigned, &time_and_token);
        let selected = canonical::select(&headers, unsigned.host.as_value(), canonical::is_signed);
        state.canonical_request.clear();
        canonical::request(
            &mut state.canonical_request,
            &unsigned.method,
            &unsigned.target,
            &selected,
            self.scope.encoding(),
            unsigned.payload.signed_as(),
        );
        // Not among the headers before: the signature cannot cover itself.
        let authorization = state.authorize(credentials, &selected)?;
        drop(selected);
        headers.insert(header::AUTHORIZATION, secret_value(authorization)?);
        Ok(SignedRequest {
            method: unsigned.method.clone(),
            target: unsigned.target.clone(),
            host: unsigned.host.clone(),
            headers,
            payload: unsigned.payload.clone(),
        })
    }

    /// Takes the headers of a request that needs no other attempt: the next one is signed into their memory.
    pub fn recycle(&self, headers: HeaderMap) {
        self.cache.state().spare_headers.put(headers);
    }

    /// Writes all headers except the signature into an empty map, which grows once at most: together with the kept
    /// buffers of the cache, that took a small GET from 167,745 to 150,890 instructions.
    fn write_headers(&self, headers: &mut HeaderMap, unsigned: &Unsigned, time_and_token: &TimeAndToken<'_>) {
        let has_content_hash = self.scope.wants_content_sha256() || unsigned.payload.has_sentinel();
        // Host, date and signature, and what only some requests have. No more than are needed: the map that comes from
        // an HTTP/2 connection is small.
        let optional = [self.region_set.is_some(), time_and_token.token.is_some(), has_content_hash];
        headers
            .reserve(unsigned.headers.len() + 3 + optional.into_iter().filter(|is_added| *is_added).count());
        headers.insert(header::HOST, unsigned.host.as_value().clone());
        for (name, value) in &unsigned.headers {
            headers.append(name, value.clone());
        }
        headers.insert(X_AMZ_DATE, time_and_token.timestamp.value().clone());
        if let Some(region_set) = &self.region_set {
            headers.insert(X_AMZ_REGION_SET, region_set.clone());
        }
        if let Some(token) = time_and_token.token {
            headers.insert(X_AMZ_SECURITY_TOKEN, token.value().clone());
        }
        if has_content_hash {
            headers.insert(
                X_AMZ_CONTENT_SHA256,
                HeaderValue::from_str(unsigned.payload.signed_as())
                    .expect("hexadecimal digits are visible ASCII"),
            );
        }
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
