//! Reads along while a refusal or a failure of the gateway goes down, and logs what it means.

use bytes::Bytes;
use http::StatusCode;
use tracing::warn;

use super::send::Sent;
use crate::inspector::Recording;
use crate::proxy::{
    meaning::{AnswerHead, MAX_READ, Meaning, SignedFacts},
    request::plan::Ready,
};

/// Logs the meaning of an answer when it is dropped with the body.
#[derive(Debug)]
pub(in crate::proxy) struct RefusalLogger {
    id: String,
    head: AnswerHead,
    request: SignedFacts,
    text: Vec<u8>,
    recording: Option<Recording>,
}

/// The same answer. If it may be a gateway's refusal or failure, its meaning is logged with `id` when its body has gone
/// down; the answer itself is not changed.
pub(in crate::proxy) fn watch(
    sent: Sent,
    ready: &Ready<'_>,
    id: &str,
    recording: Option<&Recording>,
) -> Sent {
    let Some(head) = AnswerHead::of(&sent.response) else { return sent };
    // Only these may show a canonical request, which costs another signature here.
    let may_differ = matches!(
        sent.response.status(),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    );
    let explained = may_differ.then(|| ready.explain(&sent.issued.credentials, sent.signed_at));
    let canonical_request = match explained {
        Some(Ok((_, explanation))) => explanation.canonical_request,
        Some(Err(_)) | None => Vec::new(),
    };
    let logger = RefusalLogger {
        id: id.to_owned(),
        head,
        request: ready.signed_facts(&canonical_request, sent.signed_at),
        text: Vec::new(),
        recording: recording.cloned(),
    };
    Sent { response: sent.response.map(|body| body.watched_by(logger)), ..sent }
}

impl RefusalLogger {
    /// Reads the next chunk of the body.
    pub(in crate::proxy) fn observe(&mut self, chunk: &Bytes) {
        let left = MAX_READ.saturating_sub(self.text.len());
        self.text.extend_from_slice(&chunk[..chunk.len().min(left)]);
    }

    /// What the answer means, from what has been read so far.
    pub(in crate::proxy) fn meaning(&self) -> Option<Meaning> {
        Meaning::of_answer(&self.head, &self.text, &self.request)
    }
}

impl Drop for RefusalLogger {
    fn drop(&mut self) {
        let Some(meaning) = self.meaning() else { return };
        if let Some(recording) = &self.recording {
            recording.explain(&meaning.to_json());
        }
        warn!(
            request.id = self.id,
            upstream.request_id = self.head.request_id(),
            meaning = meaning.name,
            cause = meaning.cause,
            cure = meaning.cure,
            region = self.request.scope.region.one(),
            region_set = self.request.scope.region.set(),
            service = self.request.scope.service,
            "{}",
            self.head.summary()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderValue, Method, Response};

    use super::*;
    use crate::signing::Scope;

    #[test]
    fn a_refusal_is_read_in_all_its_pieces_up_to_a_limit() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert("x-amzn-requestid", HeaderValue::from_static("1"));
        let mut logger = RefusalLogger {
            id: "id".to_owned(),
            head: AnswerHead::of(&response).expect("a marked answer"),
            request: SignedFacts {
                scope: Scope { region: "eu-west-1".into(), service: "execute-api".to_owned() },
                host: "localhost".to_owned(),
                method: Method::GET,
                path: "/".to_owned(),
                has_base_path: false,
                has_api_key: false,
                canonical_request: String::new(),
                signed_at: SystemTime::UNIX_EPOCH,
            },
            text: Vec::new(),
            recording: None,
        };
        for piece in ["User: ", "x is not ", "authorized"] {
            logger.observe(&Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!(logger.text, b"User: x is not authorized");
        logger.observe(&Bytes::from(vec![b'a'; MAX_READ]));
        logger.observe(&Bytes::from_static(b"more"));
        assert_eq!(logger.text.len(), MAX_READ);
    }
}
