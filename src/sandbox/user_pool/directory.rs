//! The users of the pool: looking them up, checking their passwords, changing what is known of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;

use super::srp::{Prover, Verifier};
use crate::sandbox::{
    answer::AwsError,
    digest::hmac,
    people::{User, UserState},
    seed::Seed,
};

/// Wrong passwords that are allowed before each further one locks the user out for longer.
const FORGIVEN: u32 = 5;
const MAX_LOCKOUT: Duration = Duration::from_secs(15 * 60);

pub(super) struct Directory {
    pool_name: String,
    accounts: Mutex<Vec<Account>>,
    /// The seed for the salts of users that do not exist, so that each gets the same one at every attempt.
    decoy_key: [u8; 32],
}

/// A user and what the pool has stored about them.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) user: User,
    pub(super) sub: String,
    /// What the user filled in at sign-in.
    pub(super) attributes: BTreeMap<String, String>,
    /// The confirmed devices.
    pub(super) devices: HashMap<String, Device>,
    /// The time step of the last authenticator code: each code is valid once.
    pub(super) spent_step: Option<u64>,
    pub(super) salt: [u8; 16],
    wrong_passwords: u32,
    locked_until: SystemTime,
}

/// A device that may sign in without a second factor.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) group_key: String,
    /// The verifier that ConfirmDevice sent; absent until then.
    pub(super) verifier: Option<Verifier>,
}

impl Directory {
    pub(super) fn new(pool_name: &str, seed: &Seed, users: &[User]) -> Self {
        let account = |user: &User| Account::new(user.clone(), seed.uuid("sub", &user.username));
        Self {
            pool_name: pool_name.to_owned(),
            accounts: Mutex::new(users.iter().map(account).collect()),
            decoy_key: rand::random(),
        }
    }

    /// The user with this name or alias.
    pub(super) fn account(&self, name: &str) -> Option<Account> {
        self.lock().iter().find(|account| account.is_called(name)).cloned()
    }

    /// The user with this name. A session is invalid once its user is gone.
    pub(super) fn existing(&self, name: &str) -> Result<Account, AwsError> {
        self.account(name).ok_or_else(|| AwsError::new("UserNotFoundException", "User does not exist."))
    }

    /// All users, in the order in which they were made.
    pub(super) fn accounts(&self) -> Vec<Account> {
        self.lock().clone()
    }

    /// Adds an account, in place of the one with the same user name.
    pub(super) fn put(&self, account: Account) {
        let mut accounts = self.lock();
        let known = accounts.iter_mut().find(|known| known.user.username == account.user.username);
        match known {
            Some(known) => *known = account,
            None => accounts.push(account),
        }
    }

    pub(super) fn update(&self, name: &str, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.lock().iter_mut().find(|account| account.is_called(name)) {
            change(account);
        }
    }

    /// What the pool keeps of the password of `name`; made up when nobody is called that, so that
    /// the exchange goes on as with a wrong password.
    pub(super) fn verifier(&self, name: &str) -> (Prover, Verifier) {
        let prover = |id: &str| Prover { group: self.pool_name.clone(), id: id.to_owned() };
        if let Some(account) = self.account(name) {
            let prover = prover(&account.user.username);
            let password = account.user.password.expose_secret();
            let verifier = Verifier::of(&prover, password, &account.salt);
            return (prover, verifier);
        }
        let made_up = hmac(&self.decoy_key, &[name.as_bytes()]);
        let prover = prover(name);
        let verifier = Verifier::of(&prover, &STANDARD.encode(made_up), &made_up[..16]);
        (prover, verifier)
    }

    /// Checks a password in the clear.
    pub(super) fn check_password(
        &self,
        name: &str,
        password: &str,
        now: SystemTime,
    ) -> Result<Account, AwsError> {
        let known = self.account(name);
        let right = known.is_some_and(|account| account.user.password.expose_secret() == password);
        self.judge(name, right, now)
    }

    /// Counts the outcome of a password check, and gives the error that AWS returns for it.
    pub(super) fn judge(&self, name: &str, right: bool, now: SystemTime) -> Result<Account, AwsError> {
        let mut accounts = self.lock();
        let account = accounts.iter_mut().find(|account| account.is_called(name));
        let account = account.ok_or_else(wrong_password)?;
        if now < account.locked_until {
            return Err(AwsError::not_authorized("Password attempts exceeded"));
        }
        if right {
            account.wrong_passwords = 0;
            return Ok(account.clone());
        }
        account.wrong_passwords += 1;
        account.locked_until = now + lock_after(account.wrong_passwords);
        Err(wrong_password())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    pub(super) fn new(user: User, sub: String) -> Self {
        Self {
            attributes: user.attributes.clone(),
            user,
            sub,
            devices: HashMap::new(),
            spent_step: None,
            salt: rand::random(),
            wrong_passwords: 0,
            locked_until: SystemTime::UNIX_EPOCH,
        }
    }

    /// Whether the user may sign in at all. Only a client that has proven a factor learns it.
    pub(super) fn admit(&self) -> Result<(), AwsError> {
        match self.user.state {
            UserState::Confirmed | UserState::TemporaryPassword { .. } => Ok(()),
            UserState::Disabled => Err(AwsError::not_authorized("User is disabled.")),
            UserState::Unconfirmed => {
                Err(AwsError::new("UserNotConfirmedException", "User is not confirmed."))
            }
            UserState::ResetRequired => {
                let message = "Password reset required for the user";
                Err(AwsError::new("PasswordResetRequiredException", message))
            }
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let mut names = std::iter::once(&self.user.username).chain(&self.user.aliases);
        names.any(|known| known.eq_ignore_ascii_case(name))
    }
}

pub(super) fn wrong_password() -> AwsError {
    AwsError::not_authorized("Incorrect username or password.")
}

fn lock_after(wrong_passwords: u32) -> Duration {
    match wrong_passwords.checked_sub(FORGIVEN) {
        None => Duration::ZERO,
        Some(further) => Duration::from_secs(1 << further.min(10)).min(MAX_LOCKOUT),
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
