//! Obtains credentials from Cognito: a login, the identity of the login, credentials of the identity.

use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::{
    Cognito, IdentityPool, Login,
    identity_pool::{IdentityPoolClient, IdentityPoolError, LoginToken, Vended},
    login::UserLogin,
    provider::{CredentialsProvider, FetchError, Identity, IssuedCredentials},
    token_file::TokenFile,
    user_pool::InvalidTotpSecret,
};
use crate::clock::Clock;

/// Obtains the credentials of a Cognito identity.
#[derive(Debug)]
pub struct CognitoProvider {
    login: LoginSource,
    pool_id: String,
    identity_pool: IdentityPoolClient,
    /// Looked up once, since it stays the same for one login.
    identity_id: Option<String>,
    clock: Clock,
}

#[derive(Debug)]
enum LoginSource {
    Guest,
    User(Box<UserLogin>),
    TokenFile(TokenFile),
}

impl CognitoProvider {
    /// The provider for a user who logs in.
    ///
    /// # Errors
    /// When the TOTP secret is not base32.
    pub fn login(
        settings: Cognito,
        connector: SharedHttpConnector,
        clock: Clock,
    ) -> Result<Self, InvalidTotpSecret> {
        let login = match settings.login {
            Login::UserPool(pool) => {
                LoginSource::User(Box::new(UserLogin::new(pool, connector.clone(), clock.clone())?))
            }
            Login::IdTokenFile { path, login_provider } => {
                LoginSource::TokenFile(TokenFile::new(path, login_provider, clock.clone()))
            }
        };
        Ok(Self::new(login, settings.identity_pool, connector, clock))
    }

    /// The provider for the identity pool's guests.
    #[must_use]
    pub fn guest(identity_pool: IdentityPool, connector: SharedHttpConnector, clock: Clock) -> Self {
        Self::new(LoginSource::Guest, identity_pool, connector, clock)
    }

    fn new(login: LoginSource, pool: IdentityPool, connector: SharedHttpConnector, clock: Clock) -> Self {
        let pool_id = pool.id.to_string();
        let identity_pool = IdentityPoolClient::new(pool, connector);
        Self { login, pool_id, identity_pool, identity_id: None, clock }
    }

    async fn token(&mut self) -> Result<(Option<LoginToken>, Identity), FetchError> {
        let (token, identity) = match &mut self.login {
            LoginSource::Guest => return Ok((None, Identity::default())),
            LoginSource::User(login) => {
                let token = login.token(&self.pool_id).await?;
                self.identity_id = self.identity_id.take().or_else(|| login.remembered_identity());
                token
            }
            LoginSource::TokenFile(file) => file.token().await?,
        };
        Ok((Some(token), identity))
    }

    async fn vend(&mut self, login: Option<&LoginToken>) -> Result<Vended, IdentityPoolError> {
        let identity_id = match &self.identity_id {
            Some(identity_id) => identity_id.clone(),
            None => self.identity_pool.identity(login).await?,
        };
        let vended = self.identity_pool.credentials(&identity_id, login).await?;
        // The pool may have merged identities. The one in its answer is the one to use from now on.
        self.identity_id = Some(vended.identity_id.clone());
        if let LoginSource::User(login) = &mut self.login {
            login.remember_identity(&self.pool_id, &vended.identity_id).await;
        }
        Ok(vended)
    }

    fn forget_identity(&mut self) {
        self.identity_id = None;
        if let LoginSource::User(login) = &mut self.login {
            login.forget_identity();
        }
    }
}

impl CredentialsProvider for CognitoProvider {
    async fn fetch(&mut self) -> Result<IssuedCredentials, FetchError> {
        // Both at most once. A user pool that was replaced needs both: the identity pool knows neither its tokens nor
        // its identities any more.
        let (mut token_replaced, mut identity_replaced) = (false, false);
        loop {
            let (login, identity) = self.token().await?;
            let error = match self.vend(login.as_ref()).await {
                Ok(vended) => {
                    return Ok(IssuedCredentials {
                        credentials: vended.credentials,
                        issued_at: self.clock.now(),
                        expiry: Some(vended.expiry),
                        identity: Identity { identity_id: Some(vended.identity_id), ..identity },
                    });
                }
                Err(error) => error,
            };
            match (&error, &mut self.login) {
                (
                    IdentityPoolError::TokenExpired(_) | IdentityPoolError::TokenUnverified(_),
                    LoginSource::User(login),
                ) if !token_replaced => {
                    login.discard_token();
                    token_replaced = true;
                }
                (IdentityPoolError::IdentityGone(_), _)
                    if !identity_replaced && self.identity_id.is_some() =>
                {
                    self.forget_identity();
                    identity_replaced = true;
                }
                (IdentityPoolError::Transient { retry_after, .. }, _) => {
                    return Err(FetchError::Transient { retry_after: *retry_after, source: error.into() });
                }
                (IdentityPoolError::TokenExpired(_), LoginSource::TokenFile(_)) => {
                    return Err(FetchError::transient(error));
                }
                _ => return Err(FetchError::terminal(error.remedy(), error)),
            }
        }
    }

    async fn changed(&mut self) -> bool {
        match &mut self.login {
            LoginSource::Guest => false,
            LoginSource::User(login) => login.worth_retrying().await,
            LoginSource::TokenFile(file) => file.changed().await,
        }
    }

    fn waits_for(&self) -> Option<String> {
        match &self.login {
            LoginSource::User(login) => login.waits_for().map(|wait| wait.to_string()),
            LoginSource::Guest | LoginSource::TokenFile(_) => None,
        }
    }

    fn update_secrets(&mut self, other: Self) {
        if let (LoginSource::User(own), LoginSource::User(other)) = (&mut self.login, other.login) {
            own.update_secrets(*other);
        }
    }
}
