//! RespondToAuthChallenge: finds the challenge and checks the answer.

use serde::Deserialize;
use serde_json::Value;

use super::{
    UserPool,
    clients::check_secret_hash,
    directory::wrong_password,
    parameters::Parameters,
    sessions::{Attempt, Open, Step, invalid_session},
    triggers::Metadata,
};
use crate::sandbox::{
    answer::AwsError,
    people::{AppClient, Flow},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RespondToAuthChallenge {
    pub(super) challenge_name: String,
    pub(super) client_id: String,
    pub(super) session: Option<String>,
    #[serde(default)]
    pub(super) challenge_responses: Parameters,
    pub(super) client_metadata: Option<Metadata>,
}

impl UserPool {
    pub(super) async fn respond_to_auth_challenge(
        &self,
        request: &RespondToAuthChallenge,
    ) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        let id = self.challenge_id(request)?;
        let taken = self.sessions.take(&id, self.clock.now());
        let claim = request.challenge_name == "PASSWORD_VERIFIER";
        let open = taken.map_err(|error| if claim { wrong_password() } else { error })?;
        let outcome = self.judge_answer(client, request, &open).await;
        if outcome.as_ref().is_err_and(is_correctable) {
            self.sessions.put_back(&id, open);
        }
        outcome
    }

    /// What the challenge was opened under: SECRET_BLOCK for claims, the device where no Session
    /// is given, else the Session.
    fn challenge_id(&self, request: &RespondToAuthChallenge) -> Result<String, AwsError> {
        let responses = &request.challenge_responses;
        match (request.challenge_name.as_str(), &request.session) {
            ("PASSWORD_VERIFIER" | "DEVICE_PASSWORD_VERIFIER", _) => {
                responses.required("PASSWORD_CLAIM_SECRET_BLOCK").cloned()
            }
            ("DEVICE_SRP_AUTH", None) => {
                let device = responses.required("DEVICE_KEY")?;
                self.sessions.of_device(device).ok_or_else(invalid_session)
            }
            (_, session) => {
                let missing = || AwsError::invalid_parameter("Missing required parameter Session");
                session.clone().ok_or_else(missing)
            }
        }
    }

    /// The sign-in that goes on, if this client and user may answer this challenge.
    fn recognise(
        &self,
        client: &AppClient,
        request: &RespondToAuthChallenge,
        Open { attempt, step, .. }: &Open,
    ) -> Result<Attempt, AwsError> {
        let responses = &request.challenge_responses;
        let username = responses.required("USERNAME")?;
        let named = self.directory.account(username).map(|account| account.user.username);
        let same_user = named.as_ref().unwrap_or(username) == &attempt.username;
        let same_challenge = step.challenge_name() == request.challenge_name;
        if !same_user || !same_challenge || attempt.client_id != client.id {
            return Err(invalid_session());
        }
        check_secret_hash(client, &attempt.username, responses.get("SECRET_HASH"))?;
        let mut attempt = attempt.clone();
        attempt.metadata.clone_from(&request.client_metadata);
        let device_key = responses.get("DEVICE_KEY").cloned();
        // A claim that names no device drops the device that the sign-in began with.
        if device_key.is_some() || matches!(step, Step::PasswordVerifier { .. }) {
            attempt.device_key = device_key;
        }
        Ok(attempt)
    }

    async fn judge_answer(
        &self,
        client: &AppClient,
        request: &RespondToAuthChallenge,
        open: &Open,
    ) -> Result<Value, AwsError> {
        let attempt = self.recognise(client, request, open)?;
        let responses = &request.challenge_responses;
        let step = &open.step;
        match step {
            Step::PasswordVerifier { prover, handshake } => {
                // Only the flow that begins with SRP has a claim without a Session.
                if attempt.flow != Flow::UserSrp && request.session.is_none() {
                    return Err(invalid_session());
                }
                self.check_claim(attempt, responses, prover, handshake).await
            }
            Step::NewPassword { required_attributes } => {
                self.set_new_password(attempt, responses, required_attributes).await
            }
            Step::SelectChallenge => self.choose(attempt, responses.required("ANSWER")?, responses).await,
            Step::Password => self.prove_password(attempt, responses.required("PASSWORD")?).await,
            Step::PasswordSrp => self.challenge_password(attempt, responses.required("SRP_A")?),
            Step::ConfirmedSignUp => Err(invalid_session()),
            Step::Passkey => Err(AwsError::not_authorized("Invalid passkey credential.")),
            Step::Code { factor, code, .. } => {
                self.check_code(&attempt, step, responses, *factor, code).await
            }
            Step::SelectMfa => self.select_mfa(attempt, responses.required("ANSWER")?),
            Step::Authenticator { secret } => self.check_authenticator(&attempt, responses, secret).await,
            Step::MfaSetup { verified, .. } => self.finish_mfa_setup(&attempt, *verified).await,
            Step::Custom { round, wrong } => self.check_custom(attempt, responses, *round, *wrong).await,
            Step::Triggered { private_parameters, challenge_metadata } => {
                let metadata = challenge_metadata.as_ref();
                self.check_triggered(attempt, responses, private_parameters, metadata).await
            }
            Step::DeviceSrp { device_key } => self.begin_device_claim(attempt, responses, device_key),
            Step::DeviceVerifier { device_key, prover, handshake } => {
                self.check_device_claim(&attempt, responses, device_key, prover, handshake).await
            }
        }
    }
}

/// Whether the same challenge may be answered again.
fn is_correctable(error: &AwsError) -> bool {
    matches!(
        error.code.as_str(),
        "CodeMismatchException"
            | "ExpiredCodeException"
            | "InvalidParameterException"
            | "InvalidPasswordException"
            | "ResourceNotFoundException"
            | "UnexpectedLambdaException"
    )
}
