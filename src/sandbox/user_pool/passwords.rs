//! Passwords that users forget or change.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    clients::check_secret_hash,
    outbox::Purpose,
    sign_up::RequestCode,
    triggers::Metadata,
    verification::{code_mismatch, limit_exceeded},
};
use crate::sandbox::{
    answer::AwsError,
    people::{Medium, UserState},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfirmForgotPassword {
    pub(super) client_id: String,
    pub(super) secret_hash: Option<String>,
    pub(super) username: String,
    pub(super) confirmation_code: String,
    pub(super) password: SecretString,
    pub(super) client_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangePassword {
    access_token: String,
    previous_password: Option<SecretString>,
    proposed_password: SecretString,
}

impl UserPool {
    pub(super) fn check_policy(&self, password: &SecretString) -> Result<(), AwsError> {
        self.rules.passwords.violation(password.expose_secret()).map_or(Ok(()), |violation| {
            let message = format!("Password did not conform with policy: {violation}");
            Err(AwsError::new("InvalidPasswordException", message))
        })
    }

    pub(super) fn forgot_password(&self, request: &RequestCode) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret_hash(client, &request.username, request.secret_hash.as_ref())?;
        let Some(account) = self.directory.account(&request.username) else {
            return self.pretended_delivery(&request.username);
        };
        if !account.enabled {
            return Err(AwsError::not_authorized("User is disabled."));
        }
        if matches!(account.user.state, UserState::TemporaryPassword { .. }) {
            let message = "User password cannot be reset in the current state.";
            return Err(AwsError::not_authorized(message));
        }
        let details = self.send_reset_code(&account)?;
        Ok(json!({ "CodeDeliveryDetails": details }))
    }

    /// Sends a code that allows a new password, which takes a verified address.
    pub(super) fn send_reset_code(&self, account: &Account) -> Result<Value, AwsError> {
        let media = [Medium::Email, Medium::Sms];
        let medium = media.into_iter().find(|medium| account.is_verified(*medium)).ok_or_else(|| {
            AwsError::invalid_parameter(
                "Cannot reset password for the user as there is no registered/verified email or phone_number",
            )
        })?;
        self.send_verification(account, Purpose::ForgotPassword, medium)
    }

    pub(super) async fn confirm_forgot_password(
        &self,
        request: &ConfirmForgotPassword,
    ) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret_hash(client, &request.username, request.secret_hash.as_ref())?;
        self.check_policy(&request.password)?;
        let account = self.directory.account(&request.username);
        let account = account.ok_or_else(|| self.unknown_user(code_mismatch()))?;
        let (username, now) = (&account.user.username, self.clock.now());
        let kind = (Purpose::ForgotPassword, None);
        self.verification.redeem(&account, kind, &request.confirmation_code, now, |_| {
            self.directory.try_update(username, |account| {
                if account.user.state == UserState::ResetRequired {
                    account.user.state = UserState::Confirmed;
                }
                account.set_password(request.password.expose_secret());
                account.modified = now;
                Ok(())
            })
        })?;
        let (source, metadata) = ("PostConfirmation_ConfirmForgotPassword", request.client_metadata.as_ref());
        self.after_confirmation(username, source, Some(&client.id), metadata).await?;
        Ok(json!({}))
    }

    pub(super) fn change_password(&self, request: &ChangePassword) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let username = &account.user.username;
        let now = self.clock.now();
        if account.has_password() {
            let previous = request
                .previous_password
                .as_ref()
                .ok_or_else(|| AwsError::invalid_parameter("Missing required parameter PreviousPassword"))?;
            let checked = self.directory.check_password(username, previous.expose_secret(), now);
            checked.map_err(|error| match error.message.as_str() {
                "Password attempts exceeded" => limit_exceeded(),
                _ => error,
            })?;
        }
        self.check_policy(&request.proposed_password)?;
        self.directory.try_update(username, |account| {
            account.set_password(request.proposed_password.expose_secret());
            account.modified = now;
            Ok(json!({}))
        })
    }
}
