//! The session that a sign-in leaves behind: what renews tokens without a password.
//!
//! There is one file per user pool and app client. It is read and written under a lock between
//! processes, because a pool that rotates refresh tokens takes each of them once.

mod failure;
mod file;
mod record;

use std::{
    collections::BTreeMap,
    error, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::{
    UserPoolId,
    user_pool::{self, Cause, Device, RefreshGrant, SignedIn, Tokens, UserPoolClient, Verdict},
};
use file::Lock;

pub use failure::{Error, RenewError};

/// What a sign-in leaves behind.
#[derive(Clone, Debug)]
pub struct Session {
    /// The refresh token; absent once the pool has refused it.
    pub refresh_token: Option<SecretString>,
    /// The pool's own name of the user.
    pub username: String,
    /// The name under which the user has signed in.
    pub signed_in_as: String,
    /// The user's `sub`.
    pub subject: String,
    /// The device that the pool remembers, if it does.
    pub device: Option<Device>,
    /// The user's identity in each identity pool.
    pub identity_ids: BTreeMap<String, String>,
}

/// Where the session of one user pool and app client is kept.
#[derive(Clone, Debug)]
pub struct SessionStore {
    folder: PathBuf,
    name: String,
}

/// The session while no other process can change it.
#[derive(Debug)]
pub struct LockedSession {
    path: PathBuf,
    _lock: Lock,
}

/// Fresh tokens and the session that goes with them.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The tokens.
    pub tokens: Tokens,
    /// The session, stored already.
    pub session: Session,
}

impl SessionStore {
    /// The store in `folder`, which is created when a session is written.
    #[must_use]
    pub fn new(folder: &Path, pool: &UserPoolId, client_id: &str) -> Self {
        let harmless = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '+' | '-');
        let client: String =
            client_id.chars().map(|letter| if harmless(letter) { letter } else { '.' }).collect();
        Self { folder: folder.to_owned(), name: format!("{pool}@{client}") }
    }

    /// Waits until no other process uses the session.
    ///
    /// # Errors
    /// When that takes longer than half a minute, or the folder cannot be used.
    pub async fn lock(&self) -> Result<LockedSession, Error> {
        let lock = file::lock(&self.folder, &self.path("lock")).await?;
        Ok(LockedSession { path: self.path("json"), _lock: lock })
    }

    /// Exchanges the stored refresh token and stores the one that comes back before anything is used.
    ///
    /// The future must run to its end: between the exchange and the write, the only good refresh
    /// token is in it.
    ///
    /// # Errors
    /// When there is no session, the store fails, or the pool refuses or does not answer. A refresh
    /// token that the pool has refused is forgotten; the remembered device is kept.
    pub async fn renew(&self, client: &UserPoolClient) -> Result<Renewed, RenewError> {
        let locked = self.lock().await?;
        let (session, grant) = locked.grant().await?.ok_or(RenewError::SignedOut)?;
        let result = match client.refresh(&grant).await {
            Err(error) if error.cause() == Some(Cause::RefreshTokenReused) => {
                locked.renew_with_successor(client, &grant, error).await
            }
            result => result.map_err(RenewError::UserPool),
        };
        match result {
            Ok(tokens) => Ok(locked.keep(session, tokens).await),
            Err(RenewError::UserPool(error)) if error.verdict() == Verdict::SessionOver => {
                locked.write(&Session { refresh_token: None, ..session }).await?;
                Err(RenewError::UserPool(error))
            }
            Err(error) => Err(error),
        }
    }

    /// When the stored session, or who may read it, was last changed; `None` when there is none.
    #[must_use]
    pub fn changed_at(&self) -> Option<SystemTime> {
        std::fs::metadata(self.path("json")).ok().and_then(|metadata| file::changed_at(&metadata))
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}

impl LockedSession {
    /// The stored session. A damaged one counts as absent.
    ///
    /// # Errors
    /// When others may read the file, it belongs to someone else, or it cannot be read.
    pub async fn read(&self) -> Result<Option<Session>, Error> {
        let path = self.path.clone();
        let content = blocking(move || file::read(&path)).await?;
        let Some(content) = content else { return Ok(None) };
        let session = record::decode(&content);
        if session.is_none() {
            tracing::warn!(file = %self.path.display(), "stored session is damaged, ignoring it");
        }
        Ok(session)
    }

    /// Stores `session`; on return it is on the disk.
    ///
    /// # Errors
    /// When the file cannot be written. The one before stays then.
    pub async fn write(&self, session: &Session) -> Result<(), Error> {
        let (path, content) = (self.path.clone(), record::encode(session));
        blocking(move || file::write(&path, &content)).await
    }

    /// Deletes the stored session.
    ///
    /// # Errors
    /// When the file is there and cannot be deleted.
    pub async fn forget(&self) -> Result<(), Error> {
        let path = self.path.clone();
        blocking(move || file::remove(&path)).await
    }

    async fn grant(&self) -> Result<Option<(Session, RefreshGrant)>, Error> {
        let session = self.read().await?;
        Ok(session.and_then(|session| session.grant().map(|grant| (session, grant))))
    }

    /// Where locks do not reach, another process may have put its own new token into the store.
    async fn renew_with_successor(
        &self,
        client: &UserPoolClient,
        reused: &RefreshGrant,
        error: user_pool::Error,
    ) -> Result<Tokens, RenewError> {
        match self.grant().await? {
            Some((_, successor)) if !successor.has_same_token(reused) => {
                client.refresh(&successor).await.map_err(RenewError::UserPool)
            }
            _ => Err(RenewError::UserPool(error)),
        }
    }

    /// A token that cannot be stored is still good in memory, and the one in the store is dead.
    async fn keep(&self, session: Session, tokens: Tokens) -> Renewed {
        let Some(refresh_token) = tokens.refresh_token.clone() else { return Renewed { tokens, session } };
        let session = Session { refresh_token: Some(refresh_token), ..session };
        if let Err(error) = self.write(&session).await {
            let error = &error as &dyn error::Error;
            tracing::error!(error, "new refresh token cannot be stored, the next start needs a sign-in");
        }
        Renewed { tokens, session }
    }
}

impl Session {
    /// The session of a user who has just signed in under the name `signed_in_as`.
    #[must_use]
    pub fn new(signed_in: &SignedIn, signed_in_as: &str) -> Self {
        Self {
            refresh_token: signed_in.tokens.refresh_token.clone(),
            username: signed_in.tokens.username.clone(),
            signed_in_as: signed_in_as.to_owned(),
            subject: signed_in.tokens.claims.subject.clone(),
            device: signed_in.device.clone(),
            identity_ids: BTreeMap::new(),
        }
    }

    /// What renews tokens, unless the pool has refused it.
    #[must_use]
    pub fn grant(&self) -> Option<RefreshGrant> {
        Some(RefreshGrant {
            refresh_token: self.refresh_token.clone()?,
            username: self.username.clone(),
            device: self.device.clone(),
        })
    }
}

/// A file operation may wait for the disk, which no thread that serves requests should.
async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(operation).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Io(PathBuf::new(), io::Error::other(stopped))),
    }
}

#[cfg(all(test, unix))]
mod tests;
