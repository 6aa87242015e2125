//! The users of the pool: looking them up, adding and removing them, checking their passwords.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use uuid::Builder;

use super::{
    account::Account,
    srp::{Prover, Verifier},
};
use crate::sandbox::{
    answer::AwsError,
    digest::hmac,
    people::{Medium, User},
    pool_rules::{PoolRules, Usernames},
};

const MAX_LOCKOUT: Duration = Duration::from_secs(15 * 60);

pub(super) struct Directory {
    pool_name: String,
    /// What every `sub` is derived from.
    seed: String,
    usernames: Usernames,
    /// Wrong passwords that are allowed before each further one locks the user out for longer.
    max_attempts: usize,
    users: Mutex<Users>,
    /// The seed for the salts of users that do not exist, so that each gets the same one at every attempt.
    decoy_key: [u8; 32],
}

#[derive(Default)]
struct Users {
    accounts: Vec<Account>,
    /// How many users have had a name: one who signs up after a deletion gets another `sub`.
    generations: HashMap<String, u32>,
}

impl Directory {
    /// A directory with these users; every `sub` follows from `seed` and the user name.
    pub(super) fn new(
        pool_name: &str,
        seed: &str,
        rules: &PoolRules,
        users: &[User],
        now: SystemTime,
    ) -> Self {
        let directory = Self {
            pool_name: pool_name.to_owned(),
            seed: seed.to_owned(),
            usernames: rules.usernames,
            max_attempts: rules.max_attempts,
            users: Mutex::default(),
            decoy_key: rand::random(),
        };
        {
            let mut known = directory.lock();
            for user in users {
                let sub = known.next_sub(&directory.seed, &user.username);
                known.accounts.push(Account::new(user.clone(), sub, now));
            }
        }
        directory
    }

    /// The user with this name, alias or `sub`.
    pub(super) fn account(&self, name: &str) -> Option<Account> {
        self.lock().accounts.iter().find(|account| account.is_called(name)).cloned()
    }

    /// The user with this name. A session is invalid once its user is gone.
    pub(super) fn existing(&self, name: &str) -> Result<Account, AwsError> {
        self.account(name).ok_or_else(no_such_user)
    }

    /// All users, in the order in which they were made.
    pub(super) fn accounts(&self) -> Vec<Account> {
        self.lock().accounts.clone()
    }

    /// How many users of each name there have been.
    pub(super) fn generations(&self) -> BTreeMap<String, u32> {
        self.lock().generations.iter().map(|(name, number)| (name.clone(), *number)).collect()
    }

    /// Takes the users of an earlier run, each in place of the one with the same user name. Where a name has had more
    /// users than now, the next one is another one still.
    pub(super) fn restore(&self, accounts: Vec<Account>, generations: BTreeMap<String, u32>) {
        let mut users = self.lock();
        users.generations.extend(generations);
        for account in accounts {
            let known = users.accounts.iter_mut().find(|known| known.user.username == account.user.username);
            match known {
                Some(known) => *known = account,
                None => users.accounts.push(account),
            }
        }
    }

    pub(super) fn update(&self, name: &str, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.lock().accounts.iter_mut().find(|account| account.is_called(name)) {
            change(account);
        }
    }

