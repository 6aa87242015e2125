//! The requests and responses, named as in the API reference.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Operation, Parameters, Request};

/// InitiateAuth.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct InitiateAuth<'a> {
    pub(in crate::credentials::user_pool) auth_flow: &'static str,
    pub(in crate::credentials::user_pool) client_id: &'a str,
    pub(in crate::credentials::user_pool) auth_parameters: Parameters,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub(in crate::credentials::user_pool) session: Option<SecretString>,
}

/// RespondToAuthChallenge.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct RespondToAuthChallenge<'a> {
    pub(in crate::credentials::user_pool) client_id: &'a str,
    pub(in crate::credentials::user_pool) challenge_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub(in crate::credentials::user_pool) session: Option<SecretString>,
    pub(in crate::credentials::user_pool) challenge_responses: Parameters,
}

/// The response to InitiateAuth and RespondToAuthChallenge: tokens or the next challenge.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct AuthResponse {
    pub(in crate::credentials::user_pool) authentication_result: Option<AuthenticationResult>,
    pub(in crate::credentials::user_pool) challenge_name: Option<String>,
    pub(in crate::credentials::user_pool) challenge_parameters: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "secret")]
    pub(in crate::credentials::user_pool) session: Option<SecretString>,
    pub(in crate::credentials::user_pool) available_challenges: Option<Vec<String>>,
}

/// The tokens in a response.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct AuthenticationResult {
    #[serde(default, deserialize_with = "secret")]
    pub(in crate::credentials::user_pool) id_token: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    pub(in crate::credentials::user_pool) access_token: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    pub(in crate::credentials::user_pool) refresh_token: Option<SecretString>,
    pub(in crate::credentials::user_pool) new_device_metadata: Option<NewDeviceMetadata>,
}

/// The keys of a device that the pool wants to have confirmed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct NewDeviceMetadata {
    pub(in crate::credentials::user_pool) device_key: Option<String>,
    pub(in crate::credentials::user_pool) device_group_key: Option<String>,
}

/// GetTokensFromRefreshToken. It takes the client's secret itself, not a hash of it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct GetTokensFromRefreshToken<'a> {
    pub(in crate::credentials::user_pool) refresh_token: &'a str,
    pub(in crate::credentials::user_pool) client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::credentials::user_pool) client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::credentials::user_pool) device_key: Option<&'a str>,
}

/// The response to GetTokensFromRefreshToken.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct RenewedTokens {
    pub(in crate::credentials::user_pool) authentication_result: Option<AuthenticationResult>,
}

/// RevokeToken, of a refresh token.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct RevokeToken<'a> {
    pub(in crate::credentials::user_pool) token: &'a str,
    pub(in crate::credentials::user_pool) client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::credentials::user_pool) client_secret: Option<&'a str>,
}

/// A response of which nothing is used.
#[derive(Deserialize)]
pub(in crate::credentials::user_pool) struct Done {}

/// ConfirmDevice.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct ConfirmDevice<'a> {
    pub(in crate::credentials::user_pool) access_token: &'a str,
    pub(in crate::credentials::user_pool) device_key: &'a str,
    pub(in crate::credentials::user_pool) device_secret_verifier_config: SecretVerifier<'a>,
    pub(in crate::credentials::user_pool) device_name: &'static str,
}

/// The verifier of a device's password.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct SecretVerifier<'a> {
    pub(in crate::credentials::user_pool) salt: &'a str,
    pub(in crate::credentials::user_pool) password_verifier: &'a str,
}

/// AssociateSoftwareToken during a sign-in.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct AssociateSoftwareToken {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub(in crate::credentials::user_pool) session: Option<SecretString>,
}

/// The response to AssociateSoftwareToken.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct SoftwareToken {
    #[serde(default, deserialize_with = "secret")]
    pub(in crate::credentials::user_pool) secret_code: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    pub(in crate::credentials::user_pool) session: Option<SecretString>,
}

/// VerifySoftwareToken during a sign-in.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct VerifySoftwareToken<'a> {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub(in crate::credentials::user_pool) session: Option<SecretString>,
    pub(in crate::credentials::user_pool) user_code: &'a str,
}

/// The response to VerifySoftwareToken.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::credentials::user_pool) struct VerifiedSoftwareToken {
    pub(in crate::credentials::user_pool) status: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(in crate::credentials::user_pool) session: Option<SecretString>,
}

impl Request for InitiateAuth<'_> {
    type Response = AuthResponse;

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
    type Response = AuthResponse;

    fn operation(&self) -> Operation {
        Operation::RespondToAuthChallenge
    }

    fn secrets(&self) -> Vec<&str> {
        self.challenge_responses.secrets()
    }
}

impl Request for GetTokensFromRefreshToken<'_> {
    type Response = RenewedTokens;

    fn operation(&self) -> Operation {
        Operation::GetTokensFromRefreshToken
    }

    fn secrets(&self) -> Vec<&str> {
        [Some(self.refresh_token), self.client_secret].into_iter().flatten().collect()
    }
}

impl Request for RevokeToken<'_> {
    type Response = Done;

    fn operation(&self) -> Operation {
        Operation::RevokeToken
    }

    fn secrets(&self) -> Vec<&str> {
        [Some(self.token), self.client_secret].into_iter().flatten().collect()
    }
}

impl Request for ConfirmDevice<'_> {
    type Response = Done;

    fn operation(&self) -> Operation {
        Operation::ConfirmDevice
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.access_token, self.device_secret_verifier_config.password_verifier]
    }
}

impl Request for AssociateSoftwareToken {
    type Response = SoftwareToken;

    fn operation(&self) -> Operation {
        Operation::AssociateSoftwareToken
    }

    fn secrets(&self) -> Vec<&str> {
        self.session.iter().map(ExposeSecret::expose_secret).collect()
    }
}

impl Request for VerifySoftwareToken<'_> {
    type Response = VerifiedSoftwareToken;

    fn operation(&self) -> Operation {
        Operation::VerifySoftwareToken
    }

    fn secrets(&self) -> Vec<&str> {
        self.session.iter().map(ExposeSecret::expose_secret).chain([self.user_code]).collect()
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn exposed<S: Serializer>(value: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}
