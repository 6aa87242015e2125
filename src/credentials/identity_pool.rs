//! The identity pool: an identity for a login, credentials for an identity.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_cognitoidentity::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use secrecy::{ExposeSecret, SecretString};

use super::{IdentityPool, RoleChoice, aws_http};

const CALL: Duration = Duration::from_secs(10);

/// A login as the identity pool takes it: the provider's key and its token.
#[derive(Clone, Debug)]
pub struct LoginToken {
    /// `cognito-idp.REGION.amazonaws.com/POOL`, or another provider's key.
    pub provider: String,
    /// The ID token.
    pub token: SecretString,
}

/// What the identity pool gave.
#[derive(Debug)]
pub struct Vended {
    /// The identity, which may differ from the one asked about.
    pub identity_id: String,
    /// The credentials.
    pub credentials: Credentials,
    /// When they end.
    pub expiry: SystemTime,
}

/// How the identity pool answered instead, by what the caller can do about it.
#[derive(Debug)]
pub enum IdentityPoolError {
    /// The token has expired: a newer one may be taken.
    TokenExpired(String),
    /// The identity is gone or belongs to another login: it is looked up again.
    IdentityGone(String),
    /// The pool is busy, or out of reach.
    Transient(String),
    /// The pool refuses; its words.
    Refused(String),
}

impl std::fmt::Display for IdentityPoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TokenExpired(message) | Self::IdentityGone(message) | Self::Refused(message) => {
                write!(f, "the identity pool refused: {message}")
            }
            Self::Transient(message) => write!(f, "the identity pool could not be asked: {message}"),
        }
    }
}

impl std::error::Error for IdentityPoolError {}

/// A client of one identity pool.
#[derive(Debug)]
pub struct IdentityPoolClient {
    client: Client,
    pool: IdentityPool,
}

impl IdentityPoolClient {
    /// A client that calls through `connector`, without retries of its own.
    #[must_use]
    pub fn new(pool: IdentityPool, connector: SharedHttpConnector) -> Self {
        let config = aws_sdk_cognitoidentity::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(pool.id.region().to_owned()))
            .endpoint_url(&pool.endpoint)
            .http_client(aws_http::client(connector))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(CALL).build())
            .build();
        Self { client: Client::from_conf(config), pool }
    }

    /// The identity of `login`, or a new guest without one.
    ///
    /// # Errors
    /// As [`IdentityPoolError`] tells.
    pub async fn identity(&self, login: Option<&LoginToken>) -> Result<String, IdentityPoolError> {
        let mut call = self.client.get_id().identity_pool_id(self.pool.id.to_string());
        if let Some(login) = login {
            call = call.logins(&login.provider, login.token.expose_secret());
        }
        let output = call.send().await.map_err(|error| classify(&error))?;
        output.identity_id.ok_or_else(|| IdentityPoolError::Transient("GetId named no identity".into()))
    }

    /// Credentials of `identity_id`, by the enhanced flow.
    ///
    /// # Errors
    /// As [`IdentityPoolError`] tells.
    pub async fn credentials(
        &self,
        identity_id: &str,
        login: Option<&LoginToken>,
    ) -> Result<Vended, IdentityPoolError> {
        let mut call = self.client.get_credentials_for_identity().identity_id(identity_id);
        if let Some(login) = login {
            call = call.logins(&login.provider, login.token.expose_secret());
        }
        if let RoleChoice::Custom(role) = &self.pool.role {
            call = call.custom_role_arn(role);
        }
        let output = call.send().await.map_err(|error| classify(&error))?;
        let identity_id = output.identity_id.unwrap_or_else(|| identity_id.to_owned());
        output
            .credentials
            .and_then(|given| {
                let expiry = SystemTime::try_from(given.expiration?).ok()?;
                let credentials = Credentials::new(
                    given.access_key_id?,
                    given.secret_key?,
                    Some(given.session_token?),
                    Some(expiry),
                    "cognito-identity",
                );
                Some(Vended { identity_id, credentials, expiry })
            })
            .ok_or_else(|| IdentityPoolError::Transient("the credentials are not complete".into()))
    }
}

fn classify<E, R>(error: &SdkError<E, R>) -> IdentityPoolError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let SdkError::ServiceError(service) = error else {
        return IdentityPoolError::Transient(DisplayErrorContext(error).to_string());
    };
    let code = service.err().code().unwrap_or("unknown");
    let message = service.err().message().unwrap_or_default();
    let text = format!("{code}: {message}");
    match code {
        "NotAuthorizedException" if message.contains("Token expired") => {
            IdentityPoolError::TokenExpired(text)
        }
        "NotAuthorizedException" if message.starts_with("Logins don't match") => {
            IdentityPoolError::IdentityGone(text)
        }
        "ResourceNotFoundException" if message.starts_with("Identity ") => {
            IdentityPoolError::IdentityGone(text)
        }
        "ResourceConflictException" => IdentityPoolError::IdentityGone(text),
        "TooManyRequestsException"
        | "LimitExceededException"
        | "InternalErrorException"
        | "ExternalServiceException"
        | "ConcurrentModificationException"
        | "unknown" => IdentityPoolError::Transient(text),
        throttled if throttled.starts_with("Throttling") => IdentityPoolError::Transient(text),
        _ => IdentityPoolError::Refused(text),
    }
}
