//! The identities of the pool, and the login that each belongs to.
//!
//! Ids follow from the seed, and a client may bring one that an earlier run of the sandbox gave it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::sandbox::{digest::hmac, seed::Seed};

/// The provider and `sub` that an identity belongs to; guests have none.
pub(super) type Owner = Option<(String, String)>;

pub(super) struct Identities {
    region: String,
    seed: Seed,
    known: Mutex<Known>,
}

/// What has become of the identities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sandbox) struct Known {
    owners: BTreeMap<String, Owner>,
    deleted: BTreeSet<String>,
}

impl Identities {
    pub(super) fn new(region: &str, seed: Seed) -> Self {
        Self { region: region.to_owned(), seed, known: Mutex::default() }
    }

    /// The identity of a login, always the same; a new one for each guest.
    pub(super) fn of(&self, owner: Owner) -> String {
        let mut known = self.lock();
        let existing = known.owners.iter().find(|(_, other)| owner.is_some() && **other == owner);
        if let Some((id, _)) = existing {
            return id.clone();
        }
        let id = match &owner {
            Some(login) => self.of_login(login, &known.deleted),
            None => self.of_guest(rand::random()),
        };
        known.owners.insert(id.clone(), owner);
        id
    }

    /// Gives a guest's identity to a login; the login's own identity where it has one.
    pub(super) fn merge(&self, guest: &str, owner: (String, String)) -> String {
        let mut known = self.lock();
        let owner = Some(owner);
        if let Some((id, _)) = known.owners.iter().find(|(_, other)| **other == owner) {
            return id.clone();
        }
        known.owners.insert(guest.to_owned(), owner);
        guest.to_owned()
    }

    /// The login that an identity belongs to, where a client with `login` names it; `None` when there is no such
    /// identity.
    pub(super) fn owner(&self, identity_id: &str, login: &Owner) -> Option<Owner> {
        let mut known = self.lock();
        if let Some(owner) = known.owners.get(identity_id) {
            return Some(owner.clone());
        }
        if known.deleted.contains(identity_id) {
            return None;
        }
        let is_of_login =
            login.as_ref().is_some_and(|login| self.of_login(login, &known.deleted) == identity_id);
        let owner = match is_of_login {
            true => login.clone(),
            false if self.is_guest(identity_id) => None,
            false => return None,
        };
        known.owners.insert(identity_id.to_owned(), owner.clone());
        Some(owner)
    }

    pub(super) fn delete(&self, identity_id: &str) {
        let mut known = self.lock();
        known.owners.remove(identity_id);
        known.deleted.insert(identity_id.to_owned());
    }

    pub(super) fn known(&self) -> Known {
        self.lock().clone()
    }

    pub(super) fn restore(&self, known: Known) {
        *self.lock() = known;
    }

    /// The first id of a login that was not deleted.
    fn of_login(&self, (provider, subject): &(String, String), deleted: &BTreeSet<String>) -> String {
        let ids = (0_u64..).map(|number| {
            let name = format!("{provider}\n{subject}\n{number}");
            format!("{}:{}", self.region, self.seed.uuid("identity", &name))
        });
        ids.into_iter().find(|id| !deleted.contains(id)).expect("the numbers do not end")
    }

    /// The second half of a guest's id authenticates the first, so that the id needs no record.
    fn of_guest(&self, first_half: [u8; 6]) -> String {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&first_half);
        let tag = hmac(&self.seed.bytes("guest", ""), &[&first_half]);
        id[6..].copy_from_slice(&tag[..10]);
        format!("{}:{}", self.region, Builder::from_random_bytes(id).into_uuid())
    }

    fn is_guest(&self, identity_id: &str) -> bool {
        let id = identity_id.strip_prefix(&self.region).and_then(|rest| rest.strip_prefix(':'));
        let Some(id) = id.and_then(|id| Uuid::parse_str(id).ok()) else { return false };
        let mut first_half = [0; 6];
        first_half.copy_from_slice(&id.as_bytes()[..6]);
        self.of_guest(first_half) == identity_id
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities() -> Identities {
        Identities::new("eu-west-1", Seed::default())
    }

    fn ann() -> (String, String) {
        ("pool".to_owned(), "ann".to_owned())
    }

    #[test]
    fn a_login_has_the_same_identity_after_a_restart() {
        let id = identities().of(Some(ann()));
        assert_eq!(identities().of(Some(ann())), id);
        assert_eq!(identities().owner(&id, &Some(ann())), Some(Some(ann())));
        let bob = Some(("pool".to_owned(), "bob".to_owned()));
        assert_eq!(identities().owner(&id, &bob), None);
        assert_eq!(identities().owner(&id, &None), None);
    }

    #[test]
    fn a_guest_is_known_after_a_restart_and_an_invented_id_is_not() {
        let (first, second) = (identities().of(None), identities().of(None));
        assert_ne!(first, second);
        assert_eq!(identities().owner(&first, &None), Some(None));
        let invented = format!("eu-west-1:{}", Uuid::new_v4());
        assert_eq!(identities().owner(&invented, &None), None);
    }

    #[test]
    fn a_deleted_identity_does_not_come_back() {
        let identities = identities();
        let id = identities.of(Some(ann()));
        identities.delete(&id);
        assert_eq!(identities.owner(&id, &Some(ann())), None);
        assert_ne!(identities.of(Some(ann())), id);
    }

    #[test]
    fn what_is_known_survives_as_json() {
        let first = identities();
        let guest = first.of(None);
        first.merge(&guest, ann());
        let json = serde_json::to_string(&first.known()).expect("JSON");
        let second = identities();
        second.restore(serde_json::from_str(&json).expect("the same"));
        assert_eq!(second.of(Some(ann())), guest);
    }
}
