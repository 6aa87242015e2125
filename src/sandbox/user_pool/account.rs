//! One user of the pool, and what the pool has stored about them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::srp::Verifier;
use crate::sandbox::{
    answer::AwsError,
    people::{Medium, Mfa, User, UserState},
};

#[derive(Clone)]
pub(super) struct Account {
    /// The user, except for the attributes and for being disabled, which stand here.
    pub(super) user: User,
    pub(super) sub: String,
    /// The attributes, without `sub`.
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) enabled: bool,
    pub(super) created: SystemTime,
    pub(super) modified: SystemTime,
    /// The devices, confirmed or not.
    pub(super) devices: BTreeMap<String, Device>,
    /// The secret of the authenticator that was verified, whether or not it is asked for at sign-in.
    pub(super) authenticator: Option<SecretString>,
    /// The secret that AssociateSoftwareToken gave and that is not verified yet.
    pub(super) pending_authenticator: Option<SecretString>,
    /// The name of the second factor that is asked for where several are set up.
    pub(super) preferred_mfa: Option<&'static str>,
    /// The time step of the last authenticator code: each code is valid once.
    pub(super) spent_step: Option<u64>,
    pub(super) salt: [u8; 16],
    pub(super) wrong_passwords: u32,
    pub(super) locked_until: SystemTime,
}

/// A device that may sign in without a second factor.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) group_key: String,
    /// The verifier that ConfirmDevice sent; absent until then.
    pub(super) verifier: Option<Verifier>,
    pub(super) name: Option<String>,
    pub(super) remembered: bool,
    pub(super) created: SystemTime,
    pub(super) modified: SystemTime,
    pub(super) authenticated: SystemTime,
}

impl Account {
    pub(super) fn new(mut user: User, sub: String, now: SystemTime) -> Self {
        let mut attributes = std::mem::take(&mut user.attributes);
        for medium in [Medium::Email, Medium::Sms] {
            if let Some(alias) = user.aliases.iter().find(|alias| medium.is_address(alias))
                && !attributes.contains_key(medium.attribute())
            {
                attributes.insert(medium.attribute().to_owned(), alias.clone());
                attributes.insert(medium.verified_attribute().to_owned(), "true".to_owned());
            }
        }
        let authenticator = user.mfa.iter().find_map(|mfa| match mfa {
            Mfa::Authenticator { secret } => Some(secret.clone()),
            Mfa::Sms | Mfa::Email => None,
        });
        let state = std::mem::take(&mut user.state);
        let mut account = Self {
            user,
            sub,
            attributes,
            enabled: true,
            created: now,
            modified: now,
            devices: BTreeMap::new(),
            authenticator,
            pending_authenticator: None,
            preferred_mfa: None,
            spent_step: None,
            salt: rand::random(),
            wrong_passwords: 0,
            locked_until: UNIX_EPOCH,
        };
        account.set_state(state);
        account
    }

    /// Disabling keeps the state that the user has otherwise.
    pub(super) fn set_state(&mut self, state: UserState) {
        self.enabled = state != UserState::Disabled;
        if self.enabled {
            self.user.state = state;
        }
    }

    /// Sets the password for good, and lifts what wrong ones have caused.
    pub(super) fn set_password(&mut self, password: &str) {
        self.user.password = password.into();
        self.wrong_passwords = 0;
        self.locked_until = UNIX_EPOCH;
    }

    /// Whether the user has a password: a sign-up may leave it out.
    pub(super) fn has_password(&self) -> bool {
        !self.user.password.expose_secret().is_empty()
    }

    pub(super) fn password_is(&self, password: &str) -> bool {
        self.has_password() && self.user.password.expose_secret() == password
    }

    /// Whether the user may sign in at all. Only a client that has proven a factor learns it.
    pub(super) fn admit(&self) -> Result<(), AwsError> {
        if !self.enabled {
            return Err(AwsError::not_authorized("User is disabled."));
        }
        match self.user.state {
            UserState::Confirmed | UserState::TemporaryPassword { .. } | UserState::Disabled => Ok(()),
            UserState::Unconfirmed => {
                Err(AwsError::new("UserNotConfirmedException", "User is not confirmed."))
            }
            UserState::ResetRequired => {
                let message = "Password reset required for the user";
                Err(AwsError::new("PasswordResetRequiredException", message))
            }
        }
    }

    /// UserStatus.
    pub(super) fn status(&self) -> &'static str {
        match self.user.state {
            UserState::Confirmed | UserState::Disabled => "CONFIRMED",
            UserState::Unconfirmed => "UNCONFIRMED",
            UserState::TemporaryPassword { .. } => "FORCE_CHANGE_PASSWORD",
            UserState::ResetRequired => "RESET_REQUIRED",
        }
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        let mut names = [&self.user.username, &self.sub].into_iter().chain(&self.user.aliases);
        names.any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The address that codes go to, if there is one of that kind.
    pub(super) fn address(&self, medium: Medium) -> Option<&str> {
        self.attributes.get(medium.attribute()).map(String::as_str)
    }

    pub(super) fn is_verified(&self, medium: Medium) -> bool {
        self.address(medium).is_some()
            && self.attributes.get(medium.verified_attribute()).is_some_and(|value| value == "true")
    }

    pub(super) fn set_verified(&mut self, medium: Medium) {
        self.attributes.insert(medium.verified_attribute().to_owned(), "true".to_owned());
    }

    /// Sets attributes; an empty value removes one. A new address is unverified unless `values` says otherwise. The old
    /// one stays a sign-in name until the new one is verified.
    pub(super) fn set_attributes(&mut self, values: &BTreeMap<String, String>, now: SystemTime) {
        for (name, value) in values {
            if let Some(medium) = Medium::of_attribute(name)
                && self.attributes.get(name) != Some(value)
                && !values.contains_key(medium.verified_attribute())
            {
                self.attributes.insert(medium.verified_attribute().to_owned(), "false".to_owned());
            }
            if value.is_empty() {
                self.remove_attribute(name);
            } else {
                self.attributes.insert(name.clone(), value.clone());
            }
        }
        self.modified = now;
    }

    /// A removed address is no sign-in name any more.
    fn remove_attribute(&mut self, name: &str) {
        let removed = self.attributes.remove(name);
        if let Some(medium) = Medium::of_attribute(name) {
            self.attributes.remove(medium.verified_attribute());
            self.user.aliases.retain(|alias| Some(alias) != removed.as_ref());
        }
    }

    /// The attributes as operations list them.
    pub(super) fn described_attributes(&self) -> Vec<Value> {
        let sub = json!({ "Name": "sub", "Value": self.sub });
        let others = self.attributes.iter().map(|(name, value)| json!({ "Name": name, "Value": value }));
        std::iter::once(sub).chain(others).collect()
    }

    /// Adds UserMFASettingList and PreferredMfaSetting where there are any.
    pub(super) fn describe_mfa(&self, description: &mut Value) {
        let names: Vec<&str> = self.user.mfa.iter().map(Mfa::name).collect();
        if let Some(preferred) = self.preferred_mfa {
            description["PreferredMfaSetting"] = preferred.into();
        }
        if !names.is_empty() {
            description["UserMFASettingList"] = names.into();
        }
    }
}

/// A time as JSON 1.1 has it.
pub(super) fn timestamp(time: SystemTime) -> Value {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    json!(since.as_secs_f64())
}
