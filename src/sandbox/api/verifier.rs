//! Checks a signature as API Gateway does, in its order and its words.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use time::{
    PrimitiveDateTime, UtcDateTime, format_description::StaticFormatDescription, macros::format_description,
};

use super::{canonical, received::Received};
use crate::sandbox::{
    answer::AwsError,
    digest::{hex, hmac, sha256},
    vault::{Issued, Vault},
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const BASIC: StaticFormatDescription = format_description!("[year][month][day]T[hour][minute][second]Z");
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What a signature must be scoped to.
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) service: String,
}

/// The Authorization header, taken apart.
struct Claim<'a> {
    algorithm: &'a str,
    credential: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
    timestamp: &'a str,
}

/// The parts of `Credential`.
struct Credential<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    terminator: &'a str,
}

impl Scope {
    /// The credentials that signed `received`, if they may be used at `now`.
    pub(super) fn verify(
        &self,
        received: &Received,
        vault: &Vault,
        now: SystemTime,
    ) -> Result<Issued, AwsError> {
        let claim = Claim::parse(received)?;
        let time = check_time(claim.timestamp, now)?;
        if !claim.signed_headers.contains(&"host") {
            let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
            return Err(mismatch(message));
        }
        if claim.algorithm != ALGORITHM {
            return Err(incomplete(format!("Unsupported AWS 'algorithm': '{}'.", claim.algorithm)));
        }
        let credential = Credential::parse(claim.credential)?;
        self.check_scope(&credential, &time)?;
        let issued = check_key(&credential, received, vault, now)?;
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

impl<'a> Claim<'a> {
    fn parse(received: &'a Received) -> Result<Self, AwsError> {
        let missing = || AwsError::new("MissingAuthenticationTokenException", "Missing Authentication Token");
        let header = received.header("authorization").ok_or_else(missing)?;
        let presigned = received.query().is_some_and(|query| query.contains("X-Amz-Algorithm="));
        if presigned {
            return Err(incomplete(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
            ));
        }
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        let parameters = parameters(rest)?;
        let find = |name: &str| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let timestamp = received.header("x-amz-date").or_else(|| received.header("date"));
        match (find("Credential"), find("SignedHeaders"), find("Signature"), timestamp) {
            (Some(credential), Some(signed_headers), Some(signature), Some(timestamp)) => Ok(Self {
                algorithm,
                credential,
                signed_headers: signed_headers.split(';').collect(),
                signature,
                timestamp,
            }),
            (credential, signed_headers, signature, timestamp) => Err(incomplete(requirements(
                [credential.is_some(), signature.is_some(), signed_headers.is_some(), timestamp.is_some()],
                algorithm,
            ))),
        }
    }
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Result<Self, AwsError> {
        let parts: Vec<&str> = text.split('/').collect();
        let [access_key, date, region, service, terminator] = parts[..] else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, \
                 got '{text}'"
            )));
        };
        Ok(Self { access_key, date, region, service, terminator })
    }
}

fn parameters(text: &str) -> Result<Vec<(&str, &str)>, AwsError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        part.split_once('=').ok_or_else(|| {
            let hash = STANDARD.encode(sha256(&[part.as_bytes()]));
            incomplete(format!(
                "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and \
                 encoded with Base64): '{hash}'."
            ))
        })
    });
    pairs.collect()
}

fn requirements(present: [bool; 4], algorithm: &str) -> String {
    let sentences = [
        "Authorization header requires 'Credential' parameter. ",
        "Authorization header requires 'Signature' parameter. ",
        "Authorization header requires 'SignedHeaders' parameter. ",
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
    ];
    let absent = sentences.into_iter().zip(present).filter(|(_, present)| !present);
    let mut message: String = absent.map(|(sentence, _)| sentence).collect();
    message.push_str("Authorization=");
    message.push_str(algorithm);
    message
}

/// The timestamp in ISO 8601's basic form, when it is near enough to `now`.
fn check_time(text: &str, now: SystemTime) -> Result<String, AwsError> {
    let parsed = parse_time(text).ok_or_else(|| {
        incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    })?;
    let (signed, server) = (basic(parsed), basic(now));
    let (earliest, latest) = (now - TOLERANCE, now + TOLERANCE);
    if parsed < earliest {
        let earliest = basic(earliest);
        return Err(mismatch(format!(
            "Signature expired: {signed} is now earlier than {earliest} ({server} - 5 min.)"
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
    received: &Received,
    vault: &Vault,
    now: SystemTime,
) -> Result<Issued, AwsError> {
    let invalid = || {
        let message = "The security token included in the request is invalid.";
        AwsError::new("UnrecognizedClientException", message)
    };
    let issued = vault.find(credential.access_key).filter(|issued| issued.valid).ok_or_else(invalid)?;
    if issued.session_token.as_deref() != received.header("x-amz-security-token") {
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
    let canonical = canonical::request(received, &claim.signed_headers);
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

fn incomplete(message: impl Into<String>) -> AwsError {
    AwsError::new("IncompleteSignatureException", message)
}

#[cfg(test)]
mod tests;
