//! Authorisation codes that were not yet exchanged.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// What a user has signed in to.
pub(super) struct AuthorizationCode {
    pub(super) username: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) scope: String,
    pub(super) expires: SystemTime,
}

#[derive(Default)]
pub(in crate::sandbox::user_pool) struct AuthorizationCodes(Mutex<HashMap<String, AuthorizationCode>>);

impl AuthorizationCodes {
    pub(super) fn put(&self, code: AuthorizationCode, now: SystemTime) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let mut codes = self.lock();
        codes.retain(|_, code| now < code.expires);
        codes.insert(id.clone(), code);
        id
    }

    /// Removes a code, which is valid once.
    pub(super) fn take(&self, id: &str, now: SystemTime) -> Option<AuthorizationCode> {
        self.lock().remove(id).filter(|code| now < code.expires)
    }

    /// Forgets the codes of a user who is gone.
    pub(in crate::sandbox::user_pool) fn forget(&self, username: &str) {
        self.lock().retain(|_, code| code.username != username);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, AuthorizationCode>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
