//! A user's login at a user pool: tokens at hand, then the refresh token, then the password.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::{
    UserPool,
    identity_pool::LoginToken,
    source::{FetchError, Identity},
    user_pool::{self, InvalidTotpSecret, RefreshGrant, Tokens, Unattended, User, UserPoolClient, Verdict},
};
use crate::clock::Clock;

/// What an ID token must have left to be used once more.
const ENOUGH: Duration = Duration::from_secs(120);

/// The way from a user to an ID token that is valid now.
#[derive(Debug)]
pub(super) struct UserLogin {
    client: UserPoolClient,
    pool: UserPool,
    answers: Unattended,
    clock: Clock,
    tokens: Option<Tokens>,
    grant: Option<RefreshGrant>,
}

impl UserLogin {
    pub(super) fn new(
        pool: UserPool,
        connector: SharedHttpConnector,
        clock: Clock,
    ) -> Result<Self, InvalidTotpSecret> {
        let answers = Unattended::new(pool.totp_secret.as_ref())?;
        let client = UserPoolClient::new(pool.clone(), connector, clock.clone());
        Ok(Self { client, pool, answers, clock, tokens: None, grant: None })
    }

    /// The identity pool has refused the token: the next one is a new one.
    pub(super) fn distrust_token(&mut self) {
        self.tokens = None;
    }

    /// A token that is valid now, by the cheapest way that works.
    pub(super) async fn token(&mut self) -> Result<(LoginToken, Identity), FetchError> {
        if !self.tokens.as_ref().is_some_and(|tokens| self.is_usable(tokens)) {
            self.tokens = Some(match self.renew().await? {
                Some(tokens) => tokens,
                None => self.sign_in().await?,
            });
        }
        let tokens = self.tokens.as_ref().expect("set just before");
        let provider = self.pool.login_provider.clone();
        let login = LoginToken {
            provider: provider.unwrap_or_else(|| tokens.claims.login_provider().to_owned()),
            token: tokens.id_token.clone(),
        };
        let identity = Identity {
            username: Some(tokens.username.clone()),
            subject: Some(tokens.claims.subject.clone()),
            identity_id: None,
        };
        Ok((login, identity))
    }

    fn is_usable(&self, tokens: &Tokens) -> bool {
        tokens.claims.expiry.duration_since(self.clock.now()).is_ok_and(|left| left >= ENOUGH)
    }

    /// New tokens by the refresh token; `None` when there is none, or none that is still good.
    async fn renew(&mut self) -> Result<Option<Tokens>, FetchError> {
        let Some(grant) = self.grant.take() else { return Ok(None) };
        match self.client.refresh(&grant).await {
            Ok(tokens) => {
                self.grant = Some(grant.after(&tokens));
                Ok(Some(tokens))
            }
            Err(error) if matches!(error.verdict(), Verdict::SessionOver) => {
                tracing::info!(%error, "the session at the user pool is over");
                Ok(None)
            }
            Err(error) => {
                self.grant = Some(grant);
                Err(failed(error))
            }
        }
    }

    async fn sign_in(&mut self) -> Result<Tokens, FetchError> {
        let (Some(username), Some(password)) = (&self.pool.username, &self.pool.password) else {
            return Err(FetchError::terminal(
                "sign in with `countersign login`, or set username and password-file",
                "there is neither a stored session nor a password",
            ));
        };
        let user = User { username, password: Some(password), device: None };
        let signed_in = self.client.sign_in(&user, &mut self.answers).await.map_err(failed)?;
        self.grant = signed_in.refresh_grant();
        Ok(signed_in.tokens)
    }
}

/// What the user pool's answer means for the next attempt.
fn failed(error: user_pool::Error) -> FetchError {
    match error.verdict() {
        Verdict::Transient { retry_after } => FetchError::Transient { retry_after, source: error.into() },
        Verdict::SessionOver => FetchError::terminal("sign in again with `countersign login`", error),
        Verdict::PersonNeeded { advice } => FetchError::terminal(advice, error),
        Verdict::Misconfigured { advice, .. } => FetchError::terminal(advice, error),
    }
}
