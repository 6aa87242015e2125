//! The users of the pool as a file has them.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    UserPool,
    directory::{Account, Device},
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
    refresh_tokens: BTreeMap<String, Grant>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUser {
    username: String,
    sub: String,
    aliases: Vec<String>,
    attributes: BTreeMap<String, String>,
    password: String,
    /// The salt of the password's verifier, in base64.
    salt: String,
    state: StoredState,
    mfa: Vec<StoredMfa>,
    roles: Vec<String>,
    devices: BTreeMap<String, StoredDevice>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDevice {
    group_key: String,
    /// Salt and verifier in hexadecimal, once the device is confirmed.
    verifier: Option<(String, String)>,
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
            refresh_tokens: self.grants.stored(self.clock.now()),
        }
    }

    /// Takes the stored users. Those that the settings name and that are not stored stay.
    pub(in crate::sandbox) fn restore(&self, stored: Stored) {
        for user in stored.users {
            self.directory.put(user.account());
        }
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
            password: user.password.expose_secret().to_owned(),
            salt: STANDARD.encode(account.salt),
            state: StoredState::of(&user.state),
            mfa: user.mfa.iter().map(StoredMfa::of).collect(),
            roles: user.roles.clone(),
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
        user.state = self.state.state();
        user.mfa = self.mfa.into_iter().map(StoredMfa::mfa).collect();
        user.roles = self.roles;
        let mut account = Account::new(user, self.sub);
        account.attributes = self.attributes;
        account.devices = self.devices.into_iter().map(|(key, device)| (key, device.device())).collect();
        let salt = STANDARD.decode(self.salt).ok().and_then(|salt| salt.try_into().ok());
        account.salt = salt.unwrap_or(account.salt);
        account
    }
}

impl StoredDevice {
    fn of(device: &Device) -> Self {
        let verifier = device.verifier.as_ref().map(Verifier::to_stored);
        Self { group_key: device.group_key.clone(), verifier }
    }

    fn device(self) -> Device {
        let verifier = self.verifier.and_then(|(salt, verifier)| Verifier::from_stored(&salt, &verifier));
        Device { group_key: self.group_key, verifier }
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
