//! A user's login at a user pool, in the cheapest way that works: current tokens, a refresh token, the password.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    UserPool,
    identity_pool::LoginToken,
    provider::{FetchError, Identity},
    session::{self, RenewError, Renewed, SessionEnded, SessionStore, Wait},
    user_pool::{self, InvalidTotpSecret, RefreshGrant, Tokens, Unattended, User, UserPoolClient, Verdict},
};
use crate::clock::Clock;

/// How long an ID token must still be valid to be used.
const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(120);

/// How long to wait for the store to remember an identity. Without it one call, GetId, is made again later.
const REMEMBER_TIMEOUT: Duration = Duration::from_secs(1);

/// Obtains ID tokens of one user.
#[derive(Debug)]
pub(super) struct UserLogin {
    client: Arc<UserPoolClient>,
    pool: UserPool,
    answers: Unattended,
    clock: Clock,
    store: Option<SessionStore>,
    tokens: Option<Tokens>,
    /// The refresh token of a sign-in by password. It is kept in memory only.
    grant: Option<RefreshGrant>,
    /// The current renewal of the stored session. It runs to its end even if the attempt that started it times out.
    renewal: Option<JoinHandle<Result<Renewed, RenewError>>>,
    /// The time of change of the stored session that was used last.
    used_session: Option<SystemTime>,
    identity_id: Option<String>,
    /// Whether new secrets have come that no attempt has used.
    has_new_secrets: bool,
    /// Why the last session ended.
    ended: Option<SessionEnded>,
}

impl UserLogin {
    pub(super) fn new(
        pool: UserPool,
        connector: SharedHttpConnector,
        clock: Clock,
    ) -> Result<Self, InvalidTotpSecret> {
        Ok(Self {
            answers: Unattended::new(pool.totp_secret.as_ref())?,
            client: Arc::new(UserPoolClient::new(pool.clone(), connector, clock.clone())),
            store: store(&pool.state_dir, &pool),
            pool,
            clock,
            tokens: None,
            grant: None,
            renewal: None,
            used_session: None,
            identity_id: None,
            has_new_secrets: false,
            ended: None,
        })
    }

    /// Discards the token, which the identity pool has refused, so that the next attempt uses a new one.
    pub(super) fn discard_token(&mut self) {
        self.tokens = None;
    }

    /// Takes over the secrets of another login of the same user. Tokens and the current renewal stay.
    pub(super) fn update_secrets(&mut self, other: Self) {
        self.has_new_secrets |= !self.pool.has_secrets_of(&other.pool);
        self.client = other.client;
        self.answers = other.answers;
        self.pool = other.pool;
    }

    /// Whether another attempt may succeed, because of a sign-in since the stored session was used or because of new
    /// secrets. Each of these counts once.
    pub(super) async fn worth_retrying(&mut self) -> bool {
        let changed_at = self.session_changed_at().await;
        let has_new_session = changed_at.is_some() && changed_at != self.used_session;
        if !has_new_session && !std::mem::take(&mut self.has_new_secrets) {
            return false;
        }
        self.used_session = changed_at;
        // These come from the sign-in that failed.
        self.tokens = None;
        self.grant = None;
        true
    }

    /// What the current attempt waits for at the stored session.
    pub(super) fn waits_for(&self) -> Option<Wait> {
        self.store.as_ref().and_then(SessionStore::waits_for)
    }

    async fn session_changed_at(&self) -> Option<SystemTime> {
        match &self.store {
            Some(store) => store.changed_at().await,
            None => None,
        }
    }

    /// The identity that the stored session remembers.
    pub(super) fn remembered_identity(&self) -> Option<String> {
        self.identity_id.clone()
    }

    /// Forgets the identity, which the identity pool no longer knows.
    pub(super) fn forget_identity(&mut self) {
        self.identity_id = None;
    }

    /// Stores an identity with the session. If that fails, GetId is called again later.
    pub(super) async fn remember_identity(&mut self, identity_pool: &str, identity_id: &str) {
        if self.identity_id.as_deref() == Some(identity_id) {
            return;
        }
        self.identity_id = Some(identity_id.to_owned());
        let (Some(store), None) = (&self.store, &self.grant) else { return };
        match timeout(REMEMBER_TIMEOUT, store.remember_identity(identity_pool, identity_id)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the identity id is not stored"),
            Err(_) => tracing::debug!("the identity id is not stored, the store is busy"),
        }
        self.used_session = self.session_changed_at().await;
    }

