//! What the inspector gets to know of an attempt.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::{
    credentials::provider::IssuedCredentials,
    inspector::{Course, Recording, Signed, SignedBy},
    proxy::{error::ProxyError, request::plan::Ready},
    signing::SignedRequest,
    telemetry::causes,
    upstream::{Failure, Timeline},
};

/// Signs, and records what was signed. `reason` is that of another attempt than the first.
pub(super) fn sign(
    ready: &Ready<'_>,
    issued: &IssuedCredentials,
    time: SystemTime,
    recording: &Recording,
    reason: Option<&'static str>,
) -> Result<SignedRequest, ProxyError> {
    let (signed, explanation) = ready.explain(&issued.credentials, time)?;
    let (credentials, identity) = (&issued.credentials, &issued.identity);
    let signed_by = SignedBy {
        username: identity.username.as_deref(),
        identity_id: identity.identity_id.as_deref(),
        access_key_id: credentials.access_key_id(),
        secrets: [credentials.secret_access_key(), credentials.session_token().unwrap_or_default()],
    };
    let texts = Signed {
        headers: signed.headers(),
        canonical_request: explanation.canonical_request,
        string_to_sign: explanation.string_to_sign,
        signed_at: time,
    };
    recording.attempt(reason, ready.destination(), &signed_by, texts);
    Ok(signed)
}

/// An attempt on its way to the upstream.
pub(super) struct Observed<'a> {
    recording: &'a Recording,
    began: Instant,
    timeline: Timeline,
}

impl<'a> Observed<'a> {
    /// Begins to observe, if there is a record.
    pub(super) fn begin(recording: Option<&'a Recording>) -> Option<Self> {
        recording.map(|recording| Self { recording, began: Instant::now(), timeline: Timeline::default() })
    }

    /// Where the upstream notes the moments of the attempt.
    pub(super) fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// Records how long the attempt took, and why it failed.
    pub(super) fn end(self, failure: Option<&Failure>) {
        let Self { recording, began, timeline } = self;
        let mut course = Course::default();
        match timeline.connected {
            Some((connected, reused)) => {
                let sent = timeline.sent.map_or(connected, |sent| sent.max(connected));
                course.reused = Some(reused);
                course.connect = connected - began;
                course.send_and_wait = Some([sent - connected, sent.elapsed()]);
            }
            None => course.connect = began.elapsed(),
        }
        let error = failure.map(|failure| {
            let causes = causes(&failure.error);
            let colon = if causes.is_empty() { "" } else { ": " };
            format!("{}{colon}{causes}", failure.error)
        });
        recording.attempted(course, error);
    }
}
