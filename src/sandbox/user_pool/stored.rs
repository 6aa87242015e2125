//! The users of the pool as a file has them.

use std::{collections::BTreeMap, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    UserPool,
    account::{Account, Device},
    grants::Grant,
    srp::Verifier,
};
use crate::sandbox::people::{Mfa, User, UserState};

/// What a user pool keeps from one run to the next: the users with their passwords and devices, and the refresh tokens.
/// Unfinished sign-ins end with the process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox) struct Stored {
    users: Vec<StoredUser>,
    /// How many users of each name there have been.
    generations: BTreeMap<String, u32>,
    refresh_tokens: BTreeMap<String, Grant>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUser {
    username: String,
    sub: String,
    aliases: Vec<String>,
    attributes: BTreeMap<String, String>,
    groups: Vec<String>,
    roles: Vec<String>,
    password: String,
    /// The salt of the password's verifier, in base64.
    salt: String,
    state: StoredState,
    enabled: bool,
    created: SystemTime,
    modified: SystemTime,
    mfa: Vec<StoredMfa>,
    preferred_mfa: Option<String>,
    /// The secret of the authenticator that was verified.
    authenticator: Option<String>,
    devices: BTreeMap<String, StoredDevice>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDevice {
    group_key: String,
    /// Salt and verifier in hexadecimal, once the device is confirmed.
    verifier: Option<(String, String)>,
    name: Option<String>,
    remembered: bool,
    created: SystemTime,
    modified: SystemTime,
    authenticated: SystemTime,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredState {
    Confirmed,
    Unconfirmed,
    TemporaryPassword { required_attributes: Vec<String> },
    ResetRequired,
    Disabled,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredMfa {
    Sms,
    Email,
    Authenticator { secret: String },
}

impl UserPool {
    pub(in crate::sandbox) fn stored(&self) -> Stored {
        Stored {
            users: self.directory.accounts().iter().map(StoredUser::of).collect(),
            generations: self.directory.generations(),
            refresh_tokens: self.grants.stored(self.clock.now()),
        }
    }

    /// Takes the stored users. Those that the settings name and that are not stored stay.
    pub(in crate::sandbox) fn restore(&self, stored: Stored) {
        for user in &stored.users {
            self.groups.add_missing(&user.groups, user.created);
        }
        let accounts = stored.users.into_iter().map(StoredUser::account).collect();
        self.directory.restore(accounts, stored.generations);
        self.grants.restore(stored.refresh_tokens);
    }
}

impl StoredUser {
    fn of(account: &Account) -> Self {
        let user = &account.user;
        Self {
            username: user.username.clone(),
            sub: account.sub.clone(),
            aliases: user.aliases.clone(),
            attributes: account.attributes.clone(),
            groups: user.groups.clone(),
            roles: user.roles.clone(),
            password: user.password.expose_secret().to_owned(),
            salt: STANDARD.encode(account.salt),
            state: StoredState::of(&user.state),
            enabled: account.enabled,
            created: account.created,
            modified: account.modified,
            mfa: user.mfa.iter().map(StoredMfa::of).collect(),
            preferred_mfa: account.preferred_mfa.map(str::to_owned),
            authenticator: account.authenticator.as_ref().map(|secret| secret.expose_secret().to_owned()),
            devices: account
                .devices
                .iter()
                .map(|(key, device)| (key.clone(), StoredDevice::of(device)))
                .collect(),
        }
    }

    /// The account. A salt that is not one is replaced: it only has to be the same within one exchange.
    fn account(self) -> Account {
        let mut user = User::new(&self.username, &self.password);
        user.aliases = self.aliases;
        user.groups = self.groups;
        user.roles = self.roles;
        user.state = self.state.state();
        user.mfa = self.mfa.into_iter().map(StoredMfa::mfa).collect();
        let preferred_mfa =
            user.mfa.iter().map(Mfa::name).find(|name| self.preferred_mfa.as_deref() == Some(name));
        let mut account = Account::new(user, self.sub, self.created);
        account.attributes = self.attributes;
        account.enabled = self.enabled;
        account.modified = self.modified;
        account.preferred_mfa = preferred_mfa;
        account.authenticator = self.authenticator.map(SecretString::from);
        account.devices = self.devices.into_iter().map(|(key, device)| (key, device.device())).collect();
        let salt = STANDARD.decode(self.salt).ok().and_then(|salt| salt.try_into().ok());
        account.salt = salt.unwrap_or(account.salt);
        account
    }
}

impl StoredDevice {
    fn of(device: &Device) -> Self {
        Self {
            group_key: device.group_key.clone(),
            verifier: device.verifier.as_ref().map(Verifier::to_stored),
            name: device.name.clone(),
            remembered: device.remembered,
            created: device.created,
            modified: device.modified,
            authenticated: device.authenticated,
        }
    }

    fn device(self) -> Device {
        Device {
            group_key: self.group_key,
            verifier: self.verifier.and_then(|(salt, verifier)| Verifier::from_stored(&salt, &verifier)),
            name: self.name,
            remembered: self.remembered,
            created: self.created,
            modified: self.modified,
            authenticated: self.authenticated,
        }
    }
}

impl StoredState {
    fn of(state: &UserState) -> Self {
        match state {
            UserState::Confirmed => Self::Confirmed,
            UserState::Unconfirmed => Self::Unconfirmed,
            UserState::TemporaryPassword { required_attributes } => {
                Self::TemporaryPassword { required_attributes: required_attributes.clone() }
            }
            UserState::ResetRequired => Self::ResetRequired,
            UserState::Disabled => Self::Disabled,
        }
    }

    fn state(self) -> UserState {
        match self {
            Self::Confirmed => UserState::Confirmed,
            Self::Unconfirmed => UserState::Unconfirmed,
            Self::TemporaryPassword { required_attributes } => {
                UserState::TemporaryPassword { required_attributes }
            }
            Self::ResetRequired => UserState::ResetRequired,
            Self::Disabled => UserState::Disabled,
        }
    }
}

impl StoredMfa {
    fn of(mfa: &Mfa) -> Self {
        match mfa {
            Mfa::Sms => Self::Sms,
            Mfa::Email => Self::Email,
            Mfa::Authenticator { secret } => {
                Self::Authenticator { secret: secret.expose_secret().to_owned() }
            }
        }
    }

    fn mfa(self) -> Mfa {
        match self {
            Self::Sms => Mfa::Sms,
            Self::Email => Mfa::Email,
            Self::Authenticator { secret } => Mfa::Authenticator { secret: SecretString::from(secret) },
        }
    }
}
