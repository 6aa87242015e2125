//! Users and app clients of the user pool, as data.

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;

/// The default app client, which has no secret.
pub const PUBLIC_CLIENT_ID: &str = "5sandboxpublicclient0000001";
/// The default app client that has a secret.
pub const CONFIDENTIAL_CLIENT_ID: &str = "5sandboxconfidential0000002";
/// The secret of [`CONFIDENTIAL_CLIENT_ID`].
pub const CONFIDENTIAL_CLIENT_SECRET: &str = "sandboxclientsecret0123456789abcdefghijklmnopqrstuvw";
/// The default app client that rotates refresh tokens.
pub const ROTATING_CLIENT_ID: &str = "5sandboxrotatingclient00003";

/// A user of the user pool.
#[derive(Clone, Debug)]
pub struct User {
    /// The internal user name: USER_ID_FOR_SRP and `cognito:username`.
    pub username: String,
    /// What else the user may sign in as. Where the attributes have no `email` or `phone_number`, the first alias with
    /// an `@` and the first that starts with `+` take their place, as verified ones.
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
    /// The roles that the ID token allows, the preferred one first; empty for those of the groups.
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
    /// Where `/logout` may send the browser to; empty for the redirect URIs.
    pub logout_uris: Vec<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
            logout_uris: Vec::new(),
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

impl Medium {
    /// The attribute that has the address.
    pub(super) fn attribute(self) -> &'static str {
        match self {
            Self::Sms => "phone_number",
            Self::Email => "email",
        }
    }

    /// The attribute that says whether the address is verified.
    pub(super) fn verified_attribute(self) -> &'static str {
        match self {
            Self::Sms => "phone_number_verified",
            Self::Email => "email_verified",
        }
    }

    /// The medium that sends to the address in `attribute`.
    pub(super) fn of_attribute(attribute: &str) -> Option<Self> {
        [Self::Sms, Self::Email].into_iter().find(|medium| medium.attribute() == attribute)
    }

    /// Whether a sign-in name looks like an address of this kind.
    pub(super) fn is_address(self, name: &str) -> bool {
        match self {
            Self::Sms => name.starts_with('+'),
            Self::Email => name.contains('@'),
        }
    }

    /// The name that CodeDeliveryDetails carries.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "SMS",
            Self::Email => "EMAIL",
        }
    }
}

impl Mfa {
    /// The name of the challenge, which UserMFASettingList carries.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sms => "SMS_MFA",
            Self::Email => "EMAIL_OTP",
            Self::Authenticator { .. } => "SOFTWARE_TOKEN_MFA",
        }
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
