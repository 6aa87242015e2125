//! Checks a signature as API Gateway does, in its order and its words.

use std::time::{Duration, SystemTime};

use time::{
    PrimitiveDateTime, UtcDateTime, format_description::StaticFormatDescription, macros::format_description,
};

use super::{
    authorization::{Claim, Credential, Place, incomplete},
    canonical,
    received::Received,
};
use crate::sandbox::{
    answer::AwsError,
    credential_store::{CredentialStore, Issued},
    digest::{hex, hmac, sha256},
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const BASIC: StaticFormatDescription = format_description!("[year][month][day]T[hour][minute][second]Z");
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What a signature must be scoped to.
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) service: String,
}

impl Scope {
    /// The credentials that signed `received`, if they are valid at `now`.
    pub(super) fn verify(
        &self,
        received: &Received,
        store: &CredentialStore,
        now: SystemTime,
    ) -> Result<Issued, AwsError> {
        let claim = Claim::parse(received)?;
        let time = check_time(&claim, now)?;
        if !claim.signed_headers.split(';').any(|name| name == "host") {
            let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
            return Err(mismatch(message));
        }
        if claim.algorithm != ALGORITHM {
            return Err(incomplete(format!("Unsupported AWS 'algorithm': '{}'.", claim.algorithm)));
        }
        let credential = Credential::parse(&claim.credential)?;
        self.check_scope(&credential, &time)?;
        let issued = check_key(&credential, &claim, store, now)?;
        check_signature(&claim, &credential, &issued, received, &time)?;
        Ok(issued)
    }

    fn check_scope(&self, credential: &Credential<'_>, time: &str) -> Result<(), AwsError> {
        let mut message = String::new();
        if credential.region != self.region {
            message.push_str("Credential should be scoped to a valid region. ");
        }
        if credential.service != self.service {
            let service = &self.service;
            message.push_str(&format!("Credential should be scoped to correct service: '{service}'. "));
        }
        if credential.terminator != "aws4_request" {
            let terminator = credential.terminator;
            message.push_str(&format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{terminator}'. "
            ));
        }
        if credential.date != &time[..8] {
            let (date, day) = (credential.date, &time[..8]);
            message.push_str(&format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{date}' != '{day}', from '{time}'."
            ));
        }
        if message.is_empty() { Ok(()) } else { Err(mismatch(message)) }
    }
}

/// The timestamp in ISO 8601's basic form, if it is within the tolerance around `now`, or if the signature of a query
/// has not expired.
fn check_time(claim: &Claim<'_>, now: SystemTime) -> Result<String, AwsError> {
    let text = &*claim.timestamp;
    let parsed = parse_time(text).ok_or_else(|| {
        incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    })?;
    let (signed, server) = (basic(parsed), basic(now));
    let lifetime = match claim.place {
        Place::Header => TOLERANCE,
        Place::Query { expires } => Duration::from_secs(expires),
    };
    let (earliest, latest) = (now - lifetime, now + TOLERANCE);
    if parsed < earliest {
        let earliest = basic(earliest);
        let minutes = lifetime.as_secs().div_ceil(60);
        return Err(mismatch(format!(
            "Signature expired: {signed} is now earlier than {earliest} ({server} - {minutes} min.)"
        )));
    }
    if parsed > latest {
        let latest = basic(latest);
        return Err(mismatch(format!(
            "Signature not yet current: {signed} is still later than {latest} ({server} + 5 min.)"
        )));
    }
    Ok(signed)
}

fn parse_time(text: &str) -> Option<SystemTime> {
    let basic = PrimitiveDateTime::parse(text, BASIC).ok().map(|time| SystemTime::from(time.assume_utc()));
    basic.or_else(|| httpdate::parse_http_date(text).ok())
}

fn basic(time: SystemTime) -> String {
    UtcDateTime::from(time).format(BASIC).expect("the form has no component that can fail")
}

fn check_key(
    credential: &Credential<'_>,
    claim: &Claim<'_>,
    store: &CredentialStore,
    now: SystemTime,
) -> Result<Issued, AwsError> {
    let invalid = || {
        let message = "The security token included in the request is invalid.";
        AwsError::new("UnrecognizedClientException", message)
    };
    let issued = store.find(credential.access_key).filter(|issued| issued.valid).ok_or_else(invalid)?;
    if issued.session_token.as_deref() != claim.session_token.as_deref() {
        return Err(invalid());
    }
    if now >= issued.expires {
        let message = "The security token included in the request is expired";
        return Err(AwsError::new("ExpiredTokenException", message));
    }
    Ok(issued)
}

fn check_signature(
    claim: &Claim<'_>,
    credential: &Credential<'_>,
    issued: &Issued,
    received: &Received,
    time: &str,
) -> Result<(), AwsError> {
    let Credential { date, region, service, terminator, .. } = credential;
    let canonical = canonical::request(received, claim);
    let hash = hex(&sha256(&[&canonical]));
    let to_sign = format!("{ALGORITHM}\n{time}\n{date}/{region}/{service}/{terminator}\n{hash}");
    let secret = format!("AWS4{}", issued.secret_key);
    let key = [date, region, service, terminator]
        .into_iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, &[part.as_bytes()]).to_vec());
    if hex(&hmac(&key, &[to_sign.as_bytes()])) == claim.signature {
        return Ok(());
    }
    let canonical = String::from_utf8_lossy(&canonical);
    Err(mismatch(format!(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access Key and signing method. Consult the service documentation for details.\n\n\
         The Canonical String for this request should have been\n'{canonical}'\n\n\
         The String-to-Sign should have been\n'{to_sign}'\n"
    )))
}

fn mismatch(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidSignatureException", message)
}

#[cfg(test)]
mod tests;
