//! InitiateAuth, and the steps from a proven first factor to the tokens.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    clients::{check_secret_hash, require_flow},
    directory::no_such_user,
    grants::ADMIN_SCOPE,
    parameters::Parameters,
    sessions::{Attempt, Open, Step, TokenSource, invalid_session},
    triggers::Metadata,
};
use crate::sandbox::{
    answer::AwsError,
    people::{AppClient, Flow, UserState},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InitiateAuth {
    auth_flow: String,
    client_id: String,
    /// The one of ConfirmSignUp, for USER_AUTH.
    session: Option<String>,
    #[serde(default)]
    auth_parameters: Parameters,
    client_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AdminInitiateAuth {
    user_pool_id: String,
    #[serde(flatten)]
    request: InitiateAuth,
}

impl UserPool {
    pub(super) async fn initiate_auth(&self, request: &InitiateAuth) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        let parameters = &request.auth_parameters;
        let flow = match request.auth_flow.as_str() {
            "USER_SRP_AUTH" => Flow::UserSrp,
            "USER_PASSWORD_AUTH" => Flow::UserPassword,
            "USER_AUTH" => Flow::UserAuth,
            "CUSTOM_AUTH" => Flow::Custom,
            "REFRESH_TOKEN_AUTH" | "REFRESH_TOKEN" => {
                return self.refresh_token_auth(client, parameters).await;
            }
            other => return Err(not_in_enumeration(other, "authFlow")),
        };
        require_flow(client, flow)?;
        match &request.session {
            Some(session) if flow == Flow::UserAuth => {
                let validation_data = request.client_metadata.as_ref();
                self.sign_in_after_sign_up(client, session, parameters, validation_data).await
            }
            _ => self.begin_sign_in(client, flow, request).await,
        }
    }

    /// The sign-in of a user who has just confirmed the sign-up, and is asked for nothing.
    async fn sign_in_after_sign_up(
        &self,
        client: &AppClient,
        session: &str,
        parameters: &Parameters,
        validation_data: Option<&Metadata>,
    ) -> Result<Value, AwsError> {
        let username = parameters.required("USERNAME")?;
        check_secret_hash(client, username, parameters.get("SECRET_HASH"))?;
        let Open { attempt, step, .. } = self.sessions.take(session, self.clock.now())?;
        let account = self.directory.existing(&attempt.username)?;
        let confirmed = matches!(step, Step::ConfirmedSignUp);
        if !confirmed || attempt.client_id != client.id || !account.is_called(username) {
            return Err(invalid_session());
        }
        account.admit()?;
        self.before_authentication(&attempt, Some(&account), validation_data).await?;
        self.after_first_factor(&attempt, &account).await
    }

    /// AdminInitiateAuth, which needs no flow of the client for a password in the clear.
    pub(super) async fn admin_initiate_auth(&self, request: &AdminInitiateAuth) -> Result<Value, AwsError> {
        self.require_pool(&request.user_pool_id)?;
        let InitiateAuth { auth_flow, client_id, .. } = &request.request;
        if !matches!(auth_flow.as_str(), "ADMIN_USER_PASSWORD_AUTH" | "ADMIN_NO_SRP_AUTH") {
            return self.initiate_auth(&request.request).await;
        }
        self.begin_sign_in(self.clients.find(client_id)?, Flow::UserPassword, &request.request).await
    }

    async fn begin_sign_in(
        &self,
        client: &AppClient,
        flow: Flow,
        request: &InitiateAuth,
    ) -> Result<Value, AwsError> {
        let parameters = &request.auth_parameters;
        let username = parameters.required("USERNAME")?;
        check_secret_hash(client, username, parameters.get("SECRET_HASH"))?;
        let known = self.directory.account(username);
        if known.is_none() && !self.rules.hide_unknown_users {
            return Err(no_such_user());
        }
        let internal_name = known.as_ref().map_or(username, |account| &account.user.username);
        let attempt = Attempt {
            device_key: parameters.get("DEVICE_KEY").cloned(),
            ..Attempt::new(internal_name, &client.id, flow)
        };
        let validation_data = request.client_metadata.as_ref();
        self.before_authentication(&attempt, known.as_ref(), validation_data).await?;
        match flow {
            Flow::UserSrp => self.challenge_password(attempt, parameters.required("SRP_A")?),
            Flow::UserPassword => self.prove_password(attempt, parameters.required("PASSWORD")?).await,
            Flow::UserAuth => self.begin_choice(attempt, parameters).await,
            Flow::Custom => self.begin_custom(attempt, parameters).await,
        }
    }

    /// What follows a right password.
    pub(super) async fn after_password(
        &self,
        attempt: Attempt,
        account: &Account,
    ) -> Result<Value, AwsError> {
        account.admit()?;
        if let UserState::TemporaryPassword { required_attributes } = &account.user.state {
            let required_attributes = required_attributes.clone();
            return Ok(self.challenge_new_password(attempt, account, required_attributes));
        }
        if attempt.flow == Flow::Custom {
            return self.custom_after_password(attempt, account).await;
        }
        self.after_first_factor(&attempt, account).await
    }

    /// What follows the first factor: a tracked device, a second factor, or tokens.
    pub(super) async fn after_first_factor(
        &self,
        attempt: &Attempt,
        account: &Account,
    ) -> Result<Value, AwsError> {
        if let Some(challenge) = self.challenge_device(attempt, account)? {
            return Ok(challenge);
        }
        match self.challenge_second_factor(attempt, account) {
            Some(challenge) => Ok(challenge),
            None => self.complete(attempt).await,
        }
    }

    /// The tokens, and a device key if the device has none. At managed login the token endpoint issues the tokens.
    pub(super) async fn complete(&self, attempt: &Attempt) -> Result<Value, AwsError> {
        let account = self.directory.existing(&attempt.username)?;
        // The user may have been disabled since the first factor was proven.
        account.admit()?;
        let client = self.clients.find(&attempt.client_id)?;
        self.after_authentication(attempt, &account).await?;
        if attempt.tokens_for == TokenSource::Hosted {
            return Ok(json!({}));
        }
        // A trigger may have changed the user.
        let account = self.directory.existing(&attempt.username)?;
        let (source, metadata) = (attempt.tokens_for, attempt.metadata.as_ref());
        let changes = self.token_changes(&account, &client.id, source, ADMIN_SCOPE, metadata).await?;
        let account = self.directory.existing(&attempt.username)?;
        account.admit()?;
        let now = self.clock.now();
        let mut grant = self.grants.begin(&account, client, now);
        let new_device = self.register_device(attempt, &account);
        grant.device_key = match &new_device {
            Some(device) => device["DeviceKey"].as_str().map(str::to_owned),
            None => attempt.device_key.clone().filter(|_| self.device_tracking),
        };
        let mut result = self.grants.issue(grant, &account, &changes, now);
        if let Some(device) = new_device {
            result["NewDeviceMetadata"] = device;
        }
        Ok(json!({ "AuthenticationResult": result, "ChallengeParameters": {} }))
    }

    /// Sends the challenge for `step`.
    pub(super) fn challenge(&self, attempt: Attempt, step: Step, parameters: &Value) -> Value {
        let name = step.challenge_name();
        let session = self.sessions.open(attempt, step, self.clock.now());
        json!({ "ChallengeName": name, "ChallengeParameters": parameters, "Session": session })
    }

    async fn refresh_token_auth(
        &self,
        client: &AppClient,
        parameters: &Parameters,
    ) -> Result<Value, AwsError> {
        if client.rotation.is_some() {
            let message = "REFRESH_TOKEN_AUTH flow not enabled for this client";
            return Err(AwsError::invalid_parameter(message));
        }
        let token = parameters.required("REFRESH_TOKEN")?;
        let grant = self.grants.find(token, client, self.clock.now())?;
        let given = parameters.get("SECRET_HASH");
        check_secret_hash(client, &grant.username, given).map_err(|error| match given {
            None => error,
            Some(_) => {
                let message = format!("SecretHash does not match for the client: {}", client.id);
                AwsError::not_authorized(message)
            }
        })?;
        let device_key = parameters.get("DEVICE_KEY").map(String::as_str);
        let result = self.refreshed(token, &grant, client, device_key, None).await?;
        Ok(json!({ "AuthenticationResult": result, "ChallengeParameters": {} }))
    }
}

pub(super) fn not_in_enumeration(value: &str, member: &str) -> AwsError {
    AwsError::invalid_parameter(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must \
         satisfy enum value set"
    ))
}
