//! SignUp and what follows it: a code by message, and its confirmation.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    attributes::{Attribute, Writer, is_email, is_phone_number},
    clients::check_secret_hash,
    outbox::Purpose,
    sessions::{Attempt, Step},
    trigger_events::PendingSignUp,
    triggers::Metadata,
    verification::{delivery_details, expired_code},
};
use crate::sandbox::{
    answer::AwsError,
    people::{Flow, Medium, User, UserState},
    pool_rules::Usernames,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SignUp {
    pub(super) client_id: String,
    pub(super) secret_hash: Option<String>,
    pub(super) username: String,
    /// Absent where the user will sign in by codes alone.
    pub(super) password: Option<SecretString>,
    #[serde(default)]
    pub(super) user_attributes: Vec<Attribute>,
    #[serde(default)]
    pub(super) validation_data: Vec<Attribute>,
    pub(super) client_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfirmSignUp {
    pub(super) client_id: String,
    pub(super) secret_hash: Option<String>,
    pub(super) username: String,
    pub(super) confirmation_code: String,
    #[serde(default)]
    pub(super) force_alias_creation: bool,
    pub(super) client_metadata: Option<Metadata>,
}

/// ResendConfirmationCode and ForgotPassword.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RequestCode {
    pub(super) client_id: String,
    pub(super) secret_hash: Option<String>,
    pub(super) username: String,
}

impl UserPool {
    pub(super) async fn sign_up(&self, request: &SignUp) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret_hash(client, &request.username, request.secret_hash.as_ref())?;
        if !self.rules.self_sign_up {
            return Err(AwsError::not_authorized("SignUp is not permitted for this user pool"));
        }
        if let Some(password) = &request.password {
            self.check_policy(password)?;
        }
        let mut user = self.new_user(&request.username, &request.user_attributes, Writer::Client)?;
        user.password = request.password.clone().unwrap_or_else(|| "".into());
        let (client_id, metadata) = (Some(client.id.as_str()), request.client_metadata.as_ref());
        let pending = PendingSignUp {
            source: "PreSignUp_SignUp",
            client_id,
            validation_data: &request.validation_data,
            metadata,
        };
        self.before_sign_up(&user, pending).await?.apply(&mut user)?;
        let account = self.create_user(user, false)?;
        let confirmed = account.user.state == UserState::Confirmed;
        let mut answer = json!({ "UserConfirmed": confirmed, "UserSub": account.sub });
        if confirmed {
            let username = &account.user.username;
            self.after_confirmation(username, "PostConfirmation_ConfirmSignUp", client_id, metadata).await?;
        } else if let Some(medium) = self.verifying_medium(&account) {
            answer["CodeDeliveryDetails"] = self.send_verification(&account, Purpose::SignUp, medium)?;
        }
        Ok(answer)
    }

    /// An unconfirmed user without a password, as the pool's rules have it.
    pub(super) fn new_user(
        &self,
        username: &str,
        attributes: &[Attribute],
        writer: Writer,
    ) -> Result<User, AwsError> {
        let mut given = attributes.to_vec();
        match self.rules.usernames {
            Usernames::ChosenWithAliases if is_email(username) => {
                let message =
                    "Username cannot be of email format, since user pool is configured for email alias.";
                return Err(AwsError::invalid_parameter(message));
            }
            Usernames::ChosenWithAliases if is_phone_number(username) => {
                let message = "Username cannot be of phone number format, since user pool is configured for \
                               phone number alias.";
                return Err(AwsError::invalid_parameter(message));
            }
            Usernames::Chosen | Usernames::ChosenWithAliases => {}
            Usernames::Email | Usernames::Phone | Usernames::EmailOrPhone => {
                // Before the check of what is required: the user name fills in its own attribute, whatever else was given.
                given.push(Attribute::new(self.address_name(username)?.attribute(), username));
            }
        }
        let mut attributes = self.schema.of_new_user(&given, writer)?;
        attributes.retain(|_, value| !value.is_empty());
        for medium in [Medium::Email, Medium::Sms] {
            if attributes.contains_key(medium.attribute()) {
                let verified = attributes.entry(medium.verified_attribute().to_owned());
                verified.or_insert_with(|| "false".to_owned());
            }
        }
        Ok(User { attributes, state: UserState::Unconfirmed, ..User::new(username, "") })
    }

    /// What kind of address a user name is, where it must be one.
    fn address_name(&self, username: &str) -> Result<Medium, AwsError> {
        let is_valid = |medium: &Medium| match medium {
            Medium::Email => is_email(username),
            Medium::Sms => is_phone_number(username),
        };
        let allowed = self.rules.usernames.addresses();
        allowed.iter().copied().find(is_valid).ok_or_else(|| {
            AwsError::invalid_parameter(match allowed {
                [Medium::Email] => "Username should be an email.",
                [Medium::Sms] => "Username should be a phone number.",
                _ => "Username should be either an email or a phone number.",
            })
        })
    }

    pub(super) async fn confirm_sign_up(&self, request: &ConfirmSignUp) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret_hash(client, &request.username, request.secret_hash.as_ref())?;
        let account = self.directory.account(&request.username);
        let account = account.ok_or_else(|| self.unknown_user(expired_code()))?;
        require_unconfirmed(&account)?;
        let (username, force) = (&account.user.username, request.force_alias_creation);
        let (kind, code) = ((Purpose::SignUp, None), &request.confirmation_code);
        self.verification.redeem(&account, kind, code, self.clock.now(), |medium| {
            self.directory.claim_alias(username, medium, force)?;
            self.confirm(username, Some(medium))
        })?;
        let (source, metadata) = ("PostConfirmation_ConfirmSignUp", request.client_metadata.as_ref());
        self.after_confirmation(username, source, Some(&client.id), metadata).await?;
        if !client.flows.contains(&Flow::UserAuth) {
            return Ok(json!({}));
        }
        let attempt = Attempt::new(username, &client.id, Flow::UserAuth);
        let session = self.sessions.open(attempt, Step::ConfirmedSignUp, self.clock.now());
        Ok(json!({ "Session": session }))
    }

    pub(super) fn resend_confirmation_code(&self, request: &RequestCode) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret_hash(client, &request.username, request.secret_hash.as_ref())?;
        let Some(account) = self.directory.account(&request.username) else {
            return self.pretended_delivery(&request.username);
        };
        if account.user.state != UserState::Unconfirmed {
            return Err(AwsError::invalid_parameter("User is already confirmed."));
        }
        let medium = self.verifying_medium(&account).ok_or_else(|| {
            AwsError::invalid_parameter("Cannot resend codes. Auto verification not turned on.")
        })?;
        let details = self.send_verification(&account, Purpose::SignUp, medium)?;
        Ok(json!({ "CodeDeliveryDetails": details }))
    }

    /// Confirms a sign-up, and the address if a code was sent to one.
    pub(super) fn confirm(&self, username: &str, medium: Option<Medium>) -> Result<(), AwsError> {
        let now = self.clock.now();
        self.directory.try_update(username, |account| {
            require_unconfirmed(account)?;
            account.user.state = UserState::Confirmed;
            account.modified = now;
            if let Some(medium) = medium {
                account.set_verified(medium);
            }
            Ok(())
        })
    }

    /// The error for a user who does not exist: `hidden`, unless the pool says so openly.
    pub(super) fn unknown_user(&self, hidden: AwsError) -> AwsError {
        if self.rules.hide_unknown_users {
            return hidden;
        }
        AwsError::new("UserNotFoundException", "Username/client id combination not found.")
    }

    /// The answer to a request for a code when no user has that name: the same as for a user.
    pub(super) fn pretended_delivery(&self, username: &str) -> Result<Value, AwsError> {
        if !self.rules.hide_unknown_users {
            return Err(self.unknown_user(expired_code()));
        }
        let address =
            if is_email(username) { username.to_owned() } else { format!("{username}@example.com") };
        Ok(json!({ "CodeDeliveryDetails": delivery_details(Medium::Email, &address) }))
    }
}

fn require_unconfirmed(account: &Account) -> Result<(), AwsError> {
    if !account.enabled {
        return Err(AwsError::not_authorized("User is disabled."));
    }
    if account.user.state == UserState::Unconfirmed {
        return Ok(());
    }
    let message = format!("User cannot be confirmed. Current status is {}", account.status());
    Err(AwsError::not_authorized(message))
}
