//! InitiateAuth and RespondToAuthChallenge: from a user name to tokens.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    directory::{Account, check_secret_hash},
    sessions::{Attempt, Open, Step},
    srp::{Handshake, Prover},
    timestamp,
};
use crate::sandbox::{
    answer::AwsError,
    settings::{AppClient, Flow},
};

type Parameters = HashMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InitiateAuth {
    auth_flow: String,
    client_id: String,
    #[serde(default)]
    auth_parameters: Parameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RespondToAuthChallenge {
    challenge_name: String,
    client_id: String,
    #[serde(default)]
    challenge_responses: Parameters,
}

impl UserPool {
    pub(super) fn initiate_auth(&self, request: &InitiateAuth) -> Result<Value, AwsError> {
        let client = self.directory.client(&request.client_id)?;
        let parameters = &request.auth_parameters;
        match request.auth_flow.as_str() {
            "USER_SRP_AUTH" => {
                require_flow(client, Flow::UserSrp)?;
                self.initiate_srp(client, parameters)
            }
            "USER_PASSWORD_AUTH" => {
                require_flow(client, Flow::UserPassword)?;
                self.initiate_password(client, parameters)
            }
            "REFRESH_TOKEN_AUTH" | "REFRESH_TOKEN" => self.refresh_token_auth(client, parameters),
            other => Err(AwsError::invalid_parameter(format!(
                "1 validation error detected: Value '{other}' at 'authFlow' failed to satisfy constraint: \
                 Member must satisfy enum value set"
            ))),
        }
    }

    pub(super) fn respond_to_auth_challenge(
        &self,
        request: &RespondToAuthChallenge,
    ) -> Result<Value, AwsError> {
        let client = self.directory.client(&request.client_id)?;
        match request.challenge_name.as_str() {
            "PASSWORD_VERIFIER" => self.answer_password_verifier(client, &request.challenge_responses),
            other => Err(AwsError::invalid_parameter(format!(
                "1 validation error detected: Value '{other}' at 'challengeName' failed to satisfy \
                 constraint: Member must satisfy enum value set"
            ))),
        }
    }

    fn initiate_srp(&self, client: &AppClient, parameters: &Parameters) -> Result<Value, AwsError> {
        let username = required(parameters, "USERNAME")?;
        let srp_a = required(parameters, "SRP_A")?;
        check_secret_hash(client, username, parameters.get("SECRET_HASH"))?;
        let (prover, verifier) = self.directory.verifier(username);
        let handshake = Handshake::start(verifier, srp_a)
            .map_err(|_| AwsError::invalid_parameter("Invalid SRP_A value"))?;
        Ok(self.challenge_password(client, prover, handshake))
    }

    fn challenge_password(&self, client: &AppClient, prover: Prover, handshake: Handshake) -> Value {
        let (salt, srp_b, username) = (handshake.salt(), handshake.srp_b(), prover.id.clone());
        let attempt = Attempt { username: username.clone(), client_id: client.id.clone() };
        let step = Step::PasswordVerifier { prover, handshake: Box::new(handshake) };
        let secret_block = self.sessions.open_claim(attempt, step, self.clock.now());
        json!({
            "ChallengeName": "PASSWORD_VERIFIER",
            "ChallengeParameters": {
                "SALT": salt,
                "SRP_B": srp_b,
                "SECRET_BLOCK": secret_block,
                "USER_ID_FOR_SRP": username,
                "USERNAME": username,
            },
        })
    }

    fn answer_password_verifier(
        &self,
        client: &AppClient,
        responses: &Parameters,
    ) -> Result<Value, AwsError> {
        let username = required(responses, "USERNAME")?;
        let secret_block = required(responses, "PASSWORD_CLAIM_SECRET_BLOCK")?;
        let signature = required(responses, "PASSWORD_CLAIM_SIGNATURE")?;
        let timestamp = timestamp::canonical(required(responses, "TIMESTAMP")?).ok_or_else(|| {
            AwsError::invalid_parameter("TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.")
        })?;
        let wrong = || AwsError::not_authorized("Incorrect username or password.");
        let now = self.clock.now();
        let Open { attempt, step, .. } = self.sessions.take(secret_block, now).map_err(|_| wrong())?;
        check_secret_hash(client, &attempt.username, responses.get("SECRET_HASH"))?;
        let Step::PasswordVerifier { prover, handshake } = step;
        let block = STANDARD.decode(secret_block).map_err(|_| wrong())?;
        let right = attempt.client_id == client.id
            && *signature == handshake.claim(&prover, &block, &timestamp)
            && attempt.username.eq_ignore_ascii_case(username);
        let account = self.directory.judge(&attempt.username, right, now)?;
        Ok(self.complete(&account, client))
    }

    fn initiate_password(&self, client: &AppClient, parameters: &Parameters) -> Result<Value, AwsError> {
        let username = required(parameters, "USERNAME")?;
        let password = required(parameters, "PASSWORD")?;
        check_secret_hash(client, username, parameters.get("SECRET_HASH"))?;
        let known = self.directory.account(username);
        let right = known.is_some_and(|account| account.user.password.expose_secret() == password);
        let account = self.directory.judge(username, right, self.clock.now())?;
        Ok(self.complete(&account, client))
    }

    fn refresh_token_auth(&self, client: &AppClient, parameters: &Parameters) -> Result<Value, AwsError> {
        if client.rotation.is_some() {
            let message = "REFRESH_TOKEN_AUTH flow not enabled for this client";
            return Err(AwsError::invalid_parameter(message));
        }
        let token = required(parameters, "REFRESH_TOKEN")?;
        let now = self.clock.now();
        let grant = self.grants.find(token, client, now)?;
        check_secret_hash(client, &grant.username, parameters.get("SECRET_HASH")).map_err(|error| {
            if parameters.contains_key("SECRET_HASH") {
                let message = format!("SecretHash does not match for the client: {}", client.id);
                return AwsError::not_authorized(message);
            }
            error
        })?;
        self.refreshed(token, &grant, client)
    }

    fn complete(&self, account: &Account, client: &AppClient) -> Value {
        let result = self.grants.sign_in(account, client, self.clock.now());
        json!({ "AuthenticationResult": result, "ChallengeParameters": {} })
    }
}

fn require_flow(client: &AppClient, flow: Flow) -> Result<(), AwsError> {
    if client.flows.contains(&flow) {
        return Ok(());
    }
    let message = format!("{} flow not enabled for this client", flow.as_str());
    Err(AwsError::invalid_parameter(message))
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a String, AwsError> {
    let missing = || AwsError::invalid_parameter(format!("Missing required parameter {name}"));
    parameters.get(name).ok_or_else(missing)
}
