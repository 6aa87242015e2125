//! What every source of credentials gives, and how it fails.

use std::{
    error::Error,
    fmt,
    future::{Future, ready},
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;

/// Something that obtains credentials: one sign-in at Cognito, the SDK's default chain.
pub trait CredentialsProvider: Send + 'static {
    /// Obtains new credentials, by the cheapest way that still works.
    fn fetch(&mut self) -> impl Future<Output = Result<IssuedCredentials, FetchError>> + Send;

    /// Whether something changed outside, so that a terminal failure is worth another attempt.
    fn changed(&mut self) -> impl Future<Output = bool> + Send {
        ready(false)
    }

    /// What an attempt that is under way waits for, when that is not the service: for whoever gives up waiting.
    fn waits_for(&self) -> Option<String> {
        None
    }

    /// Takes over the secrets of another source for the same user; what has been obtained stays.
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
    /// Whose they are.
    pub identity: Identity,
}

/// Whose credentials these are, as far as is known.
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
    /// Another attempt may succeed.
    Transient {
        /// How long the service asked to wait.
        retry_after: Option<Duration>,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No attempt will succeed before a person acts.
    Terminal {
        /// What that person should do; shown to clients, so it names no secret.
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
