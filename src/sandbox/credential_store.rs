//! The temporary credentials that were issued, by which the API knows a caller.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// How long expired credentials are kept, so that the API can tell them from unknown ones.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

#[derive(Default)]
pub(super) struct CredentialStore(Mutex<HashMap<String, Issued>>);

/// One set of credentials.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Issued {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    /// Absent for long-term keys, which the sandbox itself never issues.
    pub(super) session_token: Option<String>,
    pub(super) expires: SystemTime,
    pub(super) valid: bool,
    pub(super) principal: Principal,
}

/// Who acts with the credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Principal {
    pub(super) identity_id: String,
    /// `iss` without its scheme and `sub` of the login; guests have none.
    pub(super) login: Option<(String, String)>,
    /// The ARN of the role.
    pub(super) role_arn: String,
    pub(super) session_name: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl CredentialStore {
    pub(super) fn issue(&self, principal: Principal, lifetime: Duration, now: SystemTime) -> Issued {
        let issued = Issued {
            access_key: format!("ASIA{}", random_text(16)),
            secret_key: STANDARD.encode(rand::random::<[u8; 30]>()),
            session_token: Some(format!("IQoJb3JpZ2lu{}", STANDARD.encode(rand::random::<[u8; 601]>()))),
            expires: now + lifetime,
            valid: true,
            principal,
        };
        self.keep(issued.clone(), now);
        issued
    }

    pub(super) fn keep(&self, issued: Issued, now: SystemTime) {
        let mut store = self.lock();
        store.retain(|_, known| now < known.expires + REMEMBERED);
        store.insert(issued.access_key.clone(), issued);
    }

    pub(super) fn find(&self, access_key: &str) -> Option<Issued> {
        self.lock().get(access_key).cloned()
    }

    /// The credentials that have not expired, by their access keys.
    pub(super) fn stored(&self, now: SystemTime) -> Vec<Issued> {
        let mut issued: Vec<_> =
            self.lock().values().filter(|issued| now < issued.expires).cloned().collect();
        issued.sort_by(|one, other| one.access_key.cmp(&other.access_key));
        issued
    }

    pub(super) fn restore(&self, issued: Vec<Issued>) {
        self.lock().extend(issued.into_iter().map(|issued| (issued.access_key.clone(), issued)));
    }

    /// Makes the API answer that it does not know the credentials.
    pub(super) fn invalidate_all(&self) {
        self.lock().values_mut().for_each(|issued| issued.valid = false);
    }

    /// Makes the API answer that the credentials have expired, before their time.
    pub(super) fn expire_all(&self, now: SystemTime) {
        self.lock().values_mut().for_each(|issued| issued.expires = issued.expires.min(now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Issued>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Principal {
    /// The account and the name in `arn:aws:iam::ACCOUNT:role/NAME`.
    pub(super) fn account_and_role(&self) -> (&str, &str) {
        let account = self.role_arn.split(':').nth(4).unwrap_or_default();
        (account, self.role_arn.rsplit('/').next().unwrap_or_default())
    }

    /// `userArn` of the session.
    pub(super) fn user_arn(&self) -> String {
        let (account, role) = self.account_and_role();
        format!("arn:aws:sts::{account}:assumed-role/{role}/{}", self.session_name)
    }
}

fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    (0..length).map(|_| char::from(ALPHABET[usize::from(rand::random::<u8>() % 32)])).collect()
}
