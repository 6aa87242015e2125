//! Parses what a request says of its signature, in the Authorization header or in the query, with the gateway's error
//! messages.

mod presigned;

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::received::Received;
use crate::sandbox::{answer::AwsError, digest::sha256, percent::Pairs};

/// What a request says of its signature.
pub(super) struct Claim<'a> {
    pub(super) algorithm: Cow<'a, str>,
    pub(super) credential: Cow<'a, str>,
    /// Names with semicolons between them.
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    pub(super) timestamp: Cow<'a, str>,
    pub(super) session_token: Option<Cow<'a, str>>,
    pub(super) place: Place,
}

/// Where a signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the Authorization header.
    Header,
    /// In the query, and valid for so many seconds.
    Query { expires: u64 },
}

/// The parts of `Credential`.
pub(super) struct Credential<'a> {
    pub(super) access_key: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) terminator: &'a str,
}

impl<'a> Claim<'a> {
    pub(super) fn parse(received: &'a Received) -> Result<Self, AwsError> {
        let query = Pairs::parse(received.query().unwrap_or_default());
        let is_presigned = query.get("X-Amz-Algorithm").is_some();
        let header = match received.header("authorization") {
            Some(_) if is_presigned => {
                return Err(incomplete(
                    "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
                ));
            }
            Some(header) => header,
            None if is_presigned => return presigned::claim(&query),
            None => {
                let message = "Missing Authentication Token";
                return Err(AwsError::new("MissingAuthenticationTokenException", message));
            }
        };
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        let parameters = parameters(rest)?;
        let find = |name: &str| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let timestamp = received.header("x-amz-date").or_else(|| received.header("date"));
        match (find("Credential"), find("SignedHeaders"), find("Signature"), timestamp) {
            (Some(credential), Some(signed_headers), Some(signature), Some(timestamp)) => Ok(Self {
                algorithm: algorithm.into(),
                credential: credential.into(),
                signed_headers: signed_headers.into(),
                signature: signature.into(),
                timestamp: timestamp.into(),
                session_token: received.header("x-amz-security-token").map(Cow::Borrowed),
                place: Place::Header,
            }),
            (credential, signed_headers, signature, timestamp) => Err(incomplete(requirements(
                [credential.is_some(), signature.is_some(), signed_headers.is_some(), timestamp.is_some()],
                algorithm,
            ))),
        }
    }
}

impl<'a> Credential<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, AwsError> {
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

pub(super) fn incomplete(message: impl Into<String>) -> AwsError {
    AwsError::new("IncompleteSignatureException", message)
}
