//! The calls of the user pool API that a sign-in takes, typed.
//!
//! They are unsigned JSON 1.1 requests; the names are those of the API reference.

mod messages;
mod parameters;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::Error,
    exchange::{CognitoResponse, Exchange},
    operation::Operation,
    refusal::Refusal,
};
use crate::aws_http::foreign::ForeignAnswer;

pub(super) use messages::{
    AssociateSoftwareToken, AuthResponse, AuthenticationResult, ConfirmDevice, GetTokensFromRefreshToken,
    InitiateAuth, NewDeviceMetadata, RespondToAuthChallenge, RevokeToken, SecretVerifier,
    VerifySoftwareToken,
};
pub(super) use parameters::Parameters;

/// A request of one operation.
pub(super) trait Request: Serialize {
    /// What a successful answer carries.
    type Response: DeserializeOwned;

    fn operation(&self) -> Operation;

    /// The values that no error message may repeat.
    fn secrets(&self) -> Vec<&str>;
}

/// The user pool API at one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Api {
    exchange: Exchange,
    url: String,
}

impl Api {
    pub(super) fn new(exchange: Exchange, endpoint: &str) -> Self {
        Self { exchange, url: format!("{}/", endpoint.trim_end_matches('/')) }
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    pub(super) async fn call<R: Request>(&self, request: &R) -> Result<R::Response, Error> {
        let operation = request.operation();
        let target = format!("AWSCognitoIdentityProviderService.{}", operation.name());
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target.as_str()),
            ("cache-control", "no-store"),
        ];
        let body = serde_json::to_vec(request).expect("requests are maps of strings");
        let answer = self.exchange.post(&self.url, &headers, body).await?;
        read(operation, &answer, &request.secrets())
    }
}

fn read<A: DeserializeOwned>(
    operation: Operation,
    answer: &CognitoResponse,
    secrets: &[&str],
) -> Result<A, Error> {
    if !(200..300).contains(&answer.status) {
        return Err(match Refusal::read(operation, answer, secrets) {
            Some(refusal) => refusal.into(),
            None => foreign(answer),
        });
    }
    // Some emulators send no body for an operation without output.
    let body = if answer.body.is_empty() { b"{}" } else { answer.body.as_slice() };
    serde_json::from_slice(body).map_err(|_| match body.trim_ascii_start().first() {
        Some(b'<') => foreign(answer),
        _ => Error::Unintelligible("not the JSON of this operation"),
    })
}

fn foreign(answer: &CognitoResponse) -> Error {
    let CognitoResponse { status, body, retry_after, .. } = answer;
    Error::Foreign { answer: ForeignAnswer::new(*status, body), retry_after: *retry_after }
}
