//! The code for the tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::BrowserError;
use crate::{
    aws_http::foreign::ForeignAnswer,
    credentials::{
        UserPool,
        user_pool::{
            api::AuthenticationResult,
            exchange::{CognitoResponse, Exchange},
            tokens::Tokens,
        },
    },
};

/// The request of RFC 6749 4.1.3 with the verifier of RFC 7636 4.5.
pub(super) struct CodeExchange<'a> {
    pub(super) domain: &'a str,
    pub(super) pool: &'a UserPool,
    pub(super) redirect_uri: &'a str,
    pub(super) code: &'a SecretString,
    pub(super) verifier: &'a SecretString,
}

#[derive(Deserialize)]
struct TokenResponse {
    id_token: String,
    access_token: String,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct ErrorResponse {
    error: String,
}

impl CodeExchange<'_> {
    pub(super) async fn send(&self, exchange: &Exchange) -> Result<Tokens, BrowserError> {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("client_id", &self.pool.client_id)
            .append_pair("code", self.code.expose_secret())
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("code_verifier", self.verifier.expose_secret())
            .finish();
        let authorization = self.authorization();
        let mut headers = vec![
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("cache-control", "no-store"),
        ];
        headers.extend(authorization.as_ref().map(|value| ("authorization", value.expose_secret())));
        let url = format!("{}/oauth2/token", self.domain);
        read(&exchange.post(&url, &headers, body.into_bytes()).await?)
    }

    /// Basic, for an app client with a secret.
    fn authorization(&self) -> Option<SecretString> {
        let secret = self.pool.client_secret.as_ref()?.expose_secret();
        let login = STANDARD.encode(format!("{}:{secret}", self.pool.client_id));
        Some(SecretString::from(format!("Basic {login}")))
    }
}

fn read(answer: &CognitoResponse) -> Result<Tokens, BrowserError> {
    if !(200..300).contains(&answer.status) {
        return Err(match serde_json::from_slice::<ErrorResponse>(&answer.body) {
            Ok(ErrorResponse { error }) => BrowserError::TokensRefused(error_code(&error)),
            Err(_) => BrowserError::Foreign(ForeignAnswer::new(answer.status, &answer.body)),
        });
    }
    let tokens: TokenResponse =
        serde_json::from_slice(&answer.body).map_err(|_| BrowserError::Unintelligible)?;
    Tokens::new(AuthenticationResult {
        id_token: Some(tokens.id_token.into()),
        access_token: Some(tokens.access_token.into()),
        refresh_token: tokens.refresh_token.map(SecretString::from),
        new_device_metadata: None,
    })
    .map_err(|_| BrowserError::Unintelligible)
}

/// The error code of RFC 6749, which is a word, without anything that a terminal would interpret.
fn error_code(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "_.- ".contains(*letter))
        .take(64)
        .collect()
}
