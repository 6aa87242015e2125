//! AWS credentials of the signed-in user: obtaining them, keeping them fresh, handing them to requests.

pub mod aws_chain;
pub mod channel;
pub mod cognito;
pub mod configured;
pub mod identity_pool;
mod login;
pub mod pause;
pub mod provider;
pub mod refresh_window;
pub mod refresher;
pub mod session;
mod token_file;
pub mod user_pool;

use std::{fmt, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum Settings {
    /// A user pool's user, or a token that something else keeps fresh, exchanged at an identity pool.
    Cognito(Box<Cognito>),
    /// The identity pool's unauthenticated role.
    Guest {
        /// The identity pool.
        identity_pool: IdentityPool,
    },
    /// The SDK's default chain: profile, SSO, container, instance.
    Aws,
}

impl Settings {
    /// The same user at the same pools, with the secrets that `other` has for that user.
    #[must_use]
    pub fn with_secrets_of(&self, other: &Self) -> Self {
        let mut settings = self.clone();
        if let (Self::Cognito(own), Self::Cognito(other)) = (&mut settings, other)
            && let (Login::UserPool(own), Login::UserPool(other)) = (&mut own.login, &other.login)
            && (&own.id, &own.client_id, &own.username) == (&other.id, &other.client_id, &other.username)
        {
            own.client_secret.clone_from(&other.client_secret);
            own.password.clone_from(&other.password);
            own.totp_secret.clone_from(&other.totp_secret);
        }
        settings
    }
}

/// A login and the identity pool that exchanges it for credentials.
#[derive(Clone, Debug)]
pub struct Cognito {
    /// The proof of the user's identity.
    pub login: Login,
    /// The identity pool.
    pub identity_pool: IdentityPool,
}

/// The proof of the user's identity for the identity pool.
#[derive(Clone, Debug)]
pub enum Login {
    /// Sign-in at a user pool.
    UserPool(UserPool),
    /// An ID token in a file that something else keeps fresh.
    IdTokenFile {
        /// The file, read again when it changes.
        path: PathBuf,
        /// The key in `Logins`, when it is not the token's `iss` without its scheme.
        login_provider: Option<String>,
    },
}

/// A user pool's app client and the user who signs in there.
#[derive(Clone, Debug)]
pub struct UserPool {
    /// The user pool.
    pub id: UserPoolId,
    /// The app client.
    pub client_id: String,
    /// The app client's secret, if it has one.
    pub client_secret: Option<SecretString>,
    /// The user name or an alias of it; absent when a stored session is to be used.
    pub username: Option<String>,
    /// The password; absent when a stored session is to be used.
    pub password: Option<SecretString>,
    /// How the password is proven.
    pub auth_flow: AuthFlow,
    /// Base32 secret that answers SOFTWARE_TOKEN_MFA without a person.
    pub totp_secret: Option<SecretString>,
    /// `https://cognito-idp.REGION.SUFFIX` or its replacement.
    pub endpoint: String,
    /// The managed-login domain, `NAME.auth.REGION.amazoncognito.com` or a custom one.
    pub domain: Option<String>,
    /// The port of the redirect URI that the app client has registered.
    pub redirect_port: u16,
    /// The folder of stored sessions.
    pub state_dir: Option<PathBuf>,
    /// The key in `Logins`, when it is not the token's `iss` without its scheme.
    pub login_provider: Option<String>,
}

impl UserPool {
    /// Whether `other` has the same secrets.
    fn has_secrets_of(&self, other: &Self) -> bool {
        let same = |own: &Option<SecretString>, other: &Option<SecretString>| {
            let [own, other] = [own, other].map(|secret| secret.as_ref().map(ExposeSecret::expose_secret));
            own == other
        };
        same(&self.client_secret, &other.client_secret)
            && same(&self.password, &other.password)
            && same(&self.totp_secret, &other.totp_secret)
    }
}

/// How a user proves the password, `AuthFlow` of InitiateAuth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthFlow {
    /// USER_SRP_AUTH.
    #[default]
    Srp,
    /// USER_PASSWORD_AUTH.
    Password,
    /// CUSTOM_AUTH.
    Custom,
    /// USER_AUTH, choice of the first factor.
    UserAuth,
}

