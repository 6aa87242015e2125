//! The forms in which an S3 client may have signed its body, as far as they can be signed again.

use http::{HeaderMap, HeaderName};

use crate::proxy::error::ProxyError;
use crate::signing::{Payload, Scope};

const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What stands in the signature for the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum PayloadForm {
    /// The hash of the body.
    Hashed,
    /// `aws-chunked` with checksums behind the last chunk and no signatures in between: only the head is
    /// signed, so that the body goes on as it is.
    UnsignedTrailer,
}

impl PayloadForm {
    /// What the client's own signature says about the body.
    ///
    /// # Errors
    /// When chunks carry signatures: each of them depends on keys that only the client has.
    pub(in crate::proxy) fn of(headers: &HeaderMap, scope: &Scope) -> Result<Self, ProxyError> {
        let given = headers.get(X_AMZ_CONTENT_SHA256).map_or(&b""[..], |value| value.as_bytes());
        match given {
            b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" if scope.is_s3() => Ok(Self::UnsignedTrailer),
            given if given.starts_with(b"STREAMING-") => Err(ProxyError::ChunkedSignature),
            _ => Ok(Self::Hashed),
        }
    }

    pub(in crate::proxy) fn apply(self, payload: Payload) -> Payload {
        match self {
            Self::Hashed => payload,
            Self::UnsignedTrailer => payload.with_unsigned_trailer(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_bodies_without_signatures_inside_are_signed_again() {
        for (service, given, expected) in [
            ("s3", "UNSIGNED-PAYLOAD", Some(PayloadForm::Hashed)),
            ("s3", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", Some(PayloadForm::UnsignedTrailer)),
            ("s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", None),
            ("s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", None),
            ("execute-api", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", None),
            (
                "execute-api",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                Some(PayloadForm::Hashed),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-content-sha256", HeaderValue::from_static(given));
            let scope = Scope { region: "eu-west-1".into(), service: service.into() };
            assert_eq!(PayloadForm::of(&headers, &scope).ok(), expected, "{service} {given}");
        }
    }
}
