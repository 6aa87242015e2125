//! The trait of credentials providers: what they issue, and how they fail.

use std::{
    error::Error,
    fmt,
    future::{Future, ready},
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;

/// Something that obtains credentials: one sign-in at Cognito, the SDK's default chain.
pub trait CredentialsProvider: Send + 'static {
    /// Obtains new credentials in the cheapest way that still works.
    fn fetch(&mut self) -> impl Future<Output = Result<IssuedCredentials, FetchError>> + Send;

    /// Whether something has changed, such as a new sign-in, so that another attempt may succeed after a terminal
    /// failure.
    fn changed(&mut self) -> impl Future<Output = bool> + Send {
        ready(false)
    }

    /// What the current attempt waits for if not for the service: a lock, for example. Goes into the error of a
    /// timeout.
    fn waits_for(&self) -> Option<String> {
        None
    }

    /// Takes over the secrets of another provider for the same user. Tokens and sessions stay.
    fn update_secrets(&mut self, other: Self)
    where
        Self: Sized,
    {
        drop(other);
    }
}

/// Credentials as they were issued.
#[derive(Clone, Debug)]
pub struct IssuedCredentials {
    /// The keys and the session token.
    pub credentials: Credentials,
    /// When they were obtained, in AWS's time.
    pub issued_at: SystemTime,
    /// When they end, in AWS's time; `None` for keys that do not.
    pub expiry: Option<SystemTime>,
    /// The user that they belong to.
    pub identity: Identity,
}

/// The user that credentials belong to, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name in the user pool.
    pub username: Option<String>,
    /// The `sub` of the user's token.
    pub subject: Option<String>,
    /// The identity pool's id of the user.
    pub identity_id: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.username, &self.identity_id) {
            (Some(username), Some(identity_id)) => write!(f, "{username} ({identity_id})"),
            (Some(name), None) | (None, Some(name)) => f.write_str(name),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// Why there are no new credentials.
#[derive(Debug)]
pub enum FetchError {
    /// A retry may succeed.
    Transient {
        /// The `Retry-After` of the service.
        retry_after: Option<Duration>,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No attempt will succeed before a person acts.
    Terminal {
        /// What that person should do. Clients see it, so it must contain no secret.
        remedy: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl FetchError {
    /// A failure that may pass by itself.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Transient { retry_after: None, source: source.into() }
    }

    /// A failure that stays until a person acts.
    pub fn terminal(remedy: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Terminal { remedy: remedy.into(), source: source.into() }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient { .. } => f.write_str("credentials could not be obtained for the moment"),
            Self::Terminal { remedy, .. } => write!(f, "credentials cannot be obtained: {remedy}"),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Transient { source, .. } | Self::Terminal { source, .. } => Some(source.as_ref()),
        }
    }
}
