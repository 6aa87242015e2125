//! What the inspector gets to know of an attempt.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::{
    credentials::provider::IssuedCredentials,
    inspector::{Attempt, Phase, Recording, Signed},
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
    let secrets = [credentials.secret_access_key(), credentials.session_token().unwrap_or_default()];
    recording.identity(identity.username.as_deref(), identity.identity_id.as_deref(), secrets);
    let key = credentials.access_key_id();
    let attempt = Attempt {
        reason,
        upstream: ready.upstream().to_owned(),
        region: ready.scope().region.to_string(),
        service: ready.scope().service.clone(),
        access_key_end: key.get(key.len().saturating_sub(4)..).unwrap_or_default().to_owned(),
        signed_at: Some(time),
    };
    let texts = Signed {
        headers: signed.headers(),
        canonical_request: &explanation.canonical_request,
        string_to_sign: &explanation.string_to_sign,
    };
    recording.attempt(attempt, &texts, &ready.route.set_headers);
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
        let connected = timeline.connected.map(|(at, _)| at);
        match timeline.connected {
            Some((at, reused)) => recording.connected(reused, at - began),
            None => recording.took(Phase::Connect, began.elapsed()),
        }
        if let Some(connected) = connected {
            let sent = timeline.sent.map_or(connected, |sent| sent.max(connected));
            recording.took(Phase::Send, sent - connected);
            recording.took(Phase::Wait, sent.elapsed());
        }
        if let Some(failure) = failure {
            let causes = causes(&failure.error);
            let colon = if causes.is_empty() { "" } else { ": " };
            recording.failed(&format!("{}{colon}{causes}", failure.error));
        }
    }
}
