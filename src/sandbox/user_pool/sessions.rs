//! Challenges that await their answer: each may be answered once, within its time.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::srp::{Handshake, Prover};
use crate::sandbox::answer::AwsError;

/// How long a password claim may take.
const CLAIM_LIFETIME: Duration = Duration::from_secs(60);

/// Who is signing in, and where.
#[derive(Clone)]
pub(super) struct Attempt {
    /// The internal user name, or what was typed when nobody is called that.
    pub(super) username: String,
    pub(super) client_id: String,
}

/// What is asked of the client.
pub(super) enum Step {
    /// PASSWORD_VERIFIER.
    PasswordVerifier { prover: Prover, handshake: Box<Handshake> },
}

/// A challenge that awaits its answer.
pub(super) struct Open {
    pub(super) attempt: Attempt,
    pub(super) step: Step,
    expires: SystemTime,
}

/// The open challenges, by Session; those of SRP by SECRET_BLOCK, as they carry no Session.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Open>>);

impl Sessions {
    /// Opens a password claim and returns its SECRET_BLOCK.
    pub(super) fn open_claim(&self, attempt: Attempt, step: Step, now: SystemTime) -> String {
        self.insert(STANDARD.encode(rand::random::<[u8; 256]>()), attempt, step, now + CLAIM_LIFETIME, now)
    }

    /// Takes a challenge, which cannot be answered again.
    pub(super) fn take(&self, id: &str, now: SystemTime) -> Result<Open, AwsError> {
        let open = self.lock().remove(id);
        let open = open.ok_or_else(|| AwsError::not_authorized("Invalid session for the user."))?;
        if now >= open.expires {
            let message = "Invalid session for the user, session is expired.";
            return Err(AwsError::not_authorized(message));
        }
        Ok(open)
    }

    fn insert(
        &self,
        id: String,
        attempt: Attempt,
        step: Step,
        expires: SystemTime,
        now: SystemTime,
    ) -> String {
        let mut sessions = self.lock();
        sessions.retain(|_, open| now < open.expires);
        sessions.insert(id.clone(), Open { attempt, step, expires });
        id
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