    /// A token that is valid now, obtained in the cheapest way that works.
    pub(super) async fn token(&mut self, identity_pool: &str) -> Result<(LoginToken, Identity), FetchError> {
        if !self.tokens.as_ref().is_some_and(|tokens| self.is_usable(tokens)) {
            let tokens = match self.renew(identity_pool).await? {
                Some(tokens) => tokens,
                None => self.sign_in().await?,
            };
            self.tokens = Some(tokens);
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
        tokens.claims.expiry.duration_since(self.clock.now()).is_ok_and(|left| left >= MIN_TOKEN_LIFETIME)
    }

    /// New tokens for a refresh token; `None` without a refresh token that is still good.
    async fn renew(&mut self, identity_pool: &str) -> Result<Option<Tokens>, FetchError> {
        // Cloned, so that an attempt that is cancelled half way does not lose the grant.
        match self.grant.clone() {
            Some(grant) => self.renew_in_memory(grant).await,
            None => self.renew_stored(identity_pool).await,
        }
    }

    async fn renew_in_memory(&mut self, grant: RefreshGrant) -> Result<Option<Tokens>, FetchError> {
        match self.client.refresh(&grant).await {
            Ok(tokens) => {
                self.grant = Some(grant.after(&tokens));
                Ok(Some(tokens))
            }
            Err(error) if error.verdict() == Verdict::SessionOver => {
                tracing::info!(%error, "the session at the user pool is over");
                self.grant = None;
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn renew_stored(&mut self, identity_pool: &str) -> Result<Option<Tokens>, FetchError> {
        let Some(store) = self.store.clone() else { return Ok(None) };
        if self.renewal.is_none() {
            self.used_session = store.changed_at().await;
        }
        let (client, username) = (&self.client, &self.pool.username);
        let renewal = self.renewal.get_or_insert_with(|| {
            let (client, username) = (Arc::clone(client), username.clone());
            session::run_to_end(async move { store.renew(&client, username.as_deref()).await })
        });
        let renewed = renewal.await;
        self.renewal = None;
        match renewed.map_err(FetchError::transient)? {
            Ok(Renewed { tokens, session }) => {
                self.used_session = self.session_changed_at().await;
                self.identity_id = session.identity_ids.get(identity_pool).cloned();
                self.ended = None;
                Ok(Some(tokens))
            }
            Err(RenewError::SignedOut(ended)) => {
                self.ended = ended;
                Ok(None)
            }
            Err(RenewError::UserPool(error)) if error.verdict() == Verdict::SessionOver => {
                self.used_session = self.session_changed_at().await;
                tracing::info!(%error, "the stored session is over");
                self.ended = Some(SessionEnded::of(&error));
                Ok(None)
            }
            Err(RenewError::UserPool(error)) => Err(failed(error)),
            Err(RenewError::Store(error)) if self.pool.password.is_some() => {
                tracing::warn!(%error, "the stored session is not used");
                Ok(None)
            }
            Err(RenewError::Store(error)) => Err(match error.remedy() {
                Some(remedy) => FetchError::terminal(remedy, RenewError::Store(error)),
                None => FetchError::transient(RenewError::Store(error)),
            }),
        }
    }

    async fn sign_in(&mut self) -> Result<Tokens, FetchError> {
        self.has_new_secrets = false;
        let (Some(username), Some(password)) = (&self.pool.username, &self.pool.password) else {
            return Err(match self.ended.clone() {
                Some(ended) => FetchError::terminal("sign in again with `countersign login`", ended),
                None => FetchError::terminal(
                    "sign in with `countersign login`, or set username and password-file",
                    "there is neither a stored session nor a password",
                ),
            });
        };
        let user = User { username, password: Some(password), device: None };
        let signed_in = self.client.sign_in(&user, &mut self.answers).await.map_err(failed)?;
        self.grant = signed_in.refresh_grant();
        Ok(signed_in.tokens)
    }
}

/// The store of the sessions of `pool`, in `folder`.
fn store(folder: &Option<PathBuf>, pool: &UserPool) -> Option<SessionStore> {
    folder.as_ref().map(|folder| SessionStore::new(folder, &pool.id, &pool.client_id))
}

/// Whether the user pool's answer allows another attempt.
fn failed(error: user_pool::Error) -> FetchError {
    let verdict = error.verdict();
    match (verdict, verdict.advice()) {
        (Verdict::Transient { retry_after }, _) => {
            FetchError::Transient { retry_after, source: error.into() }
        }
        (_, advice) => FetchError::terminal(advice.unwrap_or("sign in again"), error),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::{
        aws_http::foreign::ForeignAnswer,
        credentials::{
            AuthFlow,
            user_pool::script::{Script, clock, pool, tokens},
        },
    };

    #[tokio::test]
    async fn a_token_that_is_about_to_end_is_renewed_before_it_is_used() {
        // The tokens last an hour.
        for (seconds, calls) in [(3_600 - 120, 1), (3_600 - 119, 2)] {
            let script = Script::new([tokens(Some("refresh-1")), tokens(None)]);
            let pool = UserPool {
                auth_flow: AuthFlow::Password,
                username: Some("me".to_owned()),
                password: Some(SecretString::from("hunter22")),
                ..pool()
            };
            let clock = clock();
            let connector = SharedHttpConnector::new(script.clone());
            let mut login = UserLogin::new(pool, connector, clock.clone()).expect("no TOTP secret");
            login.token("eu-west-1:pool").await.expect("signed in");
            clock.observe(clock.local() + Duration::from_secs(seconds), clock.local());
            login.token("eu-west-1:pool").await.expect("still signed in");
            assert_eq!(script.requests().len(), calls, "{seconds}");
        }
    }

    #[test]
    fn a_user_pool_that_is_out_of_reach_says_when_to_come_back() {
        let wait = Some(Duration::from_secs(7));
        let answer = ForeignAnswer::new(503, b"<html>busy</html>");
        let error = failed(user_pool::Error::Foreign { answer, retry_after: wait });
        let FetchError::Transient { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, wait);
        let error = failed(user_pool::Error::TooManyChallenges);
        assert!(matches!(error, FetchError::Terminal { .. }), "{error:?}");
    }
}
