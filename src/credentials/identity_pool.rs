//! A client of the identity pool: the identity of a login, the credentials of an identity.

mod failure;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_cognitoidentity::config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use secrecy::{ExposeSecret, SecretString};

use super::{IdentityPool, RoleChoice};
use crate::aws_http;

pub use failure::IdentityPoolError;
use failure::classify;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The session name of the assumed role, which CloudTrail shows.
const ROLE_SESSION_NAME: &str = "countersign";

/// An entry of `Logins`: the provider's key and its token.
#[derive(Clone, Debug)]
pub struct LoginToken {
    /// `cognito-idp.REGION.amazonaws.com/POOL`, or another provider's key.
    pub provider: String,
    /// The ID token.
    pub token: SecretString,
}

/// Credentials that the identity pool has vended.
#[derive(Debug)]
pub struct Vended {
    /// The identity, which may differ from the requested one.
    pub identity_id: String,
    /// The credentials.
    pub credentials: Credentials,
    /// When they end.
    pub expiry: SystemTime,
}

/// A client of one identity pool.
#[derive(Debug)]
pub struct IdentityPoolClient {
    client: aws_sdk_cognitoidentity::Client,
    sts: Option<aws_sdk_sts::Client>,
    pool: IdentityPool,
}

impl IdentityPoolClient {
    /// A client that calls through `connector`. It does not retry: the refresher does.
    #[must_use]
    pub fn new(pool: IdentityPool, connector: SharedHttpConnector) -> Self {
        let region = Region::new(pool.id.region().to_owned());
        let timeouts = TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build();
        let config = aws_sdk_cognitoidentity::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .endpoint_url(&pool.endpoint)
            .http_client(aws_http::client(connector.clone()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.clone())
            .build();
        let sts = match &pool.role {
            RoleChoice::Classic { sts_endpoint, .. } => {
                let config = aws_sdk_sts::Config::builder()
                    .behavior_version(BehaviorVersion::latest())
                    .region(region)
                    .endpoint_url(sts_endpoint)
                    .http_client(aws_http::client(connector))
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(timeouts)
                    .build();
                Some(aws_sdk_sts::Client::from_conf(config))
            }
            RoleChoice::Pool | RoleChoice::Custom(_) => None,
        };
        Self { client: aws_sdk_cognitoidentity::Client::from_conf(config), sts, pool }
    }

    /// The identity of `login`, or of a new guest if that is `None`.
    ///
    /// # Errors
    /// See [`IdentityPoolError`].
    pub async fn identity(&self, login: Option<&LoginToken>) -> Result<String, IdentityPoolError> {
        let mut call = self.client.get_id().identity_pool_id(self.pool.id.to_string());
        if let Some(login) = login {
            call = call.logins(&login.provider, login.token.expose_secret());
        }
        let output = call.send().await.map_err(|error| classify(&error))?;
        output.identity_id.ok_or_else(|| incomplete("GetId"))
    }

    /// Credentials of `identity_id`, by the flow of the role choice.
    ///
    /// # Errors
    /// See [`IdentityPoolError`].
    pub async fn credentials(
        &self,
        identity_id: &str,
        login: Option<&LoginToken>,
    ) -> Result<Vended, IdentityPoolError> {
        match (&self.pool.role, &self.sts) {
            (RoleChoice::Classic { role_arn, .. }, Some(sts)) => {
                self.assume_role(sts, role_arn, identity_id, login).await
            }
            (RoleChoice::Custom(role), _) => self.enhanced(identity_id, login, Some(role)).await,
            (RoleChoice::Pool | RoleChoice::Classic { .. }, _) => {
                self.enhanced(identity_id, login, None).await
            }
        }
    }

    async fn enhanced(
        &self,
        identity_id: &str,
        login: Option<&LoginToken>,
        role: Option<&str>,
    ) -> Result<Vended, IdentityPoolError> {
        let mut call = self
            .client
            .get_credentials_for_identity()
            .identity_id(identity_id)
            .set_custom_role_arn(role.map(str::to_owned));
        if let Some(login) = login {
            call = call.logins(&login.provider, login.token.expose_secret());
        }
        let output = call.send().await.map_err(|error| classify(&error))?;
        let identity_id = output.identity_id.unwrap_or_else(|| identity_id.to_owned());
        let vended = output.credentials.and_then(|given| {
            let expiry = SystemTime::try_from(given.expiration?).ok()?;
            let keys = (given.access_key_id?, given.secret_key?, given.session_token?);
            Some(vended(identity_id, keys, expiry))
        });
        vended.ok_or_else(|| incomplete("GetCredentialsForIdentity"))
    }

    /// The classic flow: an OpenID token of the identity pool, and AssumeRoleWithWebIdentity with it.
    async fn assume_role(
        &self,
        sts: &aws_sdk_sts::Client,
        role_arn: &str,
        identity_id: &str,
        login: Option<&LoginToken>,
    ) -> Result<Vended, IdentityPoolError> {
        let mut call = self.client.get_open_id_token().identity_id(identity_id);
        if let Some(login) = login {
            call = call.logins(&login.provider, login.token.expose_secret());
        }
        let output = call.send().await.map_err(|error| classify(&error))?;
        let identity_id = output.identity_id.unwrap_or_else(|| identity_id.to_owned());
        let token = output.token.ok_or_else(|| incomplete("GetOpenIdToken"))?;
        let output = sts
            .assume_role_with_web_identity()
            .role_arn(role_arn)
            .role_session_name(ROLE_SESSION_NAME)
            .web_identity_token(token)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        let vended = output.credentials.and_then(|given| {
            let expiry = SystemTime::try_from(given.expiration).ok()?;
            let keys = (given.access_key_id, given.secret_access_key, given.session_token);
            Some(vended(identity_id, keys, expiry))
        });
        vended.ok_or_else(|| incomplete("AssumeRoleWithWebIdentity"))
    }
}

fn vended(identity_id: String, (id, secret, token): (String, String, String), expiry: SystemTime) -> Vended {
    let credentials = Credentials::new(id, secret, Some(token), Some(expiry), "cognito-identity");
    Vended { identity_id, credentials, expiry }
}

fn incomplete(operation: &str) -> IdentityPoolError {
    let message = format!("the answer to {operation} is not complete");
    IdentityPoolError::Transient { message, retry_after: None }
}
