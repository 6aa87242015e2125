//! An attempt to send a request, as it is kept.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderName, StatusCode};

use super::redaction::KnownSecrets;

/// Where a route sends its requests. They share it.
#[derive(Debug)]
pub struct Destination {
    /// `https://` and the name that is connected to.
    pub upstream: String,
    /// The region that is signed for.
    pub region: String,
    /// The service that is signed for.
    pub service: String,
    /// The headers whose values the settings give; these values are secret.
    pub set_headers: Vec<HeaderName>,
}

/// Whose credentials sign. Requests share it, since the spellings of its secrets take longer than the rest.
#[derive(Debug, Default)]
pub(super) struct Signatory {
    pub(super) username: Option<String>,
    pub(super) identity_id: Option<String>,
    /// The last four letters of the access key id.
    pub(super) access_key_end: String,
    pub(super) secrets: Arc<KnownSecrets>,
}

/// The credentials that sign an attempt.
#[derive(Clone, Copy)]
pub struct SignedBy<'a> {
    /// The user's name in the user pool.
    pub username: Option<&'a str>,
    /// The id in the identity pool.
    pub identity_id: Option<&'a str>,
    /// The access key id, of which the last four letters are kept.
    pub access_key_id: &'a str,
    /// The secret access key and the session token, which must not appear in anything.
    pub secrets: [&'a str; 2],
}

impl std::fmt::Debug for SignedBy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedBy").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Signatory {
    pub(super) fn new(signed_by: &SignedBy<'_>) -> Self {
        let mut secrets = KnownSecrets::default();
        signed_by.secrets.iter().for_each(|secret| secrets.add(secret));
        Self {
            username: signed_by.username.map(str::to_owned),
            identity_id: signed_by.identity_id.map(str::to_owned),
            access_key_end: access_key_end(signed_by.access_key_id).to_owned(),
            secrets: Arc::new(secrets),
        }
    }

    /// Whether it is that of these credentials.
    pub(super) fn is(&self, signed_by: &SignedBy<'_>) -> bool {
        signed_by.secrets.iter().all(|secret| self.secrets.has(secret))
            && self.access_key_end == access_key_end(signed_by.access_key_id)
            && self.username.as_deref() == signed_by.username
            && self.identity_id.as_deref() == signed_by.identity_id
    }
}

fn access_key_end(id: &str) -> &str {
    id.get(id.len().saturating_sub(4)..).unwrap_or_default()
}

/// An attempt and what came of it.
#[derive(Debug)]
pub(super) struct RecordedAttempt {
    /// Why there is another attempt after the one before.
    pub(super) reason: Option<&'static str>,
    pub(super) destination: Arc<Destination>,
    pub(super) access_key_end: String,
    /// When it was signed, in AWS's time.
    pub(super) signed_at: SystemTime,
    /// The names in the signature.
    pub(super) signed_headers: String,
    /// The status of the response.
    pub(super) status: Option<StatusCode>,
    /// Why there is none.
    pub(super) error: Option<String>,
    /// Whether the connection came from the pool.
    pub(super) reused: Option<bool>,
}

impl RecordedAttempt {
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.access_key_end.capacity()
            + self.signed_headers.capacity()
            + self.error.as_ref().map_or(0, String::capacity)
    }
}
