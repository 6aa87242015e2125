//! What a client's own signature says about its body, and how the proxy signs the body in its place.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::aws_chunked::{self, AwsChunkedError, SignedChunks};
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
    /// What the client's own signature says about the body. Clients that do not sign leave it out, and then the trailers
    /// say that the body has chunks.
    ///
    /// # Errors
    /// When chunks carry signatures and the service is not S3, which alone has such bodies, when the headers do not
    /// describe the chunks, or when they describe chunks of an unknown form: the object would contain the chunks.
    pub(in crate::proxy) fn of(headers: &HeaderMap, scope: &Scope) -> Result<Self, ProxyError> {
        let mut values = headers.get_all(X_AMZ_CONTENT_SHA256).iter().map(HeaderValue::as_bytes);
        let (given, is_repeated) = (values.next().unwrap_or_default(), values.next().is_some());
        let is_streaming = headers.get_all(X_AMZ_CONTENT_SHA256).iter().any(is_streaming);
        if !scope.is_s3() {
            return if is_streaming { Err(ProxyError::ChunkedSignature) } else { Ok(Self::Plain) };
        }
        let signed_chunks = |with_trailers| {
            Ok(Self::SignedChunks(Box::new(SignedChunks::announced_by(headers, with_trailers)?)))
        };
        match given {
            _ if is_repeated && (is_streaming || aws_chunked::is_announced(headers)) => {
                Err(AwsChunkedError::NoForm.into())
            }
            b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::UnsignedTrailer),
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" => {
                signed_chunks(false)
            }
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
            | b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => signed_chunks(true),
            _ if is_streaming => Err(ProxyError::ChunkedSignature),
            _ if !aws_chunked::is_announced(headers) => Ok(Self::Plain),
            b"" | b"UNSIGNED-PAYLOAD" if aws_chunked::announces_trailers(headers) => {
                Ok(Self::UnsignedTrailer)
            }
            _ => Err(AwsChunkedError::NoForm.into()),
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

/// Whether `value` names a form of chunks, known or not.
fn is_streaming(value: &HeaderValue) -> bool {
    const STREAMING: &[u8] = b"STREAMING-";
    let start = value.as_bytes().get(..STREAMING.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(STREAMING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_s3_has_bodies_in_chunks_of_its_own() {
        for (service, given, expected) in [
            ("s3", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", Some("UnsignedTrailer")),
            ("s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", Some("SignedChunks")),
            ("s3express", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", Some("SignedChunks")),
            ("s3", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", Some("SignedChunks")),
            ("s3", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", Some("SignedChunks")),
            ("s3", "STREAMING-AWS4-HMAC-SHA256-EVENTS", None),
            ("s3", "streaming-aws4-hmac-sha256-payload", None),
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

    #[test]
    fn a_body_that_is_announced_in_chunks_has_one_known_form() {
        const LENGTH: (&str, &str) = ("x-amz-decoded-content-length", "5");
        const TRAILER: (&str, &str) = ("x-amz-trailer", "x-amz-checksum-crc32");
        const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sha256 = |value| ("x-amz-content-sha256", value);
        let (unsigned, signed) = (sha256("UNSIGNED-PAYLOAD"), sha256("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
        for (fields, expected) in [
            (&[][..], Some("Plain")),
            (&[unsigned], Some("Plain")),
            (&[unsigned, unsigned], Some("Plain")),
            (&[("content-encoding", "aws-chunked")], Some("Plain")),
            (&[LENGTH, TRAILER], Some("UnsignedTrailer")),
            (&[LENGTH, TRAILER, unsigned], Some("UnsignedTrailer")),
            (&[LENGTH, TRAILER, sha256(HASH)], None),
            (&[LENGTH], None),
            (&[LENGTH, unsigned], None),
            (&[LENGTH, signed], Some("SignedChunks")),
            (&[LENGTH, signed, unsigned], None),
            (&[LENGTH, unsigned, signed], None),
            (&[signed, signed], None),
        ] {
            let fields = fields
                .iter()
                .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value);
            }
            let scope = Scope { region: "eu-west-1".into(), service: "s3".into() };
            let form = PayloadForm::of(&headers, &scope).ok().map(|form| format!("{form:?}"));
            let name = form.as_deref().and_then(|form| form.split('(').next());
            assert_eq!(name, expected, "{headers:?}");
        }
    }
}
