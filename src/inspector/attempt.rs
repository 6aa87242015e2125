//! An attempt to send a request, as it is kept.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::record::rfc3339;

/// What was signed for an attempt.
#[derive(Debug)]
pub struct Signed<'a> {
    /// The request's headers at the upstream.
    pub headers: &'a HeaderMap,
    /// The canonical request.
    pub canonical_request: &'a [u8],
    /// The string to sign.
    pub string_to_sign: &'a str,
}

/// An attempt to send the request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Why there is another attempt after the one before.
    pub reason: Option<&'static str>,
    /// `https://` and the name that is connected to.
    pub upstream: String,
    /// The region that is signed for.
    pub region: String,
    /// The service that is signed for.
    pub service: String,
    /// The last four letters of the access key id.
    pub access_key_end: String,
    /// When it was signed, in AWS's time.
    pub signed_at: Option<SystemTime>,
}

/// An attempt and what came of it.
#[derive(Debug)]
pub(super) struct RecordedAttempt {
    pub(super) attempt: Attempt,
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
        let Attempt { upstream, region, service, access_key_end, .. } = &self.attempt;
        let texts = [upstream, region, service, access_key_end, &self.signed_headers];
        size_of::<Self>()
            + texts.iter().map(|text| text.capacity()).sum::<usize>()
            + self.error.as_ref().map_or(0, String::capacity)
    }

    pub(super) fn json(&self, number: usize) -> Value {
        let Attempt { reason, upstream, region, service, access_key_end, signed_at } = &self.attempt;
        let mut attempt = json!({
            "number": number,
            "status": self.status.map(|status| status.as_u16()),
            "upstream": upstream,
            "connection": self.reused.map(|reused| if reused { "reused" } else { "new" }),
            "region": region,
            "service": service,
            "access_key_id": format!("…{access_key_end}"),
            "signed_headers": self.signed_headers.split(';').filter(|name| !name.is_empty()).collect::<Vec<_>>(),
            "signed_at": signed_at.map(rfc3339),
        });
        let optional =
            [("reason", reason.map(Value::from)), ("error", self.error.as_deref().map(Value::from))];
        for (name, value) in optional {
            if let Some(value) = value {
                attempt[name] = value;
            }
        }
        attempt
    }
}
