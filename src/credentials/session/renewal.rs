//! Renews tokens by the stored refresh token, and stores the refresh token that replaces it.

use std::{error, io, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use super::{
    Error, LockedSession, RenewError, Replacement, Session, SessionEnded, SessionStore,
    rotation::{self, Rotation},
};
use crate::credentials::user_pool::{self, RefreshGrant, Tokens, UserPoolClient, Verdict};

/// The pause between two attempts to write.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// How long to try to store the session of a sign-in.
const MAX_RETRY_TIME: Duration = Duration::from_secs(30);

/// New tokens and their session.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The tokens.
    pub tokens: Tokens,
    /// The session, which is stored, or kept in memory and written again until it is.
    pub session: Session,
}

/// A session that is newer than the stored one and could not be written yet.
///
/// It keeps the lock: the stored refresh token has been used up, and another process must not try it.
#[derive(Debug, Default)]
pub(super) struct UnstoredSession {
    session: Option<LoadedSession>,
    is_being_written: bool,
}

impl UnstoredSession {
    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        self.session.as_mut().map(|held| &mut held.session)
    }
}

/// A session and the lock on its file.
#[derive(Debug)]
struct LoadedSession {
    locked: LockedSession,
    session: Session,
    /// The refresh token in the file.
    stored_token: Option<SecretString>,
    /// Present while `session` is newer than the file, so that the end of the process waits for the write.
    rotation: Option<Rotation>,
}

impl SessionStore {
    /// Exchanges the stored refresh token, and stores the new one before any of the new tokens is used.
    ///
    /// With a `username`, the session of another user counts as absent. The future must run to its end: between the
    /// exchange and the write, the only good refresh token is in it.
    ///
    /// # Errors
    /// When there is no session, the store fails, or the pool refuses or does not answer. A refresh token that the
    /// pool has refused is forgotten; the remembered device is kept. A store that cannot take another refresh token
    /// fails before the old one is used up.
    pub async fn renew(
        &self,
        client: &UserPoolClient,
        username: Option<&str>,
    ) -> Result<Renewed, RenewError> {
        let mut newer = self.newer.lock().await;
        let (mut held, obstacle) = match newer.session.take() {
            Some(mut held) => {
                let obstacle = held.store(self).await.err();
                (held, obstacle)
            }
            None => (self.read_locked().await?, None),
        };
        let renewed = match username {
            Some(username) if !held.session.is_of(username) => Err(RenewError::SignedOut(None)),
            _ => held.renew(client, obstacle).await,
        };
        let renewed = renewed.map(|tokens| Renewed { tokens, session: held.session.clone() });
        if held.rotation.is_some() {
            newer.session = Some(held);
            if !std::mem::replace(&mut newer.is_being_written, true) {
                rotation::run_to_end(write_until_stored(self.clone()));
            }
        }
        renewed
    }

    /// Stores the session of a new sign-in. Tries for half a minute, since a one-time code cannot be entered twice, and
    /// [`settled`](rotation::settled) waits for it.
    ///
    /// # Errors
    /// When the store fails for half a minute, or in a way that only a person can repair.
    pub async fn keep(&self, session: Session) -> Result<(), Error> {
        let store = self.clone();
        let stored = rotation::run_to_end(async move {
            let _unsettled = Rotation::begin().exchanged();
            store.write_with_retries(&session).await
        });
        stored.await.unwrap_or_else(|stopped| Err(Error::Io(self.path("json"), io::Error::other(stopped))))
    }

    async fn write_with_retries(&self, session: &Session) -> Result<(), Error> {
        let start = Instant::now();
        let mut is_reported = false;
        loop {
            let stored = match self.lock().await {
                Ok(locked) => locked.write(session).await,
                Err(error) => Err(error),
            };
            let Err(error) = stored else { return Ok(()) };
            if error.remedy().is_some() || start.elapsed() >= MAX_RETRY_TIME {
                return Err(error);
            }
            if !std::mem::replace(&mut is_reported, true) {
                let error = &error as &dyn error::Error;
                tracing::warn!(error, "the session cannot be stored yet, trying again for 30 seconds");
            }
            sleep(WRITE_INTERVAL).await;
        }
    }

    async fn read_locked(&self) -> Result<LoadedSession, RenewError> {
        // Locking would create the folder, and an administrator may be about to move another one to this path.
        if !self.has_folder().await? {
            return Err(RenewError::SignedOut(None));
        }
        let locked = self.lock().await?;
        let session = locked.read().await?.ok_or(RenewError::SignedOut(None))?;
        Ok(LoadedSession { locked, stored_token: session.refresh_token.clone(), session, rotation: None })
    }
}

/// Writes the session again until the disk has recovered.
async fn write_until_stored(store: SessionStore) {
    loop {
        sleep(WRITE_INTERVAL).await;
        let mut newer = store.newer.lock().await;
        let stored = match &mut newer.session {
            Some(held) => held.store(&store).await,
            None => Ok(()),
        };
        match stored {
            Ok(()) => {
                *newer = UnstoredSession::default();
                tracing::info!("the new refresh token is stored");
                return;
            }
            Err(error) => tracing::debug!(%error, "the new refresh token still cannot be stored"),
        }
    }
}

impl LoadedSession {
    /// Renews the tokens; `obstacle` is why a newer session could not be stored just now.
    async fn renew(
        &mut self,
        client: &UserPoolClient,
        obstacle: Option<Error>,
    ) -> Result<Tokens, RenewError> {
        let grant = self.session.grant().ok_or_else(|| RenewError::SignedOut(self.session.ended.clone()))?;
        if let Some(error) = obstacle {
            // The stored token is used up already, so that another rotation in memory risks nothing more.
            return self.exchange(client, grant, Err(error)).await;
        }
        match self.locked.prepare().await {
            Ok(replacement) => self.exchange(client, grant, Ok(replacement)).await,
            Err(error) => self.renew_without_rotation(client, &grant, error).await,
        }
    }

