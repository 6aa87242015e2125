//! First factors: passwords in the clear and by SRP, and the choice among factors.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    directory::wrong_password,
    parameters::Parameters,
    sessions::{Attempt, Factor, Step, TokenSource, invalid_session},
    srp::{Handshake, Prover},
    timestamp,
};
use crate::sandbox::{
    answer::AwsError,
    people::{Flow, Medium, UserState},
};

impl UserPool {
    pub(super) async fn prove_password(&self, attempt: Attempt, password: &str) -> Result<Value, AwsError> {
        let account = self.directory.check_password(&attempt.username, password, self.clock.now())?;
        self.after_password(attempt, &account).await
    }

    pub(super) fn challenge_password(&self, attempt: Attempt, srp_a: &str) -> Result<Value, AwsError> {
        let (prover, verifier) = self.directory.verifier(&attempt.username);
        let handshake = Handshake::start(verifier, srp_a).map_err(|_| invalid_srp_a())?;
        let mut parameters = public_values(&handshake);
        parameters["USERNAME"] = prover.id.clone().into();
        parameters["USER_ID_FOR_SRP"] = prover.id.clone().into();
        let with_session = attempt.flow != Flow::UserSrp;
        let step = Step::PasswordVerifier { prover, handshake: Box::new(handshake) };
        let secret_block = self.sessions.open_claim(attempt, step, self.clock.now());
        parameters["SECRET_BLOCK"] = secret_block.clone().into();
        let mut challenge =
            json!({ "ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": parameters });
        if with_session {
            challenge["Session"] = secret_block.into();
        }
        Ok(challenge)
    }

    pub(super) async fn check_claim(
        &self,
        attempt: Attempt,
        responses: &Parameters,
        prover: &Prover,
        handshake: &Handshake,
    ) -> Result<Value, AwsError> {
        self.require_known_device(&attempt)?;
        let right = claim_is_right(responses, prover, handshake)?;
        let account = self.directory.judge(&attempt.username, right, self.clock.now())?;
        self.after_password(attempt, &account).await
    }

    /// USER_AUTH: the factor that the client prefers, or a choice.
    pub(super) async fn begin_choice(
        &self,
        attempt: Attempt,
        parameters: &Parameters,
    ) -> Result<Value, AwsError> {
        let available = self.first_factors(&attempt);
        if let Some(preferred) = parameters.get("PREFERRED_CHALLENGE")
            && available.contains(&preferred.as_str())
        {
            return self.choose(attempt, preferred, parameters).await;
        }
        let mut challenge = self.challenge(attempt, Step::SelectChallenge, &json!({}));
        challenge["AvailableChallenges"] = available.into();
        Ok(challenge)
    }

    /// Begins with one of the first factors; if the request has its answer already, that is checked at once.
    pub(super) async fn choose(
        &self,
        attempt: Attempt,
        choice: &str,
        parameters: &Parameters,
    ) -> Result<Value, AwsError> {
        if !self.first_factors(&attempt).contains(&choice) {
            return Err(AwsError::invalid_parameter(format!(
                "Selected challenge is not available: {choice}"
            )));
        }
        let code = |medium| self.challenge_code(attempt.clone(), medium, Factor::First);
        match (choice, parameters.get("PASSWORD"), parameters.get("SRP_A")) {
            ("PASSWORD", Some(password), _) => self.prove_password(attempt, password).await,
            ("PASSWORD", None, _) => Ok(self.challenge(attempt, Step::Password, &json!({}))),
            ("PASSWORD_SRP", _, Some(srp_a)) => self.challenge_password(attempt, srp_a),
            ("PASSWORD_SRP", _, None) => Ok(self.challenge(attempt, Step::PasswordSrp, &json!({}))),
            ("EMAIL_OTP", ..) => code(Medium::Email),
            ("SMS_OTP", ..) => code(Medium::Sms),
            _ => {
                let options = json!({ "challenge": STANDARD.encode(rand::random::<[u8; 32]>()) });
                let parameters = json!({ "CREDENTIAL_REQUEST_OPTIONS": options.to_string() });
                Ok(self.challenge(attempt, Step::Passkey, &parameters))
            }
        }
    }

