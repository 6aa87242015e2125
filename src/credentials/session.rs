//! The session that a sign-in stores, so that tokens can be renewed without a password.
//!
//! There is one file per user pool and app client. It is read and written under a lock between processes, because a
//! pool that rotates refresh tokens accepts each of them only once.

mod failure;
mod file;
mod record;
mod renewal;
mod rotation;
mod wait;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use secrecy::SecretString;
use tokio::sync::Mutex;

use super::{
    UserPoolId,
    user_pool::{Device, RefreshGrant, SignedIn},
};
use file::{Lock, Replacement, blocking};
use renewal::UnstoredSession;
use wait::CurrentWait;

pub use failure::{Error, RenewError, SessionEnded};
pub use renewal::Renewed;
pub use rotation::{NotStored, settled};
pub use wait::{Holder, Wait};

pub(super) use rotation::run_to_end;

/// A stored session.
#[derive(Clone, Debug)]
pub struct Session {
    /// The refresh token; `None` once the pool has refused it.
    pub refresh_token: Option<SecretString>,
    /// Why the pool has refused the refresh token.
    pub ended: Option<SessionEnded>,
    /// The pool's internal name of the user.
    pub username: String,
    /// The name under which the user has signed in.
    pub signed_in_as: String,
    /// The user's `sub`.
    pub subject: String,
    /// The device that the pool remembers.
    pub device: Option<Device>,
    /// The user's identity in each identity pool.
    pub identity_ids: BTreeMap<String, String>,
}

/// The store of the session of one user pool and app client. Clones share a session that could not be stored yet.
#[derive(Clone, Debug)]
pub struct SessionStore {
    folder: PathBuf,
    name: String,
    newer: Arc<Mutex<UnstoredSession>>,
    waits: CurrentWait,
}

/// The stored session while this process holds its lock. Clones hold the same lock.
#[derive(Clone, Debug)]
pub struct LockedSession {
    path: PathBuf,
    lock: Lock,
    waits: CurrentWait,
}

