//! Sign-in at a Cognito user pool, renewal of its tokens, and their revocation.
//!
//! This is a small client for the few unsigned calls that a sign-in makes: the SDK's crate for the service would add
//! minutes to a clean build and megabytes to the binary. It does not retry; [`Verdict`] says whether a retry makes
//! sense.

mod answers;
mod api;
mod browser;
mod device;
mod error;
mod exchange;
mod operation;
mod refusal;
mod renewal;
mod sign_in;
mod srp;
mod terminal;
mod tokens;
mod unattended;
mod verdict;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use secrecy::{ExposeSecret, SecretString};

use super::UserPool;
use crate::clock::Clock;

pub use answers::{AnswerFuture, Answers, Choice, Factor, Question, Unanswered};
pub(crate) use browser::open_in_browser;
pub use browser::{BrowserError, BrowserSignIn};
pub use device::Device;
pub use error::Error;
pub use exchange::ExchangeError;
pub use operation::Operation;
pub use refusal::{Cause, Refusal};
pub use srp::InvalidServerValue;
pub use terminal::Terminal;
pub(crate) use terminal::is_absence_of_terminal;
pub use tokens::{Claims, InvalidToken, Tokens};
pub use unattended::{InvalidTotpSecret, Unattended};
pub use verdict::Verdict;

use api::{Api, NewDeviceMetadata};
use exchange::Exchange;
use renewal::Renewal;
use sign_in::{Outcome, SignIn};

/// A client of one user pool on behalf of one app client.
#[derive(Debug)]
pub struct UserPoolClient {
    pool: UserPool,
    api: Api,
    renewal: Renewal,
}

/// The user who signs in.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The user name or an alias of it.
    pub username: &'a str,
    /// The password; a question to the user when it is needed and `None`.
    pub password: Option<&'a SecretString>,
    /// The device that the pool has remembered.
    pub device: Option<&'a Device>,
}

/// A user who has signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The tokens.
    pub tokens: Tokens,
    /// The device that the tokens are bound to, if the pool tracks devices.
    pub device: Option<Device>,
}

/// A refresh token and what goes with it to renew tokens.
#[derive(Clone, Debug)]
pub struct RefreshGrant {
    /// The refresh token.
    pub refresh_token: SecretString,
    /// The pool's internal name of the user.
    pub username: String,
    /// The device that the refresh token is bound to.
    pub device: Option<Device>,
}

impl UserPoolClient {
    /// A client for `pool` over `connector`.
    #[must_use]
    pub fn new(pool: UserPool, connector: SharedHttpConnector, clock: Clock) -> Self {
        let api = Api::new(Exchange::new(connector, clock), &pool.endpoint);
        Self { pool, api, renewal: Renewal::default() }
    }

    /// Signs `user` in by the configured flow; `answers` answers the pool's questions.
    ///
    /// # Errors
    /// When the pool refuses or cannot be reached, or a question stays unanswered. The caller must not try a wrong
    /// password again, since the pool would lock the account.
    pub async fn sign_in(&self, user: &User<'_>, answers: &mut dyn Answers) -> Result<SignedIn, Error> {
        let Outcome { mut result, device } = SignIn::new(&self.api, &self.pool, user, answers).run().await?;
        let new_device = result.new_device_metadata.take();
        let tokens = Tokens::new(result)?;
        let device = match new_device {
            Some(metadata) => self.confirm_device(&tokens, metadata).await,
            None => device.cloned(),
        };
        Ok(SignedIn { tokens, device })
    }

    /// Confirms the device. A failure is only logged, since the tokens are good without it until they expire.
    async fn confirm_device(&self, tokens: &Tokens, metadata: NewDeviceMetadata) -> Option<Device> {
        device::confirm(&self.api, &tokens.access_token, metadata).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "device is not remembered, tokens cannot be renewed"
            );
            None
        })
    }

    /// Exchanges a refresh token for new tokens.
    ///
    /// If the result contains a refresh token, the one in `grant` is used up: store the new one before using any token.
    ///
    /// # Errors
    /// When the pool refuses or cannot be reached. [`Verdict::SessionOver`] means that the refresh token is no longer
    /// good.
    pub async fn refresh(&self, grant: &RefreshGrant) -> Result<Tokens, Error> {
        self.renewal.renew(&self.api, &self.pool, grant).await
    }

    /// Renews tokens by REFRESH_TOKEN_AUTH, which leaves the refresh token as it is.
    ///
    /// # Errors
    /// When the pool refuses or cannot be reached. Pools that rotate refresh tokens always refuse, so that
    /// [`Verdict::SessionOver`] says nothing about the refresh token.
    pub async fn refresh_without_rotation(&self, grant: &RefreshGrant) -> Result<Tokens, Error> {
        renewal::without_rotation(&self.api, &self.pool, grant).await
    }

    /// Revokes a refresh token and the access tokens that came from it.
    ///
    /// # Errors
    /// When the pool refuses or cannot be reached.
    pub async fn revoke(&self, refresh_token: &SecretString) -> Result<(), Error> {
        renewal::revoke(&self.api, &self.pool, refresh_token).await
    }
}

impl SignedIn {
    /// The grant that renews the tokens, if the pool issued a refresh token.
    #[must_use]
    pub fn refresh_grant(&self) -> Option<RefreshGrant> {
        Some(RefreshGrant {
            refresh_token: self.tokens.refresh_token.clone()?,
            username: self.tokens.username.clone(),
            device: self.device.clone(),
        })
    }
}

impl RefreshGrant {
    /// The grant to use after this one has given `tokens`.
    #[must_use]
    pub fn after(self, tokens: &Tokens) -> Self {
        match &tokens.refresh_token {
            Some(refresh_token) => Self { refresh_token: refresh_token.clone(), ..self },
            None => self,
        }
    }

    pub(super) fn has_same_token(&self, other: &Self) -> bool {
        self.refresh_token.expose_secret() == other.refresh_token.expose_secret()
    }
}

impl UserPool {
    /// `SECRET_HASH` for `username`, if the app client has a secret.
    fn secret_hash(&self, username: &str) -> Option<String> {
        let secret = self.client_secret.as_ref()?.expose_secret();
        Some(srp::secret_hash(secret, username, &self.client_id))
    }
}

#[cfg(test)]
pub(super) mod script;
#[cfg(test)]
mod tests;
