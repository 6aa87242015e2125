//! What became of a request: what its line in the log and its span say.

use http::{HeaderValue, Response, StatusCode};

use super::headers::X_AMZN_REQUESTID;

/// Filled while a request is forwarded.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// How often it was sent, or tried to.
    pub(super) attempts: u32,
    /// The status of the upstream's last answer.
    pub(super) upstream_status: Option<StatusCode>,
    /// The upstream's own id of the request.
    pub(super) upstream_request_id: Option<HeaderValue>,
}

impl Outcome {
    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        self.upstream_status = Some(response.status());
        self.upstream_request_id = response.headers().get(X_AMZN_REQUESTID).cloned();
    }

    /// The upstream's request id as text.
    pub(super) fn request_id(&self) -> Option<&str> {
        self.upstream_request_id.as_ref().and_then(|id| id.to_str().ok())
    }
}

/// What the layers outside learn about an answer.
#[derive(Clone, Debug)]
pub(super) struct AnswerMeta {
    pub(super) outcome: Outcome,
    /// The code of the proxy's own answer; absent when the upstream answered.
    pub(super) code: Option<&'static str>,
    /// A preflight or a problem, not the upstream's answer.
    pub(super) own: bool,
}
