//! Second factors: codes by message, authenticators, the choice among them, setting one up.

use std::time::UNIX_EPOCH;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use super::{
    UserPool,
    account::Account,
    outbox::{Purpose, masked},
    parameters::Parameters,
    sessions::{Attempt, Factor, Open, Step, invalid_session},
};
use crate::sandbox::{
    answer::AwsError,
    people::{Medium, Mfa},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AssociateSoftwareToken {
    pub(super) access_token: Option<String>,
    pub(super) session: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VerifySoftwareToken {
    pub(super) access_token: Option<String>,
    pub(super) session: Option<String>,
    pub(super) user_code: String,
}

impl UserPool {
    /// The second factor, or the choice of one; `None` when the user needs none.
    pub(super) fn challenge_second_factor(&self, attempt: &Attempt, account: &Account) -> Option<Value> {
        let attempt = attempt.clone();
        match &account.user.mfa[..] {
            [] if !self.mfa_required => None,
            [] => {
                let step = Step::MfaSetup { secret: None, verified: false };
                let parameters = json!({ "MFAS_CAN_SETUP": "[\"SOFTWARE_TOKEN_MFA\"]" });
                Some(self.challenge(attempt, step, &parameters))
            }
            [only] => Some(self.challenge_mfa(attempt, account, only)),
            several => {
                if let Some(preferred) = preferred(account, several) {
                    return Some(self.challenge_mfa(attempt, account, preferred));
                }
                let names: Vec<&str> = several.iter().map(Mfa::name).collect();
                let parameters = json!({
                    "MFAS_CAN_CHOOSE": json!(names).to_string(),
                    "USER_ID_FOR_SRP": account.user.username,
                });
                Some(self.challenge(attempt, Step::SelectMfa, &parameters))
            }
        }
    }

    pub(super) fn select_mfa(&self, attempt: Attempt, answer: &str) -> Result<Value, AwsError> {
        let account = self.directory.existing(&attempt.username)?;
        let answer = if answer == "EMAIL_MFA" { "EMAIL_OTP" } else { answer };
        let chosen = account.user.mfa.iter().find(|mfa| mfa.name() == answer);
        let chosen = chosen.ok_or_else(|| AwsError::invalid_parameter("Invalid MFA selection."))?;
        Ok(self.challenge_mfa(attempt, &account, chosen))
    }

    /// Sends a code and asks for it.
    pub(super) fn challenge_code(
        &self,
        attempt: Attempt,
        medium: Medium,
        factor: Factor,
    ) -> Result<Value, AwsError> {
        let account = self.directory.existing(&attempt.username)?;
        Ok(self.send_code(attempt, &account, medium, factor))
    }

    pub(super) async fn check_code(
        &self,
        attempt: &Attempt,
        step: &Step,
        responses: &Parameters,
        factor: Factor,
        code: &str,
    ) -> Result<Value, AwsError> {
        let given = responses.required(&format!("{}_CODE", step.challenge_name()))?;
        if given != code {
            let message = "Invalid code or auth state for the user.";
            return Err(AwsError::new("CodeMismatchException", message));
        }
        let account = self.directory.existing(&attempt.username)?;
        account.admit()?;
        match factor {
            Factor::First => self.after_first_factor_without_mfa(attempt, &account).await,
            Factor::Second => self.complete(attempt).await,
        }
    }

    pub(super) async fn check_authenticator(
        &self,
        attempt: &Attempt,
        responses: &Parameters,
        secret: &SecretString,
    ) -> Result<Value, AwsError> {
        let code = responses.required("SOFTWARE_TOKEN_MFA_CODE")?;
        let account = self.directory.existing(&attempt.username)?;
        let step = self
            .authenticator_step(secret, code)
            .ok_or_else(|| AwsError::new("CodeMismatchException", "Invalid code received for user"))?;
        if account.spent_step.is_some_and(|spent| step <= spent) {
            let message = "Your software token has already been used once.";
            return Err(AwsError::new("ExpiredCodeException", message));
        }
        self.directory.update(&attempt.username, |account| account.spent_step = Some(step));
        self.complete(attempt).await
    }

    pub(super) fn associate_software_token(
        &self,
        request: &AssociateSoftwareToken,
    ) -> Result<Value, AwsError> {
        let code = Secret::new_stack(rand::random()).to_base32();
        if let Some(access_token) = &request.access_token {
            let account = self.authorized(access_token)?;
            let secret = SecretString::from(code.as_str());
            self.directory.update(&account.user.username, |account| {
                account.pending_authenticator = Some(secret);
            });
            return Ok(json!({ "SecretCode": code }));
        }
        let now = self.clock.now();
        let session = request.session.as_ref().ok_or_else(neither_token_nor_session)?;
        let Open { attempt, step, .. } = self.sessions.take(session, now)?;
        let Step::MfaSetup { .. } = step else { return Err(invalid_session()) };
        let step = Step::MfaSetup { secret: Some(code.as_str().into()), verified: false };
        Ok(json!({ "SecretCode": code, "Session": self.sessions.open(attempt, step, now) }))
    }

    pub(super) fn verify_software_token(&self, request: &VerifySoftwareToken) -> Result<Value, AwsError> {
        if let Some(access_token) = &request.access_token {
            return self.verify_own_software_token(access_token, &request.user_code);
        }
        let now = self.clock.now();
        let session = request.session.as_ref().ok_or_else(neither_token_nor_session)?;
        let open = self.sessions.take(session, now)?;
        let Step::MfaSetup { secret: Some(secret), .. } = &open.step else { return Err(invalid_session()) };
        let Some(spent) = self.authenticator_step(secret, &request.user_code) else {
            self.sessions.put_back(session, open);
            return Err(wrong_setup_code());
        };
        self.directory.update(&open.attempt.username, |account| {
            account.use_authenticator(secret.clone(), spent);
            account.user.mfa.push(Mfa::Authenticator { secret: secret.clone() });
        });
        let step = Step::MfaSetup { secret: None, verified: true };
        let session = self.sessions.open(open.attempt, step, now);
        Ok(json!({ "Status": "SUCCESS", "Session": session }))
    }

    /// The authenticator of a signed-in user, who asks for it at sign-in by SetUserMFAPreference.
    fn verify_own_software_token(&self, access_token: &str, code: &str) -> Result<Value, AwsError> {
        let account = self.authorized(access_token)?;
        let secret = account.pending_authenticator.ok_or_else(|| {
            let message = "Software Token MFA has not been associated.";
            AwsError::new("SoftwareTokenMFANotFoundException", message)
        })?;
        let spent = self.authenticator_step(&secret, code).ok_or_else(wrong_setup_code)?;
        self.directory.update(&account.user.username, |account| {
            account.use_authenticator(secret, spent);
        });
        Ok(json!({ "Status": "SUCCESS" }))
    }

    pub(super) async fn finish_mfa_setup(
        &self,
        attempt: &Attempt,
        verified: bool,
    ) -> Result<Value, AwsError> {
        if verified {
            return self.complete(attempt).await;
        }
        Err(AwsError::invalid_parameter("Software token has not been verified."))
    }

    fn challenge_mfa(&self, attempt: Attempt, account: &Account, mfa: &Mfa) -> Value {
        match mfa {
            Mfa::Sms => self.send_code(attempt, account, Medium::Sms, Factor::Second),
            Mfa::Email => self.send_code(attempt, account, Medium::Email, Factor::Second),
            Mfa::Authenticator { secret } => {
                let parameters = json!({ "USER_ID_FOR_SRP": account.user.username });
                self.challenge(attempt, Step::Authenticator { secret: secret.clone() }, &parameters)
            }
        }
    }

    fn send_code(&self, attempt: Attempt, account: &Account, medium: Medium, factor: Factor) -> Value {
        let code = self.outbox.send_code(account, medium, Purpose::Authentication);
        let address = account.address(medium).unwrap_or_default();
        let parameters = json!({
            "CODE_DELIVERY_DELIVERY_MEDIUM": medium.as_str(),
            "CODE_DELIVERY_DESTINATION": masked(address),
            "USER_ID_FOR_SRP": account.user.username,
        });
        self.challenge(attempt, Step::Code { medium, factor, code }, &parameters)
    }

    /// The time step whose code this is.
    fn authenticator_step(&self, secret: &SecretString, code: &str) -> Option<u64> {
        let seconds = self.clock.now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        authenticator(secret)?.check(code, seconds)
    }
}

impl Account {
    /// Replaces the authenticator by one that has given the code of the time step `spent`.
    fn use_authenticator(&mut self, verified: SecretString, spent: u64) {
        for mfa in &mut self.user.mfa {
            if let Mfa::Authenticator { secret } = mfa {
                *secret = verified.clone();
            }
        }
        self.authenticator = Some(verified);
        self.pending_authenticator = None;
        self.spent_step = Some(spent);
    }
}

/// The second factor that the user prefers.
fn preferred<'a>(account: &Account, several: &'a [Mfa]) -> Option<&'a Mfa> {
    several.iter().find(|mfa| account.preferred_mfa == Some(mfa.name()))
}

fn wrong_setup_code() -> AwsError {
    let message = "Code mismatch and fail enable Software Token MFA";
    AwsError::new("EnableSoftwareTokenMFAException", message)
}

fn neither_token_nor_session() -> AwsError {
    AwsError::invalid_parameter("Missing required parameter AccessToken or Session")
}

fn authenticator(secret: &SecretString) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret.expose_secret()).ok()?;
    Some(Builder::new().with_secret(secret).build_noncompliant())
}
