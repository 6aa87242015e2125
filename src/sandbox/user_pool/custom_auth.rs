//! CUSTOM_AUTH: what the triggers ask, or the questions that a user of the settings has.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    directory::wrong_password,
    parameters::Parameters,
    sessions::{Attempt, ChallengeResult, Step},
    trigger_events::{user_attributes, with_metadata},
    triggers::{Event, Metadata, unrecognizable},
};
use crate::sandbox::{answer::AwsError, trigger_hooks::Trigger};

const CUSTOM_CHALLENGE: &str = "CUSTOM_CHALLENGE";
const FORGIVEN_ANSWERS: u32 = 2;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    challenge_name: Option<String>,
    issue_tokens: Option<bool>,
    fail_authentication: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Creation {
    public_challenge_parameters: Option<Metadata>,
    private_challenge_parameters: Option<Metadata>,
    challenge_metadata: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    answer_correct: Option<bool>,
}

impl UserPool {
    /// Begins with the password where the client asks for that.
    pub(super) async fn begin_custom(
        &self,
        mut attempt: Attempt,
        parameters: &Parameters,
    ) -> Result<Value, AwsError> {
        let with_password = parameters.get("CHALLENGE_NAME").is_some_and(|name| name == "SRP_A");
        let srp_a = if with_password { Some(parameters.required("SRP_A")?) } else { None };
        if self.triggers.has(Trigger::DefineAuthChallenge) {
            if let Some(account) = self.directory.account(&attempt.username) {
                account.admit()?;
            }
            if with_password {
                attempt.challenge_results.push(passed("SRP_A"));
            }
            return self.next_challenge(attempt, srp_a).await;
        }
        if let Some(srp_a) = srp_a {
            return self.challenge_password(attempt, srp_a);
        }
        let account = self.directory.account(&attempt.username).ok_or_else(wrong_password)?;
        account.admit()?;
        self.custom_round(attempt, &account, 0).await
    }

    /// What follows the password.
    pub(super) async fn custom_after_password(
        &self,
        mut attempt: Attempt,
        account: &Account,
    ) -> Result<Value, AwsError> {
        if self.triggers.has(Trigger::DefineAuthChallenge) {
            attempt.challenge_results.push(passed("PASSWORD_VERIFIER"));
            return self.next_challenge(attempt, None).await;
        }
        self.custom_round(attempt, account, 0).await
    }

    /// Does what the trigger says: asks something, issues tokens or ends the sign-in.
    async fn next_challenge(&self, attempt: Attempt, srp_a: Option<&String>) -> Result<Value, AwsError> {
        let account = self.directory.account(&attempt.username);
        let response = json!({ "challengeName": null, "issueTokens": null, "failAuthentication": null });
        let request = json!({ "session": attempt.challenge_results });
        let definition: Definition =
            self.ask(Trigger::DefineAuthChallenge, &attempt, account.as_ref(), request, response).await?;
        if definition.fail_authentication == Some(true) {
            return Err(wrong_password());
        }
        if definition.issue_tokens == Some(true) {
            let account = account.ok_or_else(wrong_password)?;
            return self.after_first_factor_without_mfa(&attempt, &account).await;
        }
        match (definition.challenge_name.as_deref(), srp_a) {
            (Some(CUSTOM_CHALLENGE), _) => self.create_challenge(attempt, account.as_ref()).await,
            (Some("PASSWORD_VERIFIER"), Some(srp_a)) => self.challenge_password(attempt, srp_a),
            (name, _) => {
                let name = name.unwrap_or("no challenge");
                tracing::warn!(
                    "DefineAuthChallenge: the hook wants {name}; it may want CUSTOM_CHALLENGE, issueTokens, \
                     failAuthentication, and PASSWORD_VERIFIER right after SRP_A"
                );
                Err(unrecognizable())
            }
        }
    }