    pub(super) fn challenge_new_password(
        &self,
        attempt: Attempt,
        account: &Account,
        required_attributes: Vec<String>,
    ) -> Value {
        let required: Vec<String> =
            required_attributes.iter().map(|name| format!("userAttributes.{name}")).collect();
        let parameters = json!({
            "USER_ID_FOR_SRP": account.user.username,
            "requiredAttributes": json!(required).to_string(),
            "userAttributes": json!(account.attributes).to_string(),
        });
        self.challenge(attempt, Step::NewPassword { required_attributes }, &parameters)
    }

    pub(super) async fn set_new_password(
        &self,
        mut attempt: Attempt,
        responses: &Parameters,
        required_attributes: &[String],
    ) -> Result<Value, AwsError> {
        let password = responses.required("NEW_PASSWORD")?;
        self.check_policy(&password.as_str().into())?;
        let missing = required_attributes
            .iter()
            .find(|name| responses.get(&format!("userAttributes.{name}")).is_none_or(String::is_empty));
        if let Some(name) = missing {
            return Err(AwsError::invalid_parameter(format!("Invalid attributes given, {name} is missing")));
        }
        let attributes = self.schema.of_answer(responses.below("userAttributes."))?;
        let now = self.clock.now();
        let account = self.directory.try_update(&attempt.username, |account| {
            // Another session may have replaced the temporary password already.
            if !matches!(account.user.state, UserState::TemporaryPassword { .. }) {
                return Err(invalid_session());
            }
            account.set_password(password);
            account.user.state = UserState::Confirmed;
            account.set_attributes(&attributes, now);
            Ok(account.clone())
        })?;
        if attempt.tokens_for == TokenSource::Authentication {
            attempt.tokens_for = TokenSource::NewPassword;
        }
        self.after_password(attempt, &account).await
    }

    /// The factors in the order in which Cognito lists them.
    fn first_factors(&self, attempt: &Attempt) -> Vec<&'static str> {
        let account = self.directory.account(&attempt.username);
        let has = |medium| account.as_ref().is_some_and(|account| account.address(medium).is_some());
        // An unknown user appears to have a password.
        let password = account.as_ref().is_none_or(Account::has_password);
        let passkey = account.as_ref().is_some_and(|account| account.user.passkey);
        [
            ("PASSWORD_SRP", password),
            ("PASSWORD", password),
            ("EMAIL_OTP", has(Medium::Email)),
            ("SMS_OTP", has(Medium::Sms)),
            ("WEB_AUTHN", passkey),
        ]
        .into_iter()
        .filter_map(|(name, available)| available.then_some(name))
        .collect()
    }
}

/// SALT and SRP_B of a challenge.
pub(super) fn public_values(handshake: &Handshake) -> Value {
    json!({ "SALT": handshake.salt(), "SRP_B": handshake.srp_b() })
}

/// Whether the responses to a claim prove the password.
pub(super) fn claim_is_right(
    responses: &Parameters,
    prover: &Prover,
    handshake: &Handshake,
) -> Result<bool, AwsError> {
    let secret_block = responses.required("PASSWORD_CLAIM_SECRET_BLOCK")?;
    let signature = responses.required("PASSWORD_CLAIM_SIGNATURE")?;
    let timestamp = timestamp::canonical(responses.required("TIMESTAMP")?).ok_or_else(|| {
        AwsError::invalid_parameter("TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.")
    })?;
    let block = STANDARD.decode(secret_block).map_err(|_| wrong_password())?;
    Ok(*signature == handshake.claim(prover, &block, &timestamp))
}

pub(super) fn invalid_srp_a() -> AwsError {
    AwsError::invalid_parameter("Invalid SRP_A value")
}
