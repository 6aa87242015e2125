//! Users and app clients of the user pool, as data.

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;

/// The default app client, which has no secret.
pub const PUBLIC_CLIENT_ID: &str = "5sandboxpublicclient0000001";
/// The default app client that has a secret.
pub const CONFIDENTIAL_CLIENT_ID: &str = "5sandboxconfidential0000002";
/// The secret of [`CONFIDENTIAL_CLIENT_ID`].
pub const CONFIDENTIAL_CLIENT_SECRET: &str = "sandbox-client-secret-0123456789abcdefghijklmnopqrs";
/// The default app client that rotates refresh tokens.
pub const ROTATING_CLIENT_ID: &str = "5sandboxrotatingclient00003";

/// A user of the user pool.
#[derive(Clone, Debug)]
pub struct User {
    /// The internal user name: USER_ID_FOR_SRP and `cognito:username`.
    pub username: String,
    /// What else the user may sign in as. The first with an `@` receives e-mail, the first that
    /// starts with `+` text messages.
    pub aliases: Vec<String>,
    /// The attributes, without `sub`.
    pub attributes: BTreeMap<String, String>,
    /// The groups, as `cognito:groups` lists them.
    pub groups: Vec<String>,
    /// The password.
    pub password: SecretString,
    /// Whether and how the user may sign in.
    pub state: UserState,
    /// The second factors that are set up; more than one makes the user choose.
    pub mfa: Vec<Mfa>,
    /// What CUSTOM_AUTH asks, one after the other.
    pub custom_challenges: Vec<CustomChallenge>,
    /// Whether a passkey is registered. The sandbox offers it but cannot verify it, which takes a browser.
    pub passkey: bool,
    /// The roles that the ID token allows, the preferred one first; empty for the pool's default.
    pub roles: Vec<String>,
}

/// Whether and how a user may sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserState {
    /// As usual.
    #[default]
    Confirmed,
    /// The sign-up was never confirmed.
    Unconfirmed,
    /// The password is a temporary one.
    TemporaryPassword {
        /// The attributes that the user must fill in as well, `email` for example.
        required_attributes: Vec<String>,
    },
    /// An administrator has reset the password.
    ResetRequired,
    /// An administrator has disabled the user.
    Disabled,
}

/// A second factor.
#[derive(Clone, Debug)]
pub enum Mfa {
    /// SMS_MFA.
    Sms,
    /// EMAIL_OTP.
    Email,
    /// SOFTWARE_TOKEN_MFA.
    Authenticator {
        /// The shared secret, in base32 without padding.
        secret: SecretString,
    },
}

/// One round of CUSTOM_AUTH.
#[derive(Clone, Debug)]
pub struct CustomChallenge {
    /// What the challenge shows to the client, `question` for example.
    pub parameters: Vec<(String, String)>,
    /// The right ANSWER. Three wrong ones end the sign-in.
    pub answer: String,
}

/// An app client of the user pool.
#[derive(Clone, Debug)]
pub struct AppClient {
    /// The client id.
    pub id: String,
    /// The client secret, if it has one.
    pub secret: Option<SecretString>,
    /// The grace period of refresh token rotation, if the client rotates.
    pub rotation: Option<Duration>,
    /// The flows that InitiateAuth may name, besides the refresh ones.
    pub flows: Vec<Flow>,
    /// The redirect URIs of managed login, which must match exactly.
    pub redirect_uris: Vec<String>,
}

/// A value of `AuthFlow` that starts a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// USER_SRP_AUTH.
    UserSrp,
    /// USER_PASSWORD_AUTH.
    UserPassword,
    /// USER_AUTH.
    UserAuth,
    /// CUSTOM_AUTH.
    Custom,
}

/// Where a code is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A text message.
    Sms,
    /// An e-mail.
    Email,
}

impl User {
    /// A confirmed user with a password and nothing else.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            aliases: Vec::new(),
            attributes: BTreeMap::new(),
            groups: Vec::new(),
            password: password.into(),
            state: UserState::Confirmed,
            mfa: Vec::new(),
            custom_challenges: Vec::new(),
            passkey: false,
            roles: Vec::new(),
        }
    }

    /// The address that codes go to, if there is one of that kind.
    pub(super) fn address(&self, medium: Medium) -> Option<&str> {
        let mut aliases = self.aliases.iter();
        let found = match medium {
            Medium::Sms => aliases.find(|alias| alias.starts_with('+')),
            Medium::Email => aliases.find(|alias| alias.contains('@')),
        };
        found.map(String::as_str)
    }
}

impl AppClient {
    /// A client without a secret, with every flow and without rotation.
    #[must_use]
    pub fn new(id: &str) -> Self {
        let redirect_uris = ["http://localhost:8976/", "http://localhost:8976/callback"];
        Self {
            id: id.to_owned(),
            secret: None,
            rotation: None,
            flows: vec![Flow::UserSrp, Flow::UserPassword, Flow::UserAuth, Flow::Custom],
            redirect_uris: redirect_uris.map(str::to_owned).to_vec(),
        }
    }

    pub(super) fn public() -> Self {
        Self::new(PUBLIC_CLIENT_ID)
    }

    pub(super) fn confidential() -> Self {
        Self { secret: Some(CONFIDENTIAL_CLIENT_SECRET.into()), ..Self::new(CONFIDENTIAL_CLIENT_ID) }
    }

    pub(super) fn rotating() -> Self {
        Self { rotation: Some(Duration::ZERO), ..Self::new(ROTATING_CLIENT_ID) }
    }
}

impl Flow {
    /// The name that `AuthFlow` carries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserSrp => "USER_SRP_AUTH",
            Self::UserPassword => "USER_PASSWORD_AUTH",
            Self::UserAuth => "USER_AUTH",
            Self::Custom => "CUSTOM_AUTH",
        }
    }
}
