//! New tokens for the stored refresh token, and what becomes of its successor.

use std::{error, io, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use super::{
    Ended, Error, LockedSession, RenewError, Replacement, Session, SessionStore,
    rotation::{self, Rotation},
};
use crate::credentials::user_pool::{self, RefreshGrant, Tokens, UserPoolClient, Verdict};

/// How long after a write that failed the next one comes.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);

/// How long the session of a sign-in is offered to a store that fails.
const LONGEST_OFFER: Duration = Duration::from_secs(30);

/// Fresh tokens and the session that goes with them.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The tokens.
    pub tokens: Tokens,
    /// The session, stored already, or kept in memory and written until it is.
    pub session: Session,
}

/// A session that is newer than the stored one, which could not be replaced yet.
///
/// The lock stays with it: what is stored has been used up, and another process must not try it.
#[derive(Debug, Default)]
pub(super) struct Newer {
    session: Option<Held>,
    is_being_written: bool,
}

impl Newer {
    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        self.session.as_mut().map(|held| &mut held.session)
    }
}

/// A session and the lock on the file that it belongs into.
#[derive(Debug)]
struct Held {
    locked: LockedSession,
    session: Session,
    /// The refresh token in the file.
    stored_token: Option<SecretString>,
    /// Present while `session` is newer than the file.
    rotation: Option<Rotation>,
}

impl SessionStore {
    /// Exchanges the stored refresh token and stores the one that comes back before anything is used.
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

    /// Stores the session of somebody who has just signed in; a store that fails for the moment is tried again for half
    /// a minute, since the answers that it took cannot be given twice. [`settled`](rotation::settled) waits for it.
    ///
    /// # Errors
    /// When the store fails for half a minute, or in a way that only a person can mend.
    pub async fn keep(&self, session: Session) -> Result<(), Error> {
        let store = self.clone();
        let stored = rotation::run_to_end(async move {
            let _unsettled = Rotation::begin().exchanged();
            store.write_for_a_while(&session).await
        });
        stored.await.unwrap_or_else(|stopped| Err(Error::Io(self.path("json"), io::Error::other(stopped))))
    }

    async fn write_for_a_while(&self, session: &Session) -> Result<(), Error> {
        let start = Instant::now();
        let mut is_reported = false;
        loop {
            let stored = match self.lock().await {
                Ok(locked) => locked.write(session).await,
                Err(error) => Err(error),
            };
            let Err(error) = stored else { return Ok(()) };
            if error.remedy().is_some() || start.elapsed() >= LONGEST_OFFER {
                return Err(error);
            }
            if !std::mem::replace(&mut is_reported, true) {
                let error = &error as &dyn error::Error;
                tracing::warn!(error, "the session cannot be stored yet, trying again for 30 seconds");
            }
            sleep(BETWEEN_WRITES).await;
        }
    }

    async fn read_locked(&self) -> Result<Held, RenewError> {
        // Locking makes the folder, in whose place another may be about to be moved.
        if !self.has_folder().await? {
            return Err(RenewError::SignedOut(None));
        }
        let locked = self.lock().await?;
        let session = locked.read().await?.ok_or(RenewError::SignedOut(None))?;
        Ok(Held { locked, stored_token: session.refresh_token.clone(), session, rotation: None })
    }
}

/// Tries again until the session is stored, which a disk that has recovered allows.
async fn write_until_stored(store: SessionStore) {
    loop {
        sleep(BETWEEN_WRITES).await;
        let mut newer = store.newer.lock().await;
        let stored = match &mut newer.session {
            Some(held) => held.store(&store).await,
            None => Ok(()),
        };
        match stored {
            Ok(()) => {
                *newer = Newer::default();
                tracing::info!("the new refresh token is stored");
                return;
            }
            Err(error) => tracing::debug!(%error, "the new refresh token still cannot be stored"),
        }
    }
}

