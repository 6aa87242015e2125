//! New tokens for the stored refresh token, and what becomes of its successor.

use std::{error, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::sleep};

use super::{
    Ended, Error, LockedSession, RenewError, Replacement, Session, SessionStore, rotation, rotation::Rotation,
};
use crate::credentials::user_pool::{self, Cause, RefreshGrant, Tokens, UserPoolClient, Verdict};

/// How long after a write that failed the next one comes.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);

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
        let mut held = match newer.session.take() {
            Some(held) => held,
            None => self.read_locked().await?,
        };
        let renewed = match username {
            Some(username) if !held.session.is_of(username) => Err(RenewError::SignedOut(None)),
            _ => held.renew(client).await,
        };
        let renewed = renewed.map(|tokens| Renewed { tokens, session: held.session.clone() });
        if held.rotation.is_some() {
            newer.session = Some(held);
            if !std::mem::replace(&mut newer.is_being_written, true) {
                rotation::run_to_end(write_until_stored(Arc::clone(&self.newer)));
            }
        }
        renewed
    }

    async fn read_locked(&self) -> Result<Held, RenewError> {
        // Locking makes the folder, in whose place another may be about to be moved.
        if !self.has_folder().await? {
            return Err(RenewError::SignedOut(None));
        }
        let locked = self.lock().await?;
        let session = locked.read().await?.ok_or(RenewError::SignedOut(None))?;
        Ok(Held { locked, session, rotation: None })
    }
}

/// Tries again until the session is stored, which a disk that has recovered allows.
async fn write_until_stored(newer: Arc<Mutex<Newer>>) {
    loop {
        sleep(BETWEEN_WRITES).await;
        let mut newer = newer.lock().await;
        let stored = match &mut newer.session {
            Some(held) => held.store().await,
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
    async fn renew(&mut self, client: &UserPoolClient) -> Result<Tokens, RenewError> {
        let grant = self.session.grant().ok_or_else(|| RenewError::SignedOut(self.session.ended.clone()))?;
        match self.locked.prepare().await {
            Ok(replacement) => self.exchange(client, grant, replacement).await,
            Err(error) => self.renew_without_rotation(client, &grant, error).await,
        }
    }

    async fn exchange(
        &mut self,
        client: &UserPoolClient,
        grant: RefreshGrant,
        replacement: Replacement,
    ) -> Result<Tokens, RenewError> {
        let rotation = Rotation::begin();
        let result = match client.refresh(&grant).await {
            Err(error) if error.cause() == Some(Cause::RefreshTokenReused) => {
                self.renew_with_successor(client, &grant, error).await
            }
            result => result.map_err(RenewError::UserPool),
        };
        match result {
            Ok(tokens) => {
                if self.take_successor(&tokens, rotation) || self.rotation.is_some() {
                    self.stored(self.locked.commit(replacement, &self.session).await);
                } else {
                    self.locked.discard(replacement).await;
                }
                Ok(tokens)
            }
            Err(RenewError::UserPool(error)) if error.verdict() == Verdict::SessionOver => {
                self.end(&error, replacement).await;
                Err(RenewError::UserPool(error))
            }
            Err(error) => {
                self.locked.discard(replacement).await;
                Err(error)
            }
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
                    self.stored(Err(error));
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

    /// Where locks do not reach, another process may have put its own new token into the store.
    async fn renew_with_successor(
        &mut self,
        client: &UserPoolClient,
        reused: &RefreshGrant,
        error: user_pool::Error,
    ) -> Result<Tokens, RenewError> {
        let stored = self.locked.read().await?;
        let successor = stored.and_then(|session| session.grant().map(|grant| (session, grant)));
        match successor {
            Some((session, grant)) if !grant.has_same_token(reused) => {
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

    async fn store(&mut self) -> Result<(), Error> {
        self.locked.write_again(&self.session).await?;
        self.rotation = None;
        Ok(())
    }

    /// A token that cannot be stored is still good in memory, and the one in the store is dead.
    fn stored(&mut self, stored: Result<(), Error>) {
        match stored {
            Ok(()) => self.rotation = None,
            Err(error) => {
                let error = &error as &dyn error::Error;
                tracing::error!(
                    error,
                    "the new refresh token cannot be stored: it is kept in memory and written again"
                );
            }
        }
    }

    /// The pool's refusal is what the user must hear of, whether the store takes it or not.
    async fn end(&mut self, error: &user_pool::Error, replacement: Replacement) {
        self.session.refresh_token = None;
        self.session.ended = Some(Ended::of(error));
        self.rotation = None;
        if let Err(error) = self.locked.commit(replacement, &self.session).await {
            let error = &error as &dyn error::Error;
            tracing::warn!(error, "the end of the session cannot be stored");
        }
    }
}

impl Session {
    fn is_of(&self, username: &str) -> bool {
        self.signed_in_as == username || self.username == username
    }
}