/// An identity pool and the role to assume.
#[derive(Clone, Debug)]
pub struct IdentityPool {
    /// The identity pool.
    pub id: IdentityPoolId,
    /// `https://cognito-identity.REGION.SUFFIX` or its replacement.
    pub endpoint: String,
    /// Which of the roles that the token allows is assumed.
    pub role: RoleChoice,
}

/// How the role is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleChoice {
    /// The enhanced flow; the identity pool chooses.
    Pool,
    /// The enhanced flow with CustomRoleArn.
    Custom(String),
    /// The classic flow: GetOpenIdToken and AssumeRoleWithWebIdentity with this role.
    Classic {
        /// The role.
        role_arn: String,
        /// `https://sts.REGION.SUFFIX` or its replacement.
        sts_endpoint: String,
    },
}

/// A user pool's id, `eu-west-1_AbCdEf123`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserPoolId(String);

/// An identity pool's id, `eu-west-1:6d0d2a5e-…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityPoolId(String);

/// A malformed id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidId {
    /// Not `REGION_NAME`.
    UserPool,
    /// Not `REGION:GUID`.
    IdentityPool,
}

impl UserPoolId {
    /// The region that the pool is in.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.split_once('_').map_or("", |(region, _)| region)
    }

    /// The part after the underscore, which SRP calls the pool name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('_').map_or("", |(_, name)| name)
    }
}

impl IdentityPoolId {
    /// The region that the pool is in.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.split_once(':').map_or("", |(region, _)| region)
    }
}

impl std::str::FromStr for UserPoolId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once('_') {
            Some((region, name))
                if is_region(region)
                    && !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidId::UserPool),
        }
    }
}

impl std::str::FromStr for IdentityPoolId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once(':') {
            Some((region, guid)) if is_region(region) && uuid::Uuid::try_parse(guid).is_ok() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidId::IdentityPool),
        }
    }
}

impl fmt::Display for UserPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for IdentityPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserPool => "not a user pool id like eu-west-1_AbCdEf123",
            Self::IdentityPool => {
                "not an identity pool id like eu-west-1:01234567-89ab-cdef-0123-456789abcdef"
            }
        })
    }
}

impl std::error::Error for InvalidId {}

/// `local` is the region in the ids of the emulator cognito-local.
fn is_region(text: &str) -> bool {
    text == "local"
        || text.split('-').count() >= 3
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_come_from_the_ids() {
        let user_pool: UserPoolId = "eu-west-1_AbCdEf123".parse().expect("valid");
        assert_eq!((user_pool.region(), user_pool.name()), ("eu-west-1", "AbCdEf123"));
        let local: UserPoolId = "local_7xKq2PzA".parse().expect("valid");
        assert_eq!((local.region(), local.name()), ("local", "7xKq2PzA"));
        let identity_pool: IdentityPoolId =
            "us-gov-west-1:01234567-89ab-cdef-0123-456789abcdef".parse().expect("valid");
        assert_eq!(identity_pool.region(), "us-gov-west-1");
    }

    #[test]
    fn ids_of_another_form_are_refused() {
        for text in ["", "eu-west-1", "eu-west-1_", "_AbC", "eu west_1", "eu-west-1:AbC", "eu-west-1_a/b"] {
            assert_eq!(text.parse::<UserPoolId>(), Err(InvalidId::UserPool), "{text}");
        }
        for text in ["", "eu-west-1", "eu-west-1_AbCdEf123", "eu-west-1:xyz"] {
            assert_eq!(text.parse::<IdentityPoolId>(), Err(InvalidId::IdentityPool), "{text}");
        }
    }
}
