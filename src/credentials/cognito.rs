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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::credentials::{
        RoleChoice,
        user_pool::script::{NOW, Script, answer, clock, refused},
    };

    fn guest(script: &Script) -> CognitoProvider {
        let pool = IdentityPool {
            id: "eu-west-1:01234567-89ab-cdef-0123-456789abcdef".parse().expect("valid"),
            endpoint: "http://pool.test".to_owned(),
            role: RoleChoice::Pool,
        };
        CognitoProvider::guest(pool, SharedHttpConnector::new(script.clone()), clock())
    }

    #[tokio::test]
    async fn an_identity_pool_that_is_busy_says_when_to_come_back() {
        let mut busy = refused("TooManyRequestsException", "Rate exceeded");
        busy.headers_mut().insert("retry-after", "7");
        let error = guest(&Script::new([busy])).fetch().await.expect_err("busy");
        let FetchError::Transient { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn the_identity_that_the_pool_names_is_asked_about_from_then_on() {
        let credentials = || {
            answer(
                200,
                &json!({"IdentityId": "eu-west-1:merged", "Credentials": {"AccessKeyId": "ASIA", "SecretKey": "secret",
                    "SessionToken": "token", "Expiration": NOW + 3600}}),
            )
        };
        let script = Script::new([
            answer(200, &json!({"IdentityId": "eu-west-1:first"})),
            credentials(),
            credentials(),
        ]);
        let mut source = guest(&script);
        for _ in 0..2 {
            let issued = source.fetch().await.expect("credentials");
            assert_eq!(issued.identity.identity_id.as_deref(), Some("eu-west-1:merged"));
        }
        let asked: Vec<_> = script.requests().iter().map(|(_, body)| body["IdentityId"].clone()).collect();
        assert_eq!(asked, [json!(null), json!("eu-west-1:first"), json!("eu-west-1:merged")]);
    }
}
