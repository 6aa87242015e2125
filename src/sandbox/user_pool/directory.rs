//! The users and app clients of the pool: looking them up, checking passwords and client secrets.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;

use super::srp::{Prover, Verifier};
use crate::sandbox::{
    answer::AwsError,
    digest::hmac,
    settings::{AppClient, User},
};

/// Wrong passwords that are forgiven before each further one locks the user out for longer.
const FORGIVEN: u32 = 5;
const LONGEST_LOCK: Duration = Duration::from_secs(15 * 60);

pub(super) struct Directory {
    pool_name: String,
    clients: Vec<AppClient>,
    accounts: Mutex<Vec<Account>>,
    /// Makes the salts of users that do not exist, the same at each attempt.
    decoy_key: [u8; 32],
}

/// A user and what the pool has learnt of them.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) user: User,
    pub(super) sub: String,
    salt: [u8; 16],
    wrong_passwords: u32,
    locked_until: SystemTime,
}

impl Directory {
    pub(super) fn new(pool_name: &str, users: &[User], clients: &[AppClient]) -> Self {
        Self {
            pool_name: pool_name.to_owned(),
            clients: clients.to_vec(),
            accounts: Mutex::new(users.iter().cloned().map(Account::new).collect()),
            decoy_key: rand::random(),
        }
    }

    pub(super) fn client(&self, id: &str) -> Result<&AppClient, AwsError> {
        let found = self.clients.iter().find(|client| client.id == id);
        found.ok_or_else(|| AwsError::not_found(format!("User pool client {id} does not exist.")))
    }

    /// The user with this name or alias.
    pub(super) fn account(&self, name: &str) -> Option<Account> {
        self.lock().iter().find(|account| account.is_called(name)).cloned()
    }

    /// What the pool keeps of the password of `name`; made up when nobody is called that, so that
    /// the exchange goes on as with a wrong password.
    pub(super) fn verifier(&self, name: &str) -> (Prover, Verifier) {
        let prover = |id: &str| Prover { group: self.pool_name.clone(), id: id.to_owned() };
        if let Some(account) = self.account(name) {
            let prover = prover(&account.user.username);
            let verifier = Verifier::of(&prover, account.user.password.expose_secret(), &account.salt);
            return (prover, verifier);
        }
        let made_up = hmac(&self.decoy_key, &[name.as_bytes()]);
        let prover = prover(name);
        let verifier = Verifier::of(&prover, &STANDARD.encode(made_up), &made_up[..16]);
        (prover, verifier)
    }

    /// Counts the outcome of a password check, and turns it into AWS's answer.
    pub(super) fn judge(&self, name: &str, right: bool, now: SystemTime) -> Result<Account, AwsError> {
        let wrong = || AwsError::not_authorized("Incorrect username or password.");
        let mut accounts = self.lock();
        let account = accounts.iter_mut().find(|account| account.is_called(name)).ok_or_else(wrong)?;
        if now < account.locked_until {
            return Err(AwsError::not_authorized("Password attempts exceeded"));
        }
        if right {
            account.wrong_passwords = 0;
            return Ok(account.clone());
        }
        account.wrong_passwords += 1;
        account.locked_until = now + lock_after(account.wrong_passwords);
        Err(wrong())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn new(user: User) -> Self {
        Self {
            user,
            sub: uuid::Uuid::new_v4().to_string(),
            salt: rand::random(),
            wrong_passwords: 0,
            locked_until: SystemTime::UNIX_EPOCH,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let mut names = std::iter::once(&self.user.username).chain(&self.user.aliases);
        names.any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Checks SECRET_HASH, which is over the name that the request carries or stands for.
pub(super) fn check_secret_hash(
    client: &AppClient,
    username: &str,
    given: Option<&String>,
) -> Result<(), AwsError> {
    let id = &client.id;
    match (&client.secret, given) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(AwsError::not_authorized(format!(
            "Client {id} is configured with secret but SECRET_HASH was not received"
        ))),
        (Some(secret), Some(given)) => {
            let key = secret.expose_secret().as_bytes();
            let expected = STANDARD.encode(hmac(key, &[username.as_bytes(), id.as_bytes()]));
            if *given == expected { Ok(()) } else { Err(unverified(id)) }
        }
        (None, Some(_)) => Err(unverified(id)),
    }
}

/// Checks the raw secret that GetTokensFromRefreshToken and RevokeToken take.
pub(super) fn check_secret(client: &AppClient, given: Option<&str>) -> Result<(), AwsError> {
    let id = &client.id;
    match (&client.secret, given) {
        (None, _) => Ok(()),
        (Some(secret), Some(given)) if secret.expose_secret() == given => Ok(()),
        (Some(_), None) => Err(AwsError::not_authorized(format!(
            "Client {id} is configured with secret but ClientSecret was not received"
        ))),
        (Some(_), Some(_)) => {
            Err(AwsError::not_authorized(format!("ClientSecret does not match for the client: {id}")))
        }
    }
}

fn unverified(client_id: &str) -> AwsError {
    AwsError::not_authorized(format!("Unable to verify secret hash for client {client_id}"))
}

fn lock_after(wrong_passwords: u32) -> Duration {
    match wrong_passwords.checked_sub(FORGIVEN) {
        None => Duration::ZERO,
        Some(further) => Duration::from_secs(1 << further.min(10)).min(LONGEST_LOCK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_doubles_after_five_wrong_passwords() {
        let locks: Vec<u64> = [1, 4, 5, 6, 8, 14, 15, 40].map(|n| lock_after(n).as_secs()).to_vec();
        assert_eq!(locks, [0, 0, 1, 2, 8, 512, 900, 900]);
    }
}
