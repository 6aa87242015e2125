//! The session that a sign-in leaves behind: what renews tokens without a password.
//!
//! There is one file per user pool and app client. It is read and written under a lock between
//! processes, because a pool that rotates refresh tokens takes each of them once.

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
use renewal::Newer;
use wait::Waits;

pub use failure::{Ended, Error, RenewError};
pub use renewal::Renewed;
pub use rotation::{NotStored, settled};
pub use wait::{Holder, Wait};

pub(super) use rotation::run_to_end;

/// What a sign-in leaves behind.
#[derive(Clone, Debug)]
pub struct Session {
    /// The refresh token; absent once the pool has refused it.
    pub refresh_token: Option<SecretString>,
    /// Why the pool has refused the refresh token, in its words.
    pub ended: Option<Ended>,
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

/// Where the session of one user pool and app client is kept. Clones share what could not be stored.
#[derive(Clone, Debug)]
pub struct SessionStore {
    folder: PathBuf,
    name: String,
    newer: Arc<Mutex<Newer>>,
    waits: Waits,
}

/// The session while no other process can change it. Clones hold the same lock.
#[derive(Clone, Debug)]
pub struct LockedSession {
    path: PathBuf,
    lock: Lock,
    waits: Waits,
}

impl SessionStore {
    /// The store in `folder`, which is made when it is needed.
    #[must_use]
    pub fn new(folder: &Path, pool: &UserPoolId, client_id: &str) -> Self {
        let harmless = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '+' | '-');
        let client: String =
            client_id.chars().map(|letter| if harmless(letter) { letter } else { '.' }).collect();
        Self {
            folder: folder.to_owned(),
            name: format!("{pool}@{client}"),
            newer: Arc::default(),
            waits: Waits::default(),
        }
    }

    /// Waits until no other process uses the session; makes the folder if there is none.
    ///
    /// In a folder that is read-only and has no lock, there is nothing to wait for.
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

    /// What keeps an operation of this store, or of a clone of it, from going on at this moment.
    #[must_use]
    pub fn waits_for(&self) -> Option<Wait> {
        self.waits.current()
    }

    /// Lets the stored session remember the user's identity in `identity_pool`.
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

    /// When the stored session, or who may read it, was last changed; `None` when there is none.
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

    /// A process that has died between writing a session and renaming the file has left the newer one beside it,
    /// and the refresh token in the older one may have been used up.
    async fn finish_interrupted_write(&self) -> Result<Option<Session>, Error> {
        let content = self.blocking(file::read_replacement).await?;
        let Some(session) = content.and_then(|content| record::decode(&content)) else { return Ok(None) };
        self.blocking(file::finish_replacement).await?;
        tracing::info!(file = %self.path.display(), "took up a session that a process had no time to put in place");
        Ok(Some(session))
    }

    /// Finds out whether a session can be written, before anything is done that needs it.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn try_out(&self) -> Result<(), Error> {
        // What is tried takes the place of a newer session that is not in its own yet.
        self.finish_interrupted_write().await?;
        let replacement = self.prepare().await?;
        self.discard(replacement).await;
        Ok(())
    }

    /// Stores `session`; on return it is on the disk.
    ///
    /// # Errors
    /// When the file cannot be written. The one before stays then.
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
    /// When the file is there and cannot be deleted.
    pub async fn forget(&self) -> Result<(), Error> {
        self.blocking(file::remove).await
    }

    /// Whether no other process can have changed the session since it was locked.
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
            // What stays does no harm, since it is no session.
            tracing::debug!(%error, "a file that is not needed could not be removed");
        }
    }

    /// The operation keeps the lock for as long as it takes, also when nobody waits for it any more.
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

#[cfg(all(test, unix))]
mod tests;