impl SessionStore {
    /// The store in `folder`, which is created when it is needed.
    #[must_use]
    pub fn new(folder: &Path, pool: &UserPoolId, client_id: &str) -> Self {
        let harmless = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '+' | '-');
        let client: String =
            client_id.chars().map(|letter| if harmless(letter) { letter } else { '.' }).collect();
        Self {
            folder: folder.to_owned(),
            name: format!("{pool}@{client}"),
            newer: Arc::default(),
            waits: CurrentWait::default(),
        }
    }

    /// Waits until no other process uses the session. Creates the folder if there is none.
    ///
    /// A read-only folder without a lock file needs none, since nothing in it can change.
    ///
    /// # Errors
    /// When that takes longer than half a minute, or the folder cannot be used.
    pub async fn lock(&self) -> Result<LockedSession, Error> {
        let lock = file::lock(&self.folder, &self.path("lock"), &self.waits).await?;
        Ok(self.locked_by(lock))
    }

    /// As [`lock`](Self::lock), but fails at once while another process uses the session.
    async fn lock_now(&self) -> Result<LockedSession, Error> {
        let path = self.path("lock");
        match file::lock_now(&self.folder, &path, &self.waits).await? {
            Some(lock) => Ok(self.locked_by(lock)),
            None => Err(file::busy(&path).await),
        }
    }

    fn locked_by(&self, lock: Lock) -> LockedSession {
        LockedSession { path: self.path("json"), lock, waits: self.waits.clone() }
    }

    /// What an operation of this store, or of a clone of it, is waiting for now.
    #[must_use]
    pub fn waits_for(&self) -> Option<Wait> {
        self.waits.current()
    }

    /// Stores the user's identity in `identity_pool` with the session.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remember_identity(&self, identity_pool: &str, identity_id: &str) -> Result<(), Error> {
        let mut newer = self.newer.lock().await;
        if let Some(session) = newer.session_mut() {
            session.identity_ids.insert(identity_pool.to_owned(), identity_id.to_owned());
            return Ok(());
        }
        let locked = self.lock().await?;
        let Some(mut session) = locked.read().await? else { return Ok(()) };
        session.identity_ids.insert(identity_pool.to_owned(), identity_id.to_owned());
        locked.write(&session).await
    }

    /// When the stored session or its mode was last changed; `None` without a stored session.
    pub async fn changed_at(&self) -> Option<SystemTime> {
        let path = self.path("json");
        blocking(move || Ok(file::changed_at(&path))).await.ok().flatten()
    }

    async fn has_folder(&self) -> Result<bool, Error> {
        let folder = self.folder.clone();
        blocking(move || folder.try_exists().map_err(|error| Error::Io(folder, error))).await
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
        if let Some(session) = self.finish_interrupted_write().await? {
            return Ok(Some(session));
        }
        let Some(content) = self.blocking(file::read).await? else { return Ok(None) };
        let session = record::decode(&content);
        if session.is_none() {
            tracing::warn!(file = %self.path.display(), "stored session is damaged, ignoring it");
        }
        Ok(session)
    }

    /// Takes the file that a process left when it died between writing a session and renaming the file. It is the newer
    /// one, and the refresh token in the older one may have been used up.
    async fn finish_interrupted_write(&self) -> Result<Option<Session>, Error> {
        let content = self.blocking(file::read_replacement).await?;
        let Some(session) = content.and_then(|content| record::decode(&content)) else { return Ok(None) };
        self.blocking(file::finish_replacement).await?;
        tracing::info!(file = %self.path.display(), "recovered a session that an interrupted process had written");
        Ok(Some(session))
    }

    /// Finds out whether a session can be written, before a sign-in starts whose result must be stored.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn try_out(&self) -> Result<(), Error> {
        // The trial below would overwrite a newer session that has not been renamed yet.
        self.finish_interrupted_write().await?;
        let replacement = self.prepare().await?;
        self.discard(replacement).await;
        Ok(())
    }

    /// Stores `session`. On return it is on the disk.
    ///
    /// # Errors
    /// When the file cannot be written. Then the file before stays as it is.
    pub async fn write(&self, session: &Session) -> Result<(), Error> {
        let replacement = self.prepare().await?;
        self.commit(replacement, session).await
    }

    /// Stores `session` after an attempt that failed.
    async fn write_again(&self, session: &Session) -> Result<(), Error> {
        let content = record::encode(session);
        self.blocking(move |path| file::write_again(path, &content)).await
    }

    /// Deletes the stored session.
    ///
    /// # Errors
    /// When the file exists and cannot be deleted.
    pub async fn forget(&self) -> Result<(), Error> {
        self.blocking(file::remove).await
    }

    /// Whether the lock is still valid, so that no other process can have changed the session.
    async fn is_still_locked(&self) -> Result<bool, Error> {
        let lock = self.lock.clone();
        self.blocking(move |path| Ok(lock.is_at(&path.with_extension("lock")))).await
    }

    async fn prepare(&self) -> Result<Replacement, Error> {
        self.blocking(Replacement::prepare).await
    }

    async fn commit(&self, replacement: Replacement, session: &Session) -> Result<(), Error> {
        let content = record::encode(session);
        self.blocking(move |_| replacement.commit(&content)).await
    }

    async fn discard(&self, replacement: Replacement) {
        let discarded = self.blocking(move |_| replacement.discard()).await;
        if let Err(error) = discarded {
            // A remaining file does no harm, since it contains no session.
            tracing::debug!(%error, "cannot remove the temporary file");
        }
    }

    /// Runs a file operation. It keeps the lock until it ends, even if the caller stops waiting.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Path) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _waiting = self.waits.begin(Wait::Disk(self.path.clone()));
        let (path, lock) = (self.path.clone(), self.lock.clone());
        blocking(move || {
            let done = operation(&path);
            drop(lock);
            done
        })
        .await
    }
}

impl Session {
    /// The session of a user who has just signed in under the name `signed_in_as`.
    #[must_use]
    pub fn new(signed_in: &SignedIn, signed_in_as: &str) -> Self {
        Self {
            refresh_token: signed_in.tokens.refresh_token.clone(),
            ended: None,
            username: signed_in.tokens.username.clone(),
            signed_in_as: signed_in_as.to_owned(),
            subject: signed_in.tokens.claims.subject.clone(),
            device: signed_in.device.clone(),
            identity_ids: BTreeMap::new(),
        }
    }

    /// The grant that renews tokens; `None` once the pool has refused it.
    #[must_use]
    pub fn grant(&self) -> Option<RefreshGrant> {
        Some(RefreshGrant {
            refresh_token: self.refresh_token.clone()?,
            username: self.username.clone(),
            device: self.device.clone(),
        })
    }
}

#[cfg(all(test, unix))]
mod tests;
