//! The events around sign-up, sign-in and tokens, and what their responses change.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    attributes::Attribute,
    sessions::{Attempt, TokenSource},
    token_changes::{FirstVersion, SecondVersion, TokenChanges},
    triggers::{Event, Metadata},
};
use crate::sandbox::{
    answer::AwsError,
    people::{Medium, User, UserState},
    trigger_hooks::{TokenEventVersion, Trigger},
};

/// A sign-up that waits for the decision of the trigger before it.
pub(super) struct PendingSignUp<'a> {
    pub(super) source: &'static str,
    pub(super) client_id: Option<&'a str>,
    pub(super) validation_data: &'a [Attribute],
    pub(super) metadata: Option<&'a Metadata>,
}

/// What the trigger before a sign-up decides.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SignUpDecision {
    auto_confirm_user: Option<bool>,
    auto_verify_email: Option<bool>,
    auto_verify_phone: Option<bool>,
}

impl SignUpDecision {
    /// Confirms the user and verifies addresses, of which each must be there.
    pub(super) fn apply(&self, user: &mut User) -> Result<(), AwsError> {
        if self.auto_confirm_user == Some(true) {
            user.state = UserState::Confirmed;
        }
        for (verified, medium) in
            [(self.auto_verify_email, Medium::Email), (self.auto_verify_phone, Medium::Sms)]
        {
            if verified != Some(true) {
                continue;
            }
            if !user.attributes.contains_key(medium.attribute()) {
                let message =
                    format!("Cannot auto verify {}: the user does not have it.", medium.attribute());
                tracing::warn!("PreSignUp: {message}");
                return Err(AwsError::new("InvalidLambdaResponseException", message));
            }
            user.attributes.insert(medium.verified_attribute().to_owned(), "true".to_owned());
        }
        Ok(())
    }
}

impl UserPool {
    pub(super) async fn before_sign_up(
        &self,
        user: &User,
        pending: PendingSignUp<'_>,
    ) -> Result<SignUpDecision, AwsError> {
        let given = user.attributes.iter().filter(|(name, value)| {
            // The pool has added these, not the client.
            !(name.ends_with("_verified") && value.as_str() == "false")
        });
        let attributes: Metadata = given.map(|(name, value)| (name.clone(), value.clone())).collect();
        let validation: Metadata = super::attributes::values(pending.validation_data);
        let validation = (!validation.is_empty()).then_some(validation);
        let request = json!({ "userAttributes": attributes, "validationData": validation });
        let event = Event {
            source: pending.source,
            username: &self.directory.internal_name(&user.username),
            client_id: pending.client_id,
            request: with_metadata(request, pending.metadata),
            response: json!({ "autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false }),
        };
        Ok(self.triggers.call(Trigger::PreSignUp, event).await?.unwrap_or_default())
    }

    /// The user stays confirmed, and the password changed, when the trigger fails.
    pub(super) async fn after_confirmation(
        &self,
        username: &str,
        source: &'static str,
        client_id: Option<&str>,
        metadata: Option<&Metadata>,
    ) -> Result<(), AwsError> {
        if !self.triggers.has(Trigger::PostConfirmation) {
            return Ok(());
        }
        let account = self.directory.existing(username)?;
        let request = json!({ "userAttributes": user_attributes(&account) });
        let event = Event {
            source,
            username: &account.user.username,
            client_id,
            request: with_metadata(request, metadata),
            response: json!({}),
        };
        self.triggers.call::<IgnoredAny>(Trigger::PostConfirmation, event).await?;
        Ok(())
    }

    pub(super) async fn before_authentication(
        &self,
        attempt: &Attempt,
        account: Option<&Account>,
        validation_data: Option<&Metadata>,
    ) -> Result<(), AwsError> {
        let mut request = json!({
            "userAttributes": account.map_or_else(|| json!({}), user_attributes),
            "validationData": validation_data,
        });
        self.tell_whether_known(&mut request, account);
        let event = Event {
            source: "PreAuthentication_Authentication",
            username: &attempt.username,
            client_id: Some(&attempt.client_id),
            request,
            response: json!({}),
        };
        self.triggers.call::<IgnoredAny>(Trigger::PreAuthentication, event).await?;
        Ok(())
    }

    pub(super) async fn after_authentication(
        &self,
        attempt: &Attempt,
        account: &Account,
    ) -> Result<(), AwsError> {
        let new_device = self.device_tracking
            && attempt.device_key.as_ref().is_none_or(|key| !account.devices.contains_key(key));
        let request = json!({ "userAttributes": user_attributes(account), "newDeviceUsed": new_device });
        let event = Event {
            source: "PostAuthentication_Authentication",
            username: &account.user.username,
            client_id: Some(&attempt.client_id),
            request: with_metadata(request, attempt.metadata.as_ref()),
            response: json!({}),
        };
        self.triggers.call::<IgnoredAny>(Trigger::PostAuthentication, event).await?;
        Ok(())
    }

    /// What is different in the tokens that are about to be issued.
    pub(super) async fn token_changes(
        &self,
        account: &Account,
        client_id: &str,
        source: TokenSource,
        scope: &str,
        metadata: Option<&Metadata>,
    ) -> Result<TokenChanges, AwsError> {
        let configuration = self.group_configuration(account);
        let mut request =
            json!({ "userAttributes": user_attributes(account), "groupConfiguration": configuration });
        let version = self.triggers.token_event();
        let (trigger, mut response) = (Trigger::PreTokenGeneration, json!({ "claimsOverrideDetails": null }));
        if version == TokenEventVersion::V2 {
            request["scopes"] = scope.split(' ').filter(|scope| !scope.is_empty()).collect();
            response = json!({ "claimsAndScopeOverrideDetails": null });
        }
        let event = Event {
            source: source.trigger_source(),
            username: &account.user.username,
            client_id: Some(client_id),
            request: with_metadata(request, metadata),
            response,
        };
        Ok(match version {
            TokenEventVersion::V1 => {
                self.triggers.call::<FirstVersion>(trigger, event).await?.unwrap_or_default().into()
            }
            TokenEventVersion::V2 => {
                self.triggers.call::<SecondVersion>(trigger, event).await?.unwrap_or_default().into()
            }
        })
    }

    fn group_configuration(&self, account: &Account) -> Value {
        let (roles, preferred) = self.groups.roles(account);
        json!({
            "groupsToOverride": account.user.groups,
            "iamRolesToOverride": roles,
            "preferredRole": preferred,
        })
    }

    /// Adds `userNotFound` where clients cannot tell whether a user exists.
    pub(super) fn tell_whether_known(&self, request: &mut Value, account: Option<&Account>) {
        if self.rules.hide_unknown_users {
            request["userNotFound"] = account.is_none().into();
        }
    }
}

/// `userAttributes` of an event.
pub(super) fn user_attributes(account: &Account) -> Value {
    let mut attributes = json!(account.attributes);
    attributes["sub"] = account.sub.clone().into();
    attributes["cognito:user_status"] = account.status().into();
    attributes
}

/// Adds `clientMetadata` if the client has sent any.
pub(super) fn with_metadata(mut request: Value, metadata: Option<&Metadata>) -> Value {
    if let Some(metadata) = metadata {
        request["clientMetadata"] = json!(metadata);
    }
    request
}
