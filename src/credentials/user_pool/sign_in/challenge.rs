//! The challenges of a sign-in, and which part of it answers each.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::SignIn;
use crate::credentials::user_pool::{answers::Factor, api::AuthResponse, error::Error};

/// A challenge of the user pool.
pub(super) struct Challenge {
    pub(super) name: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) session: Option<SecretString>,
    pub(super) available: Vec<String>,
}

impl Challenge {
    pub(super) fn new(answer: AuthResponse) -> Result<Self, Error> {
        Ok(Self {
            name: answer.challenge_name.ok_or(Error::Unintelligible("neither tokens nor a challenge"))?,
            parameters: answer.challenge_parameters.unwrap_or_default(),
            session: answer.session,
            available: answer.available_challenges.unwrap_or_default(),
        })
    }

    pub(super) fn parameter(&self, name: &'static str) -> Result<&str, Error> {
        self.optional_parameter(name)
            .ok_or(Error::Unintelligible("a challenge without a parameter that it must have"))
    }

    pub(super) fn optional_parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// A parameter that is a JSON array of strings inside a string.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        serde_json::from_str(self.optional_parameter(name)?).ok()
    }

    /// The pool's internal name of the user, which SECRET_HASH covers from here on.
    pub(super) fn internal_username(&self) -> Option<&str> {
        self.optional_parameter("USER_ID_FOR_SRP").or_else(|| self.optional_parameter("USERNAME"))
    }
}

impl SignIn<'_> {
    pub(super) async fn respond(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        match challenge.name.as_str() {
            "PASSWORD_VERIFIER" => self.prove_password(challenge).await,
            "PASSWORD" => self.send_password(challenge).await,
            "PASSWORD_SRP" => self.start_proof(challenge).await,
            "SELECT_CHALLENGE" => self.choose_first_factor(challenge).await,
            "CUSTOM_CHALLENGE" => self.answer_custom(challenge).await,
            "NEW_PASSWORD_REQUIRED" => self.replace_password(challenge).await,
            "SMS_MFA" => self.send_code(challenge, Factor::Sms, "SMS_MFA_CODE").await,
            "SMS_OTP" => self.send_code(challenge, Factor::Sms, "SMS_OTP_CODE").await,
            "EMAIL_OTP" => self.send_code(challenge, Factor::Email, "EMAIL_OTP_CODE").await,
            "SOFTWARE_TOKEN_MFA" => {
                self.send_code(challenge, Factor::Authenticator, "SOFTWARE_TOKEN_MFA_CODE").await
            }
            "SELECT_MFA_TYPE" => self.choose_second_factor(challenge).await,
            "MFA_SETUP" => self.set_up_authenticator(challenge).await,
            "DEVICE_SRP_AUTH" => self.start_device_proof(challenge).await,
            "DEVICE_PASSWORD_VERIFIER" => self.prove_device(challenge).await,
            "WEB_AUTHN" => Err(Error::PasskeyNeeded),
            unknown => Err(Error::UnknownChallenge(unknown.to_owned())),
        }
    }
}
