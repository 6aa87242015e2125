//! The identities of the pool, and the login that each belongs to.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The provider and `sub` that an identity belongs to; guests have none.
pub(super) type Owner = Option<(String, String)>;

pub(super) struct Identities {
    region: String,
    owners: Mutex<HashMap<String, Owner>>,
}

impl Identities {
    pub(super) fn new(region: &str) -> Self {
        Self { region: region.to_owned(), owners: Mutex::default() }
    }

    /// The identity of a login, always the same; a new one for each guest.
    pub(super) fn of(&self, owner: Owner) -> String {
        let mut owners = self.lock();
        let known = owners.iter().find(|(_, known)| owner.is_some() && **known == owner);
        if let Some((id, _)) = known {
            return id.clone();
        }
        let id = format!("{}:{}", self.region, uuid::Uuid::new_v4());
        owners.insert(id.clone(), owner);
        id
    }

    /// Gives a guest's identity to a login; the login's own identity where it has one.
    pub(super) fn merge(&self, guest: &str, owner: (String, String)) -> String {
        let mut owners = self.lock();
        let owner = Some(owner);
        if let Some((id, _)) = owners.iter().find(|(_, known)| **known == owner) {
            return id.clone();
        }
        owners.insert(guest.to_owned(), owner);
        guest.to_owned()
    }

    /// The login that an identity belongs to; `None` when there is no such identity.
    pub(super) fn owner(&self, identity_id: &str) -> Option<Owner> {
        self.lock().get(identity_id).cloned()
    }

    pub(super) fn delete(&self, identity_id: &str) {
        self.lock().remove(identity_id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
