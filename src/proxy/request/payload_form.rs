//! What a client's own signature says about its body, and how the proxy signs the body in its place.

use http::{HeaderMap, HeaderName};

use super::aws_chunked::SignedChunks;
use crate::{
    proxy::{error::ProxyError, settings::PayloadSigning},
    signing::{Payload, Scope},
};

const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// The form in which a body arrives.
#[derive(Debug)]
pub(in crate::proxy) enum PayloadForm {
    /// As it is.
    Plain,
    /// `aws-chunked` with checksums behind the last chunk and no signatures in between: only the head is
    /// signed, so that the body goes on as it is.
    UnsignedTrailer,
    /// `aws-chunked` with signatures that only the client can make: the body goes on decoded.
    SignedChunks(Box<SignedChunks>),
}

impl PayloadForm {
    /// What the client's own signature says about the body.
    ///
    /// # Errors
    /// When chunks carry signatures and the service is not S3, which alone has such bodies, or when the headers do not
    /// describe the chunks.
    pub(in crate::proxy) fn of(headers: &HeaderMap, scope: &Scope) -> Result<Self, ProxyError> {
        let given = headers.get(X_AMZ_CONTENT_SHA256).map_or(&b""[..], |value| value.as_bytes());
        let signed_chunks = |with_trailers| {
            Ok(Self::SignedChunks(Box::new(SignedChunks::announced_by(headers, with_trailers)?)))
        };
        match given {
            b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" if scope.is_s3() => Ok(Self::UnsignedTrailer),
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
                if scope.is_s3() =>
            {
                signed_chunks(false)
            }
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
            | b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"
                if scope.is_s3() =>
            {
                signed_chunks(true)
            }
            given if given.starts_with(b"STREAMING-") => Err(ProxyError::ChunkedSignature),
            _ => Ok(Self::Plain),
        }
    }

    /// A collected body in this form, as it is signed.
    pub(in crate::proxy) fn apply(&self, payload: Payload, signing: PayloadSigning) -> Payload {
        match (self, signing) {
            (Self::UnsignedTrailer, _) => payload.with_unsigned_trailer(),
            (_, PayloadSigning::Hashed) => payload,
            (_, PayloadSigning::Unsigned) => payload.unsigned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_s3_has_bodies_in_chunks_of_its_own() {
        for (service, given, expected) in [
            ("s3", "UNSIGNED-PAYLOAD", Some("Plain")),
            ("s3", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", Some("UnsignedTrailer")),
            ("s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", Some("SignedChunks")),
            ("s3express", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", Some("SignedChunks")),
            ("s3", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", Some("SignedChunks")),
            ("s3", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", Some("SignedChunks")),
            ("s3", "STREAMING-AWS4-HMAC-SHA256-EVENTS", None),
            ("s3tables", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", None),
            ("execute-api", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", None),
            ("execute-api", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", None),
            (
                "execute-api",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                Some("Plain"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-content-sha256", HeaderValue::from_static(given));
            headers.insert("x-amz-decoded-content-length", HeaderValue::from_static("5"));
            let scope = Scope { region: "eu-west-1".into(), service: service.into() };
            let form = PayloadForm::of(&headers, &scope).ok().map(|form| format!("{form:?}"));
            let name = form.as_deref().and_then(|form| form.split('(').next());
            assert_eq!(name, expected, "{service} {given}");
        }
    }
}