    /// Checks and changes a user in one step, so that no other request comes between.
    pub(super) fn try_update<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Account) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        let mut users = self.lock();
        let account = users.accounts.iter_mut().find(|account| account.is_called(name));
        change(account.ok_or_else(no_such_user)?)
    }

    /// Adds a user. The name must be free. Where it is the e-mail address, the `sub` becomes the user name.
    pub(super) fn create(&self, mut user: User, now: SystemTime) -> Result<Account, AwsError> {
        let mut users = self.lock();
        if users.accounts.iter().any(|account| account.is_called(&user.username)) {
            return Err(AwsError::new(
                "UsernameExistsException",
                match self.usernames.addresses().iter().find(|medium| medium.is_address(&user.username)) {
                    Some(Medium::Email) => "An account with the given email already exists.",
                    Some(Medium::Sms) => "An account with the given phone_number already exists.",
                    None => "User already exists",
                },
            ));
        }
        let sub = users.next_sub(&self.seed, &user.username);
        if !self.usernames.addresses().is_empty() {
            user.aliases.push(std::mem::replace(&mut user.username, sub.clone()));
        }
        let account = Account::new(user, sub, now);
        users.accounts.push(account.clone());
        Ok(account)
    }

    /// The internal name that a new user will have.
    pub(super) fn internal_name(&self, username: &str) -> String {
        if self.usernames.addresses().is_empty() {
            return username.to_owned();
        }
        let generation = self.lock().generations.get(&username.to_ascii_lowercase()).copied();
        subject(&self.seed, username, generation.unwrap_or_default())
    }

    pub(super) fn remove(&self, username: &str) {
        self.lock().accounts.retain(|account| account.user.username != username);
    }

    /// Makes a verified address the sign-in name of its user, in place of the one before, where users sign in by address.
    /// With `force`, it stops being the sign-in name of another user.
    pub(super) fn claim_alias(&self, username: &str, medium: Medium, force: bool) -> Result<(), AwsError> {
        let mut users = self.lock();
        let owner = users.accounts.iter().find(|account| account.user.username == username);
        let Some(owner) = owner else { return Ok(()) };
        let Some(address) = owner.address(medium).map(str::to_owned) else { return Ok(()) };
        let has_alias = owner.user.aliases.iter().any(|alias| medium.is_address(alias));
        if owner.is_called(&address) || (self.usernames == Usernames::Chosen && !has_alias) {
            return Ok(());
        }
        let others = users.accounts.iter_mut().filter(|account| account.user.username != username);
        for other in others.filter(|account| account.is_called(&address)) {
            if !force {
                let message = format!("An account with the {} already exists.", medium.attribute());
                return Err(AwsError::new("AliasExistsException", message));
            }
            other.user.aliases.retain(|alias| !alias.eq_ignore_ascii_case(&address));
        }
        if let Some(owner) = users.accounts.iter_mut().find(|account| account.user.username == username) {
            owner.user.aliases.retain(|alias| !medium.is_address(alias));
            owner.user.aliases.push(address);
        }
        Ok(())
    }

    /// What the pool keeps of the password of `name`; made up when nobody is called that, so that
    /// the exchange goes on as with a wrong password.
    pub(super) fn verifier(&self, name: &str) -> (Prover, Verifier) {
        let prover = |id: &str| Prover { group: self.pool_name.clone(), id: id.to_owned() };
        let account = self.account(name);
        if let Some(account) = account.as_ref().filter(|account| account.has_password()) {
            let prover = prover(&account.user.username);
            let password = account.user.password.expose_secret();
            let verifier = Verifier::of(&prover, password, &account.salt);
            return (prover, verifier);
        }
        let made_up = hmac(&self.decoy_key, &[name.as_bytes()]);
        let prover = prover(account.as_ref().map_or(name, |account| &account.user.username));
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
        let right = self.account(name).is_some_and(|account| account.password_is(password));
        self.judge(name, right, now)
    }

    /// Counts the outcome of a password check, and gives the error that AWS returns for it.
    pub(super) fn judge(&self, name: &str, right: bool, now: SystemTime) -> Result<Account, AwsError> {
        let mut users = self.lock();
        let account = users.accounts.iter_mut().find(|account| account.is_called(name));
        let account = account.ok_or_else(wrong_password)?;
        if now < account.locked_until {
            return Err(AwsError::not_authorized("Password attempts exceeded"));
        }
        if right {
            account.wrong_passwords = 0;
            return Ok(account.clone());
        }
        account.wrong_passwords += 1;
        account.locked_until = now + lock_after(account.wrong_passwords, self.max_attempts);
        Err(wrong_password())
    }

    fn lock(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Users {
    fn next_sub(&mut self, seed: &str, username: &str) -> String {
        let generation = self.generations.entry(username.to_ascii_lowercase()).or_default();
        let sub = subject(seed, username, *generation);
        *generation += 1;
        sub
    }
}

/// The `sub` of a user: the same after every start with the same seed. User names ignore case.
fn subject(seed: &str, username: &str, generation: u32) -> String {
    let name = username.to_ascii_lowercase();
    let hash = hmac(seed.as_bytes(), &[b"sub", &generation.to_be_bytes(), name.as_bytes()]);
    let bytes = std::array::from_fn(|at| hash[at]);
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

pub(super) fn wrong_password() -> AwsError {
    AwsError::not_authorized("Incorrect username or password.")
}

pub(super) fn no_such_user() -> AwsError {
    AwsError::new("UserNotFoundException", "User does not exist.")
}

fn lock_after(wrong_passwords: u32, max_attempts: usize) -> Duration {
    match wrong_passwords.checked_sub(u32::try_from(max_attempts).unwrap_or(u32::MAX)) {
        None => Duration::ZERO,
        Some(further) => Duration::from_secs(1 << further.min(10)).min(MAX_LOCKOUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_doubles_after_five_wrong_passwords() {
        let locks: Vec<u64> = [1, 4, 5, 6, 8, 14, 15, 40].map(|n| lock_after(n, 5).as_secs()).to_vec();
        assert_eq!(locks, [0, 0, 1, 2, 8, 512, 900, 900]);
    }

    #[test]
    fn the_subject_depends_on_seed_name_and_generation() {
        let subject_of_ann = subject("seed", "ann", 0);
        assert_eq!(subject_of_ann, subject("seed", "Ann", 0));
        for other in [subject("other", "ann", 0), subject("seed", "bob", 0), subject("seed", "ann", 1)] {
            assert_ne!(subject_of_ann, other);
        }
        assert_eq!(uuid::Uuid::parse_str(&subject_of_ann).map(|id| id.get_version_num()), Ok(4));
    }
}
