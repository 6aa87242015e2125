//! Cognito as a source of credentials: a login, its identity, credentials for it.

use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::{
    Cognito, IdentityPool, Login,
    identity_pool::{IdentityPoolClient, IdentityPoolError, LoginToken, Vended},
    login::UserLogin,
    source::{FetchError, Identity, Issued, Source},
    user_pool::InvalidTotpSecret,
};
use crate::clock::Clock;

/// Credentials of a Cognito identity.
#[derive(Debug)]
pub struct CognitoSource {
    who: Who,
    identity_pool: IdentityPoolClient,
    /// Looked up once: it stays the same for one login.
    identity_id: Option<String>,
    clock: Clock,
}

#[derive(Debug)]
enum Who {
    Guest,
    User(Box<UserLogin>),
}

impl CognitoSource {
    /// The source for a user.
    ///
    /// # Errors
    /// When the TOTP secret is not base32.
    pub fn user(
        settings: Cognito,
        connector: SharedHttpConnector,
        clock: Clock,
    ) -> Result<Self, InvalidTotpSecret> {
        let who = match settings.login {
            Login::UserPool(pool) => {
                Who::User(Box::new(UserLogin::new(pool, connector.clone(), clock.clone())?))
            }
            Login::IdTokenFile { .. } => Who::Guest,
        };
        Ok(Self::new(who, settings.identity_pool, connector, clock))
    }

    /// The source for the identity pool's guests.
    #[must_use]
    pub fn guest(identity_pool: IdentityPool, connector: SharedHttpConnector, clock: Clock) -> Self {
        Self::new(Who::Guest, identity_pool, connector, clock)
    }

    fn new(who: Who, identity_pool: IdentityPool, connector: SharedHttpConnector, clock: Clock) -> Self {
        Self {
            who,
            identity_pool: IdentityPoolClient::new(identity_pool, connector),
            identity_id: None,
            clock,
        }
    }

    async fn login(&mut self) -> Result<(Option<LoginToken>, Identity), FetchError> {
        match &mut self.who {
            Who::Guest => Ok((None, Identity::default())),
            Who::User(login) => login.token().await.map(|(token, identity)| (Some(token), identity)),
        }
    }

    async fn vend(&mut self, login: Option<&LoginToken>) -> Result<Vended, IdentityPoolError> {
        let identity_id = match &self.identity_id {
            Some(identity_id) => identity_id.clone(),
            None => self.identity_pool.identity(login).await?,
        };
        let vended = self.identity_pool.credentials(&identity_id, login).await?;
        // The pool may have merged identities: the one it names is the one that lives.
        self.identity_id = Some(vended.identity_id.clone());
        Ok(vended)
    }
}

impl Source for CognitoSource {
    async fn fetch(&mut self) -> Result<Issued, FetchError> {
        let mut second = false;
        loop {
            let (login, mut identity) = self.login().await?;
            let error = match self.vend(login.as_ref()).await {
                Ok(vended) => {
                    identity.identity_id = Some(vended.identity_id);
                    return Ok(Issued {
                        credentials: vended.credentials,
                        issued_at: self.clock.now(),
                        expiry: Some(vended.expiry),
                        identity,
                    });
                }
                Err(error) => error,
            };
            match (&error, &mut self.who) {
                (IdentityPoolError::TokenExpired(_), Who::User(login)) if !second => login.distrust_token(),
                (IdentityPoolError::IdentityGone(_), _) if !second && self.identity_id.is_some() => {
                    self.identity_id = None;
                }
                (IdentityPoolError::Transient(_), _) => return Err(FetchError::transient(error)),
                _ => return Err(FetchError::terminal(remedy(&error), error)),
            }
            second = true;
        }
    }
}

fn remedy(error: &IdentityPoolError) -> &'static str {
    let message = error.to_string();
    let words: [(&str, &str); 6] = [
        ("Unauthenticated access", "allow guests in the identity pool, or set credentials to cognito"),
        ("supported provider", "add the user pool and its client to the identity pool's login providers"),
        (
            "Issuer doesn't match",
            "check login-provider, user-pool-id and the identity pool's login providers",
        ),
        ("IdentityPool", "check identity-pool-id"),
        ("InvalidIdentityPoolConfiguration", "give the identity pool a role whose trust policy names it"),
        ("aud", "use an ID token, not an access token"),
    ];
    words
        .iter()
        .find(|(word, _)| message.contains(word))
        .map_or("check identity-pool-id and the identity pool's roles and login providers", |(_, remedy)| {
            remedy
        })
}
