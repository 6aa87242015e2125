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