impl Held {
    /// New tokens; `obstacle` is what has just kept a newer session from being stored.
    async fn renew(
        &mut self,
        client: &UserPoolClient,
        obstacle: Option<Error>,
    ) -> Result<Tokens, RenewError> {
        let grant = self.session.grant().ok_or_else(|| RenewError::SignedOut(self.session.ended.clone()))?;
        if let Some(error) = obstacle {
            // What is stored is used up already, so that another rotation in memory puts nothing more at risk.
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
                self.renew_with_successor(client, &grant, error).await
            }
            result => result.map_err(RenewError::UserPool),
        };
        match result {
            Ok(tokens) => {
                if self.take_successor(&tokens, rotation) {
                    self.put(prepared).await;
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

    /// Stores the session in the file that was prepared for it.
    async fn put(&mut self, prepared: Result<Replacement, Error>) {
        let stored = match prepared {
            Ok(replacement) => self.locked.commit(replacement, &self.session).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => self.is_stored(),
            Err(error) => report_not_stored(&error),
        }
    }

    async fn discard(&self, prepared: Result<Replacement, Error>) {
        if let Ok(replacement) = prepared {
            self.locked.discard(replacement).await;
        }
    }

    /// A store that takes no other refresh token is good for the one that it has, as long as the pool makes no other
    /// of it: REFRESH_TOKEN_AUTH never does, and is refused where refresh tokens rotate.
    async fn renew_without_rotation(
        &mut self,
        client: &UserPoolClient,
        grant: &RefreshGrant,
        error: Error,
    ) -> Result<Tokens, RenewError> {
        let rotation = Rotation::begin();
        match client.refresh_without_rotation(grant).await {
            Ok(tokens) => {
                if self.take_successor(&tokens, rotation) {
                    report_not_stored(&error);
                }
                Ok(tokens)
            }
            Err(refused) => match refused.verdict() {
                Verdict::Transient { .. } => Err(RenewError::UserPool(refused)),
                // Whatever the words are, they may be about the flow.
                _ => Err(RenewError::Store(error)),
            },
        }
    }

    /// Where locks do not reach, another process may have put its own new token into the store. A refusal says nothing
    /// about that one, whatever its words are: a token that was rotated is reused, invalid or revoked, by pool.
    async fn renew_with_successor(
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

    /// Whether the pool has made another refresh token of the one that was sent.
    fn take_successor(&mut self, tokens: &Tokens, rotation: Rotation) -> bool {
        let Some(refresh_token) = &tokens.refresh_token else { return false };
        self.session.refresh_token = Some(refresh_token.clone());
        self.rotation = Some(rotation.exchanged());
        true
    }

    /// Writes a session that is newer than the stored one.
    ///
    /// When the lock has been replaced meanwhile, by somebody who has deleted the folder for one, another process may have
    /// stored a session of its own, which is the newer one then.
    async fn store(&mut self, store: &SessionStore) -> Result<(), Error> {
        if !self.locked.is_still_locked().await? {
            self.locked = store.lock_now().await?;
            let stored = self.locked.read().await?;
            if let Some(session) = stored.filter(|stored| stored.refresh_token.is_some())
                && !self.has_stored(&session)
            {
                tracing::info!("another process has stored a session, which takes the place of this one");
                self.session = session;
                self.is_stored();
                return Ok(());
            }
        }
        self.locked.write_again(&self.session).await?;
        self.is_stored();
        Ok(())
    }

    fn is_stored(&mut self) {
        self.stored_token = self.session.refresh_token.clone();
        self.rotation = None;
    }

    /// Whether `session` is what this one has replaced.
    fn has_stored(&self, session: &Session) -> bool {
        let [own, other] = [&self.stored_token, &session.refresh_token]
            .map(|token| token.as_ref().map(ExposeSecret::expose_secret));
        own == other
    }

    /// The pool's refusal is what the user must hear of, whether the store takes it or not.
    async fn end(&mut self, error: &user_pool::Error, prepared: Result<Replacement, Error>) {
        self.session.refresh_token = None;
        self.session.ended = Some(Ended::of(error));
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

/// A token that cannot be stored is still good in memory, and the one in the store is dead.
fn report_not_stored(error: &Error) {
    let error = error as &dyn error::Error;
    tracing::error!(error, "the new refresh token cannot be stored: it is kept in memory and written again");
}

impl Session {
    fn is_of(&self, username: &str) -> bool {
        self.signed_in_as == username || self.username == username
    }
}
