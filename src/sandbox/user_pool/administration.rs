//! The operations of an administrator. AWS requires a signature for them; the sandbox accepts any signature or
//! none.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::{Account, timestamp},
    attributes::{Attribute, Writer},
    outbox::Purpose,
    trigger_events::PendingSignUp,
    triggers::Metadata,
};
use crate::sandbox::{
    answer::AwsError,
    people::{Medium, User, UserState},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfUser {
    pub(super) user_pool_id: String,
    pub(super) username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AdminConfirmSignUp {
    #[serde(flatten)]
    user: OfUser,
    client_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AdminCreateUser {
    user_pool_id: String,
    username: String,
    temporary_password: Option<SecretString>,
    message_action: Option<MessageAction>,
    #[serde(default)]
    force_alias_creation: bool,
    #[serde(default)]
    user_attributes: Vec<Attribute>,
    #[serde(default)]
    validation_data: Vec<Attribute>,
    #[serde(default)]
    desired_delivery_mediums: Vec<DeliveryMedium>,
    client_metadata: Option<Metadata>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum MessageAction {
    Resend,
    Suppress,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum DeliveryMedium {
    Sms,
    Email,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AdminSetUserPassword {
    user_pool_id: String,
    username: String,
    password: SecretString,
    #[serde(default)]
    permanent: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AdminUpdateUserAttributes {
    user_pool_id: String,
    username: String,
    user_attributes: Vec<Attribute>,
}

impl UserPool {
    pub(super) async fn admin_create_user(&self, request: &AdminCreateUser) -> Result<Value, AwsError> {
        self.require_pool(&request.user_pool_id)?;
        if let Some(password) = &request.temporary_password {
            self.check_policy(password)?;
        }
        let password = request.temporary_password.clone().unwrap_or_else(temporary_password);
        let account = if request.message_action == Some(MessageAction::Resend) {
            self.renew_invitation(&request.username, &password)?
        } else {
            let mut user =
                self.new_user(&request.username, &request.user_attributes, Writer::Administrator)?;
            let required_attributes = self.schema.missing(&user.attributes).cloned().collect();
            user.state = UserState::TemporaryPassword { required_attributes };
            user.password = password.clone();
            let pending = PendingSignUp {
                source: "PreSignUp_AdminCreateUser",
                client_id: None,
                validation_data: &request.validation_data,
                metadata: request.client_metadata.as_ref(),
            };
            // Cognito ignores whom the trigger confirms: the user is to replace the temporary password.
            self.before_sign_up(&user, pending).await?;
            self.create_user(user, request.force_alias_creation).map_err(as_user_account)?
        };
        if request.message_action != Some(MessageAction::Suppress) {
            for medium in delivery_media(request, &account) {
                self.outbox.send(&account, medium, Purpose::AdminCreateUser, password.expose_secret());
            }
        }
        Ok(json!({ "User": described(&account, "Attributes") }))
    }

    /// Adds a user, whose verified addresses become sign-in names.
    pub(super) fn create_user(&self, user: User, force_alias: bool) -> Result<Account, AwsError> {
        let account = self.directory.create(user, self.clock.now())?;
        let username = &account.user.username;
        for medium in [Medium::Email, Medium::Sms].into_iter().filter(|medium| account.is_verified(*medium)) {
            if let Err(error) = self.directory.claim_alias(username, medium, force_alias) {
                self.directory.remove(username);
                return Err(error);
            }
        }
        Ok(account)
    }

    /// A new temporary password for a user who has not yet replaced the one before.
    fn renew_invitation(&self, username: &str, password: &SecretString) -> Result<Account, AwsError> {
        self.directory.try_update(username, |account| {
            if !matches!(account.user.state, UserState::TemporaryPassword { .. }) {
                let message = "Resend not possible. User's status is not FORCE_CHANGE_PASSWORD";
                return Err(AwsError::new("UnsupportedUserStateException", message));
            }
            account.set_password(password.expose_secret());
            Ok(account.clone())
        })
    }

    pub(super) fn admin_set_user_password(&self, request: &AdminSetUserPassword) -> Result<Value, AwsError> {
        self.check_policy(&request.password)?;
        self.administer(&request.user_pool_id, &request.username, |account| {
            account.set_password(request.password.expose_secret());
            account.user.state = if request.permanent {
                UserState::Confirmed
            } else {
                UserState::TemporaryPassword { required_attributes: Vec::new() }
            };
            Ok(json!({}))
        })
    }

    pub(super) fn admin_update_user_attributes(
        &self,
        request: &AdminUpdateUserAttributes,
    ) -> Result<Value, AwsError> {
        let changed = self.schema.of_change(&request.user_attributes, Writer::Administrator)?;
        let now = self.clock.now();
        let account = self.administer(&request.user_pool_id, &request.username, |account| {
            account.set_attributes(&changed, now);
            Ok(account.clone())
        })?;
        for medium in [Medium::Email, Medium::Sms].into_iter().filter(|medium| account.is_verified(*medium)) {
            self.directory.claim_alias(&account.user.username, medium, false)?;
        }
        Ok(json!({}))
    }

    pub(super) async fn admin_confirm_sign_up(
        &self,
        request: &AdminConfirmSignUp,
    ) -> Result<Value, AwsError> {
        let account = self.administered(&request.user)?;
        let username = &account.user.username;
        self.confirm(username, None)?;
        let metadata = request.client_metadata.as_ref();
        self.after_confirmation(username, "PostConfirmation_ConfirmSignUp", None, metadata).await?;
        Ok(json!({}))
    }

    pub(super) fn admin_get_user(&self, request: &OfUser) -> Result<Value, AwsError> {
        let account = self.administered(request)?;
        let mut user = described(&account, "UserAttributes");
        account.describe_mfa(&mut user);
        Ok(user)
    }

    pub(super) fn admin_reset_user_password(&self, request: &OfUser) -> Result<Value, AwsError> {
        let account = self.administered(request)?;
        if account.user.state != UserState::Confirmed {
            let message = "User password cannot be reset in the current state.";
            return Err(AwsError::not_authorized(message));
        }
        self.send_reset_code(&account)?;
        self.directory.update(&account.user.username, |account| {
            account.user.state = UserState::ResetRequired;
        });
        Ok(json!({}))
    }

    /// AdminDisableUser revokes the user's tokens as well; AdminEnableUser does not bring them back.
    pub(super) fn set_enabled(&self, request: &OfUser, enabled: bool) -> Result<Value, AwsError> {
        let account = self.administer(&request.user_pool_id, &request.username, |account| {
            account.enabled = enabled;
            Ok(account.clone())
        })?;
        if !enabled {
            self.grants.revoke_user(&account.user.username);
        }
        Ok(json!({}))
    }

    pub(super) fn admin_user_global_sign_out(&self, request: &OfUser) -> Result<Value, AwsError> {
        let account = self.administered(request)?;
        self.grants.revoke_user(&account.user.username);
        Ok(json!({}))
    }

    pub(super) fn admin_delete_user(&self, request: &OfUser) -> Result<Value, AwsError> {
        let account = self.administered(request)?;
        self.remove_user(&account.user.username);
        Ok(Value::Null)
    }

    pub(super) fn require_pool(&self, id: &str) -> Result<(), AwsError> {
        if id == super::pool_id(&self.region) {
            return Ok(());
        }
        Err(AwsError::not_found(format!("User pool {id} does not exist.")))
    }

    pub(super) fn administered(&self, request: &OfUser) -> Result<Account, AwsError> {
        self.require_pool(&request.user_pool_id)?;
        self.directory.existing(&request.username)
    }

    /// Changes a user of the pool.
    pub(super) fn administer<T>(
        &self,
        pool_id: &str,
        username: &str,
        change: impl FnOnce(&mut Account) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        self.require_pool(pool_id)?;
        let now = self.clock.now();
        self.directory.try_update(username, |account| {
            account.modified = now;
            change(account)
        })
    }
}

/// A user as administrators see it, with the attributes under the name that the operation gives them.
pub(super) fn described(account: &Account, attributes: &str) -> Value {
    let mut user = json!({
        "Username": account.user.username,
        "UserCreateDate": timestamp(account.created),
        "UserLastModifiedDate": timestamp(account.modified),
        "Enabled": account.enabled,
        "UserStatus": account.status(),
    });
    user[attributes] = account.described_attributes().into();
    user
}

/// Where the invitation goes to: what the request asks for, else the first address that the user has.
fn delivery_media(request: &AdminCreateUser, account: &Account) -> Vec<Medium> {
    let wanted = request.desired_delivery_mediums.iter().map(|medium| match medium {
        DeliveryMedium::Sms => Medium::Sms,
        DeliveryMedium::Email => Medium::Email,
    });
    let has_address = |medium: &Medium| account.address(*medium).is_some();
    if request.desired_delivery_mediums.is_empty() {
        return [Medium::Email, Medium::Sms].into_iter().find(has_address).into_iter().collect();
    }
    wanted.filter(has_address).collect()
}

/// The error as AdminCreateUser words it.
fn as_user_account(error: AwsError) -> AwsError {
    match error.message.as_str() {
        "User already exists" => AwsError::new(&error.code, "User account already exists"),
        _ => error,
    }
}

/// Has every kind of character that a policy may demand.
fn temporary_password() -> SecretString {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("Tmp-1{random}").into()
}
