//! What a signed-in user reads and changes of their own account.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    attributes::{Attribute, Writer, address_attribute},
    directory::no_such_user,
    grants::{ADMIN_SCOPE, has_scope},
    outbox::Purpose,
};
use crate::sandbox::{answer::AwsError, people::Medium};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WithAccessToken {
    pub(super) access_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateUserAttributes {
    access_token: String,
    user_attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteUserAttributes {
    access_token: String,
    user_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetUserAttributeVerificationCode {
    access_token: String,
    attribute_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VerifyUserAttribute {
    access_token: String,
    attribute_name: String,
    code: String,
}

impl UserPool {
    /// The user that an access token was issued to, if it allows operations on the user's own account.
    pub(super) fn authorized(&self, access_token: &str) -> Result<Account, AwsError> {
        let now = self.clock.now();
        let claims = self.grants.access(access_token, now)?;
        let account = self.directory.existing(claims["username"].as_str().unwrap_or_default())?;
        // A user of the same name may have come after the one who was deleted.
        if claims["sub"] != *account.sub {
            return Err(no_such_user());
        }
        account.admit()?;
        self.grants.require_unrevoked(&claims)?;
        if !has_scope(claims["scope"].as_str().unwrap_or_default(), ADMIN_SCOPE) {
            return Err(AwsError::not_authorized("Access Token does not have required scopes"));
        }
        Ok(account)
    }

    pub(super) fn get_user(&self, request: &WithAccessToken) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let mut user = json!({
            "Username": account.user.username,
            "UserAttributes": account.described_attributes(),
        });
        account.describe_mfa(&mut user);
        Ok(user)
    }

    pub(super) fn get_user_auth_factors(&self, request: &WithAccessToken) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let factors: Vec<&str> = [
            ("PASSWORD", account.has_password()),
            ("EMAIL_OTP", account.address(Medium::Email).is_some()),
            ("SMS_OTP", account.address(Medium::Sms).is_some()),
            ("WEB_AUTHN", account.user.passkey),
        ]
        .into_iter()
        .filter_map(|(name, configured)| configured.then_some(name))
        .collect();
        let mut answer = json!({ "Username": account.user.username, "ConfiguredUserAuthFactors": factors });
        account.describe_mfa(&mut answer);
        Ok(answer)
    }

    pub(super) fn update_user_attributes(&self, request: &UpdateUserAttributes) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let changed = self.schema.of_change(&request.user_attributes, Writer::Client)?;
        let now = self.clock.now();
        let username = &account.user.username;
        let updated = self.directory.try_update(username, |account| {
            account.set_attributes(&changed, now);
            Ok(account.clone())
        })?;
        let mut deliveries = Vec::new();
        for medium in &self.rules.verified_by {
            let address = updated.address(*medium);
            if address.is_some() && address != account.address(*medium) {
                deliveries.push(self.send_verification(&updated, Purpose::VerifyUserAttribute, *medium)?);
            }
        }
        Ok(json!({ "CodeDeliveryDetailsList": deliveries }))
    }

    pub(super) fn delete_user_attributes(&self, request: &DeleteUserAttributes) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let names = &request.user_attribute_names;
        self.schema.check_deletion(names)?;
        let removed = names.iter().map(|name| (name.clone(), String::new())).collect();
        let now = self.clock.now();
        self.directory.update(&account.user.username, |account| account.set_attributes(&removed, now));
        Ok(json!({}))
    }

    pub(super) fn get_user_attribute_verification_code(
        &self,
        request: &GetUserAttributeVerificationCode,
    ) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let name = &request.attribute_name;
        let medium = address_attribute(name)?;
        if account.address(medium).is_none() {
            let message = format!("The user does not have the attribute {name}.");
            return Err(AwsError::invalid_parameter(message));
        }
        let details = self.send_verification(&account, Purpose::VerifyUserAttribute, medium)?;
        Ok(json!({ "CodeDeliveryDetails": details }))
    }

    pub(super) fn verify_user_attribute(&self, request: &VerifyUserAttribute) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let medium = address_attribute(&request.attribute_name)?;
        let (username, now) = (&account.user.username, self.clock.now());
        let kind = (Purpose::VerifyUserAttribute, Some(medium));
        self.verification.redeem(&account, kind, &request.code, now, |_| {
            self.directory.claim_alias(username, medium, false)?;
            self.directory.update(username, |account| account.set_verified(medium));
            Ok(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn global_sign_out(&self, request: &WithAccessToken) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        self.grants.revoke_user(&account.user.username);
        Ok(json!({}))
    }

    pub(super) fn delete_user(&self, request: &WithAccessToken) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        self.remove_user(&account.user.username);
        Ok(Value::Null)
    }

    /// Removes a user with everything that belongs to them.
    pub(super) fn remove_user(&self, username: &str) {
        self.directory.remove(username);
        self.grants.forget_user(username);
        self.verification.forget(username);
        self.sessions.forget(username);
        self.codes.forget(username);
        self.browser_sessions.forget(username);
    }
}