    async fn exchange(
        &mut self,
        client: &UserPoolClient,
        grant: RefreshGrant,
        prepared: Result<Replacement, Error>,
    ) -> Result<Tokens, RenewError> {
        let rotation = Rotation::begin();
        let result = match client.refresh(&grant).await {
            Err(error) if error.verdict() == Verdict::SessionOver => {
                self.renew_with_newer_token(client, &grant, error).await
            }
            result => result.map_err(RenewError::UserPool),
        };
        match result {
            Ok(tokens) => {
                if self.take_new_token(&tokens, rotation) {
                    self.commit(prepared).await;
                } else {
                    self.discard(prepared).await;
                }
                Ok(tokens)
            }
            Err(RenewError::UserPool(error)) if error.verdict() == Verdict::SessionOver => {
                self.end(&error, prepared).await;
                Err(RenewError::UserPool(error))
            }
            Err(error) => {
                self.discard(prepared).await;
                Err(error)
            }
        }
    }

    /// Stores the session in the prepared file.
    async fn commit(&mut self, prepared: Result<Replacement, Error>) {
        let stored = match prepared {
            Ok(replacement) => self.locked.commit(replacement, &self.session).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => self.mark_stored(),
            Err(error) => report_not_stored(&error),
        }
    }

    async fn discard(&self, prepared: Result<Replacement, Error>) {
        if let Ok(replacement) = prepared {
            self.locked.discard(replacement).await;
        }
    }

    /// Renews tokens when no new refresh token could be stored. REFRESH_TOKEN_AUTH never rotates the refresh token, and
    /// pools that rotate refuse it, so that the stored one stays good.
    async fn renew_without_rotation(
        &mut self,
        client: &UserPoolClient,
        grant: &RefreshGrant,
        error: Error,
    ) -> Result<Tokens, RenewError> {
        let rotation = Rotation::begin();
        match client.refresh_without_rotation(grant).await {
            Ok(tokens) => {
                if self.take_new_token(&tokens, rotation) {
                    report_not_stored(&error);
                }
                Ok(tokens)
            }
            Err(refused) => match refused.verdict() {
                Verdict::Transient { .. } => Err(RenewError::UserPool(refused)),
                // The refusal may be about the flow and not about the token.
                _ => Err(RenewError::Store(error)),
            },
        }
    }

    /// Tries a newer refresh token in the store, which another process may have written where locks do not work, on
    /// some network file systems. The refusal was about the older token, whatever it says: pools call a rotated token
    /// reused, invalid or revoked.
    async fn renew_with_newer_token(
        &mut self,
        client: &UserPoolClient,
        reused: &RefreshGrant,
        error: user_pool::Error,
    ) -> Result<Tokens, RenewError> {
        let stored = self.locked.read().await?;
        let successor = stored.and_then(|session| session.grant().map(|grant| (session, grant)));
        match successor {
            Some((session, grant)) if !grant.has_same_token(reused) && !self.has_stored(&session) => {
                self.stored_token = session.refresh_token.clone();
                self.session = session;
                client.refresh(&grant).await.map_err(RenewError::UserPool)
            }
            _ => Err(RenewError::UserPool(error)),
        }
    }

    /// Takes over the new refresh token; `false` if the pool did not rotate it.
    fn take_new_token(&mut self, tokens: &Tokens, rotation: Rotation) -> bool {
        let Some(refresh_token) = &tokens.refresh_token else { return false };
        self.session.refresh_token = Some(refresh_token.clone());
        self.rotation = Some(rotation.exchanged());
        true
    }

    /// Writes a session that is newer than the stored one.
    ///
    /// When the lock file has been replaced meanwhile, because the folder was deleted for example, another process may
    /// have stored a session, which is then the newer one.
    async fn store(&mut self, store: &SessionStore) -> Result<(), Error> {
        if !self.locked.is_still_locked().await? {
            self.locked = store.lock_now().await?;
            let stored = self.locked.read().await?;
            if let Some(session) = stored.filter(|stored| stored.refresh_token.is_some())
                && !self.has_stored(&session)
            {
                tracing::info!("another process has stored a session, which replaces this one");
                self.session = session;
                self.mark_stored();
                return Ok(());
            }
        }
        self.locked.write_again(&self.session).await?;
        self.mark_stored();
        Ok(())
    }

    fn mark_stored(&mut self) {
        self.stored_token = self.session.refresh_token.clone();
        self.rotation = None;
    }

    /// Whether `session` has the refresh token that this one was loaded with.
    fn has_stored(&self, session: &Session) -> bool {
        let [own, other] = [&self.stored_token, &session.refresh_token]
            .map(|token| token.as_ref().map(ExposeSecret::expose_secret));
        own == other
    }

    /// Ends the session. A failure to store that is only logged, since the user needs to see the pool's refusal.
    async fn end(&mut self, error: &user_pool::Error, prepared: Result<Replacement, Error>) {
        self.session.refresh_token = None;
        self.session.ended = Some(SessionEnded::of(error));
        self.rotation = None;
        let stored = match prepared {
            Ok(replacement) => self.locked.commit(replacement, &self.session).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            let error = &error as &dyn error::Error;
            tracing::warn!(error, "the end of the session cannot be stored");
        }
    }
}

/// Logs that the only good refresh token is in memory.
fn report_not_stored(error: &Error) {
    let error = error as &dyn error::Error;
    tracing::error!(error, "the new refresh token cannot be stored, it is kept in memory and written again");
}

impl Session {
    fn is_of(&self, username: &str) -> bool {
        self.signed_in_as == username || self.username == username
    }
}
