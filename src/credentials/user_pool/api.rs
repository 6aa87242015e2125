//! The calls of the user pool API that a sign-in takes, typed.
//!
//! They are unsigned JSON 1.1 requests; the names are those of the API reference.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use super::{
    error::Error,
    exchange::{Answer, Exchange},
    refusal::Refusal,
};

/// A call of the user pool API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// InitiateAuth with a password or towards a challenge.
    InitiateAuth,
    /// InitiateAuth with REFRESH_TOKEN_AUTH.
    RefreshTokenAuth,
    /// RespondToAuthChallenge.
    RespondToAuthChallenge,
    /// GetTokensFromRefreshToken.
    GetTokensFromRefreshToken,
    /// RevokeToken.
    RevokeToken,
    /// ConfirmDevice.
    ConfirmDevice,
    /// AssociateSoftwareToken.
    AssociateSoftwareToken,
    /// VerifySoftwareToken.
    VerifySoftwareToken,
}

/// A request of one operation.
pub(super) trait Request: Serialize {
    /// What a successful answer carries.
    type Answer: DeserializeOwned;

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

    pub(super) async fn call<R: Request>(&self, request: &R) -> Result<R::Answer, Error> {
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

fn read<A: DeserializeOwned>(operation: Operation, answer: &Answer, secrets: &[&str]) -> Result<A, Error> {
    if !(200..300).contains(&answer.status) {
        return Err(Refusal::read(operation, answer, secrets).into());
    }
    // Some emulations answer an operation without output with no body at all.
    let body = if answer.body.is_empty() { b"{}" } else { answer.body.as_slice() };
    serde_json::from_slice(body).map_err(|_| Error::Unintelligible("not the JSON of this operation"))
}

/// InitiateAuth.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InitiateAuth<'a> {
    pub(super) auth_flow: &'static str,
    pub(super) client_id: &'a str,
    pub(super) auth_parameters: Parameters,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub(super) session: Option<SecretString>,
}

/// RespondToAuthChallenge.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RespondToAuthChallenge<'a> {
    pub(super) client_id: &'a str,
    pub(super) challenge_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub(super) session: Option<SecretString>,
    pub(super) challenge_responses: Parameters,
}

/// What InitiateAuth and RespondToAuthChallenge answer: tokens or the next challenge.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuthAnswer {
    pub(super) authentication_result: Option<AuthenticationResult>,
    pub(super) challenge_name: Option<String>,
    pub(super) challenge_parameters: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) session: Option<SecretString>,
    pub(super) available_challenges: Option<Vec<String>>,
}

/// Tokens as the API delivers them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuthenticationResult {
    #[serde(default, deserialize_with = "secret")]
    pub(super) id_token: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) access_token: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) refresh_token: Option<SecretString>,
    pub(super) new_device_metadata: Option<NewDeviceMetadata>,
}

/// The names of a device that the pool wants confirmed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewDeviceMetadata {
    pub(super) device_key: Option<String>,
    pub(super) device_group_key: Option<String>,
}

/// GetTokensFromRefreshToken. The client's secret itself goes along, not a hash of it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetTokensFromRefreshToken<'a> {
    pub(super) refresh_token: &'a str,
    pub(super) client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_key: Option<&'a str>,
}

/// What GetTokensFromRefreshToken answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RenewedTokens {
    pub(super) authentication_result: Option<AuthenticationResult>,
}

/// RevokeToken, of a refresh token.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RevokeToken<'a> {
    pub(super) token: &'a str,
    pub(super) client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<&'a str>,
}

/// An answer of which nothing is needed.
#[derive(Deserialize)]
pub(super) struct Done {}

/// `AuthParameters` and `ChallengeResponses`.
#[derive(Default)]
pub(super) struct Parameters(BTreeMap<Cow<'static, str>, SecretString>);

/// The parameters that may be shown.
const PUBLIC_PARAMETERS: [&str; 5] =
    ["USERNAME", "DEVICE_KEY", "CHALLENGE_NAME", "PREFERRED_CHALLENGE", "TIMESTAMP"];

impl Parameters {
    pub(super) fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<SecretString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    pub(super) fn with_some(self, name: &'static str, value: Option<impl Into<SecretString>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn secrets(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(name, _)| !PUBLIC_PARAMETERS.contains(&name.as_ref()))
            .map(|(_, value)| value.expose_secret())
            .collect()
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.expose_secret())))
    }
}

impl Request for InitiateAuth<'_> {
    type Answer = AuthAnswer;

    fn operation(&self) -> Operation {
        match self.auth_flow {
            "REFRESH_TOKEN_AUTH" => Operation::RefreshTokenAuth,
            _ => Operation::InitiateAuth,
        }
    }

    fn secrets(&self) -> Vec<&str> {
        self.auth_parameters.secrets()
    }
}

impl Request for RespondToAuthChallenge<'_> {
    type Answer = AuthAnswer;

    fn operation(&self) -> Operation {
        Operation::RespondToAuthChallenge
    }

    fn secrets(&self) -> Vec<&str> {
        self.challenge_responses.secrets()
    }
}

impl Request for GetTokensFromRefreshToken<'_> {
    type Answer = RenewedTokens;

    fn operation(&self) -> Operation {
        Operation::GetTokensFromRefreshToken
    }

    fn secrets(&self) -> Vec<&str> {
        [Some(self.refresh_token), self.client_secret].into_iter().flatten().collect()
    }
}

impl Request for RevokeToken<'_> {
    type Answer = Done;

    fn operation(&self) -> Operation {
        Operation::RevokeToken
    }

    fn secrets(&self) -> Vec<&str> {
        [Some(self.token), self.client_secret].into_iter().flatten().collect()
    }
}

impl Operation {
    /// Whether the call exchanges a refresh token, which its refusal may condemn.
    pub(super) fn renews_tokens(self) -> bool {
        matches!(self, Self::RefreshTokenAuth | Self::GetTokensFromRefreshToken)
    }

    fn name(self) -> &'static str {
        match self {
            Self::InitiateAuth | Self::RefreshTokenAuth => "InitiateAuth",
            Self::RespondToAuthChallenge => "RespondToAuthChallenge",
            Self::GetTokensFromRefreshToken => "GetTokensFromRefreshToken",
            Self::RevokeToken => "RevokeToken",
            Self::ConfirmDevice => "ConfirmDevice",
            Self::AssociateSoftwareToken => "AssociateSoftwareToken",
            Self::VerifySoftwareToken => "VerifySoftwareToken",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn exposed<S: Serializer>(value: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}
