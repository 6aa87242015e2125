//! What a gateway's 403 means, told in the log while the answer itself goes down untouched.

mod meaning;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use tracing::warn;

use crate::signing::Scope;
use meaning::Meaning;

/// A refusal is a line or two, with a canonical request a few kilobytes.
const LONGEST: usize = 64 * 1024;

/// The headers of a 403 that a gateway may have sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// `x-amzn-errortype`, without the address that some services append.
    error_type: Option<String>,
    request_id: Option<String>,
    /// Whether the text can be read as it comes.
    plain: bool,
}

impl Refused {
    /// `None` for any other answer, and for a 403 without the marks that gateways leave on theirs.
    pub(super) fn of<B>(response: &Response<B>) -> Option<Self> {
        if response.status() != StatusCode::FORBIDDEN {
            return None;
        }
        let headers = response.headers();
        let text = |name: &str| text(headers, name);
        let error_type = text("x-amzn-errortype");
        let ids = ["x-amzn-requestid", "apigw-requestid", "x-amz-request-id"];
        let request_id = ids.iter().find_map(|name| text(name));
        let marked = error_type.is_some() || request_id.is_some();
        marked.then(|| Self {
            error_type: error_type.map(|error| error.split(':').next().unwrap_or_default().to_owned()),
            request_id,
            plain: !headers.contains_key(header::CONTENT_ENCODING),
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Looks on while a refusal goes down, and logs its meaning when its end is reached or nobody reads on.
#[derive(Debug)]
pub(super) struct Witness {
    id: String,
    refused: Refused,
    scope: Scope,
    canonical_request: Vec<u8>,
    text: Vec<u8>,
}

impl Witness {
    /// A witness of the answer to the request `id` that was signed for `scope`.
    pub(super) fn new(id: &str, refused: Refused, scope: Scope, canonical_request: Vec<u8>) -> Self {
        Self { id: id.to_owned(), refused, scope, canonical_request, text: Vec::new() }
    }

    /// Sees the next piece of the body.
    pub(super) fn see(&mut self, piece: &Bytes) {
        let room = LONGEST.saturating_sub(self.text.len());
        self.text.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let text = if self.refused.plain { String::from_utf8_lossy(&self.text) } else { "".into() };
        let ours = String::from_utf8_lossy(&self.canonical_request);
        let Some(meaning) = Meaning::of(self.refused.error_type.as_deref(), &text, &ours) else { return };
        // It quotes the upstream, in names of headers for one.
        let said = meaning::first_line(&meaning.to_string());
        warn!(
            request.id = (!self.id.is_empty()).then_some(self.id.as_str()),
            upstream.request_id = self.refused.request_id,
            meaning = meaning.name(),
            region = self.scope.region,
            service = self.scope.service,
            "the gateway refused the request: {said}"
        );
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn refused(status: StatusCode, fields: &[(&'static str, &'static str)]) -> Option<Refused> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        for (name, value) in fields {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
            response.headers_mut().insert(name, value);
        }
        Refused::of(&response)
    }

    fn marks(error_type: Option<&str>, request_id: Option<&str>, plain: bool) -> Refused {
        let (error_type, request_id) = (error_type.map(str::to_owned), request_id.map(str::to_owned));
        Refused { error_type, request_id, plain }
    }

    #[test]
    fn a_403_is_a_gateways_by_the_marks_that_it_leaves() {
        let error_type = ("x-amzn-errortype", "AccessDeniedException:http://internal.amazon.com/");
        for (fields, expected) in [
            (&[][..], None),
            (&[("content-type", "application/json")], None),
            (&[("x-amzn-requestid", "1")], Some(marks(None, Some("1"), true))),
            (&[("apigw-requestid", "2")], Some(marks(None, Some("2"), true))),
            (&[("x-amz-request-id", "3")], Some(marks(None, Some("3"), true))),
            (&[error_type], Some(marks(Some("AccessDeniedException"), None, true))),
            (
                &[error_type, ("content-encoding", "gzip")],
                Some(marks(Some("AccessDeniedException"), None, false)),
            ),
        ] {
            assert_eq!(refused(StatusCode::FORBIDDEN, fields), expected, "{fields:?}");
            assert_eq!(refused(StatusCode::UNAUTHORIZED, fields), None, "{fields:?}");
        }
    }

    #[test]
    fn a_refusal_is_read_in_all_its_pieces_up_to_a_limit() {
        let scope = Scope { region: "eu-west-1".to_owned(), service: "execute-api".to_owned() };
        let mut witness = Witness::new("id", marks(None, Some("1"), true), scope, Vec::new());
        for piece in ["User: ", "x is not ", "authorized"] {
            witness.see(&Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!(witness.text, b"User: x is not authorized");
        witness.see(&Bytes::from(vec![b'a'; LONGEST]));
        witness.see(&Bytes::from_static(b"more"));
        assert_eq!(witness.text.len(), LONGEST);
    }
}
