//! The outcome of a request, for its line in the log and its span.

use http::{HeaderValue, Response, StatusCode};

use super::{headers::X_AMZN_REQUESTID, response::body::Body};
use crate::inspector::Recording;

/// Filled while a request is forwarded.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// How many times it was signed for sending.
    pub(super) attempts: u32,
    /// The status of the upstream's last answer.
    pub(super) upstream_status: Option<StatusCode>,
    /// The upstream's own id of the request.
    pub(super) upstream_request_id: Option<HeaderValue>,
    /// The record of the exchange, if the inspector keeps one.
    pub(super) recording: Option<Recording>,
}

impl Outcome {
    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        self.upstream_status = Some(response.status());
        self.upstream_request_id = response.headers().get(X_AMZN_REQUESTID).cloned();
        if let Some(recording) = &self.recording {
            recording.answered(response.status(), response.headers());
        }
    }

    /// The upstream's request id as text.
    pub(super) fn request_id(&self) -> Option<&str> {
        self.upstream_request_id.as_ref().and_then(|id| id.to_str().ok())
    }
}

/// A response and what the layer around the service logs about it. As with a request, no extension has it.
#[derive(Debug)]
pub struct Answer {
    pub(super) response: Response<Body>,
    pub(super) outcome: Outcome,
    /// The code of the proxy's own answer; absent when the upstream answered.
    pub(super) code: Option<&'static str>,
    /// Whether the answer is the proxy's own: a preflight or a problem.
    pub(super) own: bool,
}