    async fn create_challenge(&self, attempt: Attempt, account: Option<&Account>) -> Result<Value, AwsError> {
        let request = json!({ "challengeName": CUSTOM_CHALLENGE, "session": attempt.challenge_results });
        let response = json!({
            "publicChallengeParameters": null, "privateChallengeParameters": null, "challengeMetadata": null,
        });
        let creation: Creation =
            self.ask(Trigger::CreateAuthChallenge, &attempt, account, request, response).await?;
        let mut parameters = json!(creation.public_challenge_parameters.unwrap_or_default());
        parameters["USERNAME"] = attempt.username.clone().into();
        let step = Step::Triggered {
            private_parameters: creation.private_challenge_parameters.unwrap_or_default(),
            challenge_metadata: creation.challenge_metadata,
        };
        Ok(self.challenge(attempt, step, &parameters))
    }

    /// Lets the trigger judge an answer, and goes on with what the next one says.
    pub(super) async fn check_triggered(
        &self,
        mut attempt: Attempt,
        responses: &Parameters,
        private_parameters: &Metadata,
        challenge_metadata: Option<&String>,
    ) -> Result<Value, AwsError> {
        let account = self.directory.account(&attempt.username);
        let request = json!({
            "privateChallengeParameters": private_parameters,
            "challengeAnswer": responses.required("ANSWER")?,
        });
        let (trigger, response) = (Trigger::VerifyAuthChallengeResponse, json!({ "answerCorrect": null }));
        let verification: Verification =
            self.ask(trigger, &attempt, account.as_ref(), request, response).await?;
        attempt.challenge_results.push(ChallengeResult {
            challenge_name: CUSTOM_CHALLENGE,
            challenge_result: verification.answer_correct == Some(true),
            challenge_metadata: challenge_metadata.cloned(),
        });
        self.next_challenge(attempt, None).await
    }

    /// Calls one of the three triggers, which must be configured.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        trigger: Trigger,
        attempt: &Attempt,
        account: Option<&Account>,
        mut request: Value,
        response: Value,
    ) -> Result<T, AwsError> {
        request["userAttributes"] = account.map_or_else(|| json!({}), user_attributes);
        self.tell_whether_known(&mut request, account);
        let event = Event {
            source: match trigger {
                Trigger::DefineAuthChallenge => "DefineAuthChallenge_Authentication",
                Trigger::CreateAuthChallenge => "CreateAuthChallenge_Authentication",
                _ => "VerifyAuthChallengeResponse_Authentication",
            },
            username: &attempt.username,
            client_id: Some(&attempt.client_id),
            request: with_metadata(request, attempt.metadata.as_ref()),
            response,
        };
        self.triggers.call(trigger, event).await?.ok_or_else(not_configured)
    }

    async fn custom_round(
        &self,
        attempt: Attempt,
        account: &Account,
        round: usize,
    ) -> Result<Value, AwsError> {
        let challenges = &account.user.custom_challenges;
        if challenges.is_empty() {
            return Err(not_configured());
        }
        if round == challenges.len() {
            return self.after_first_factor_without_mfa(&attempt, account).await;
        }
        Ok(self.challenge_custom(attempt, account, round, 0))
    }

    pub(super) async fn check_custom(
        &self,
        attempt: Attempt,
        responses: &Parameters,
        round: usize,
        wrong: u32,
    ) -> Result<Value, AwsError> {
        let account = self.directory.existing(&attempt.username)?;
        let answer = responses.required("ANSWER")?;
        let expected = account.user.custom_challenges.get(round).map(|challenge| &challenge.answer);
        if expected == Some(answer) {
            return self.custom_round(attempt, &account, round + 1).await;
        }
        if wrong == FORGIVEN_ANSWERS {
            return Err(wrong_password());
        }
        Ok(self.challenge_custom(attempt, &account, round, wrong + 1))
    }

    fn challenge_custom(&self, attempt: Attempt, account: &Account, round: usize, wrong: u32) -> Value {
        let shown = account.user.custom_challenges.get(round).map(|challenge| &challenge.parameters);
        let mut parameters = json!({ "USERNAME": account.user.username });
        for (name, value) in shown.into_iter().flatten() {
            parameters[name.as_str()] = value.clone().into();
        }
        self.challenge(attempt, Step::Custom { round, wrong }, &parameters)
    }
}

fn passed(challenge_name: &'static str) -> ChallengeResult {
    ChallengeResult { challenge_name, challenge_result: true, challenge_metadata: None }
}

fn not_configured() -> AwsError {
    AwsError::invalid_parameter("Custom auth lambda trigger is not configured for the user pool.")
}
