//! Codes that confirm a sign-up, reset a password or verify an address.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::{
    UserPool,
    account::Account,
    outbox::{Purpose, masked},
};
use crate::sandbox::{answer::AwsError, people::Medium};

/// Codes of one kind that a user may ask for within [`WINDOW`].
const MAX_SENT: usize = 20;
const WINDOW: Duration = Duration::from_secs(3600);

/// What the code is for, and by whom.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    username: String,
    purpose: Purpose,
    /// Apart for each address where both are to be verified; the only one otherwise.
    address: Option<Medium>,
}

#[derive(Default)]
struct Record {
    current: Option<Current>,
    sent: Vec<SystemTime>,
    wrong: Vec<SystemTime>,
}

struct Current {
    code: String,
    medium: Medium,
    address: String,
    expires: SystemTime,
}

pub(super) struct VerificationCodes {
    records: Mutex<HashMap<Key, Record>>,
    /// Wrong codes that a user may give within [`WINDOW`].
    max_wrong: usize,
}

impl VerificationCodes {
    pub(super) fn new(max_wrong: usize) -> Self {
        Self { records: Mutex::default(), max_wrong }
    }

    /// Checks a code and carries out what it allows, with the medium that it was sent by. It is valid once, and stays
    /// valid if `accept` fails.
    pub(super) fn redeem(
        &self,
        account: &Account,
        (purpose, address): (Purpose, Option<Medium>),
        code: &str,
        now: SystemTime,
        accept: impl FnOnce(Medium) -> Result<(), AwsError>,
    ) -> Result<(), AwsError> {
        let username = account.user.username.clone();
        let mut records = self.lock();
        let record = records.entry(Key { username, purpose, address }).or_default();
        record.wrong.retain(|time| is_recent(*time, now));
        if record.wrong.len() >= self.max_wrong {
            return Err(limit_exceeded());
        }
        let current = record.current.take().filter(|current| now < current.expires);
        // A code to an address that has been replaced since does not verify the new one.
        let current = current.filter(|current| account.address(current.medium) == Some(&current.address));
        let current = current.ok_or_else(expired_code)?;
        if current.code != code {
            record.wrong.push(now);
            record.current = Some(current);
            return Err(code_mismatch());
        }
        if let Err(error) = accept(current.medium) {
            record.current = Some(current);
            return Err(error);
        }
        record.wrong.clear();
        Ok(())
    }

    /// Forgets the codes of a user who is gone.
    pub(super) fn forget(&self, username: &str) {
        self.lock().retain(|key, _| key.username != username);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserPool {
    /// Sends a code, which replaces the one before; returns CodeDeliveryDetails.
    pub(super) fn send_verification(
        &self,
        account: &Account,
        purpose: Purpose,
        medium: Medium,
    ) -> Result<Value, AwsError> {
        let now = self.clock.now();
        let address = (purpose == Purpose::VerifyUserAttribute).then_some(medium);
        let key = Key { username: account.user.username.clone(), purpose, address };
        let mut records = self.verification.lock();
        let record = records.entry(key).or_default();
        record.sent.retain(|time| is_recent(*time, now));
        if record.sent.len() >= MAX_SENT {
            return Err(limit_exceeded());
        }
        record.sent.push(now);
        let address = account.address(medium).unwrap_or_default().to_owned();
        let details = delivery_details(medium, &address);
        let code = self.outbox.send_code(account, medium, purpose);
        let lifetime = self.rules.code_lifetime.unwrap_or_else(|| default_lifetime(purpose));
        record.current = Some(Current { code, medium, address, expires: now + lifetime });
        Ok(details)
    }

    /// The address that the pool verifies first.
    pub(super) fn verifying_medium(&self, account: &Account) -> Option<Medium> {
        self.rules.verified_by.iter().copied().find(|medium| account.address(*medium).is_some())
    }
}

pub(super) fn delivery_details(medium: Medium, address: &str) -> Value {
    json!({
        "AttributeName": medium.attribute(),
        "DeliveryMedium": medium.as_str(),
        "Destination": masked(address),
    })
}

fn default_lifetime(purpose: Purpose) -> Duration {
    match purpose {
        Purpose::ForgotPassword => Duration::from_secs(3600),
        _ => Duration::from_secs(24 * 3600),
    }
}

/// Also counts what lies in the future, where the clock has been set back.
fn is_recent(time: SystemTime, now: SystemTime) -> bool {
    now.duration_since(time).map_or(true, |age| age < WINDOW)
}

pub(super) fn code_mismatch() -> AwsError {
    AwsError::new("CodeMismatchException", "Invalid verification code provided, please try again.")
}

pub(super) fn expired_code() -> AwsError {
    AwsError::new("ExpiredCodeException", "Invalid code provided, please request a code again.")
}

pub(super) fn limit_exceeded() -> AwsError {
    AwsError::new("LimitExceededException", "Attempt limit exceeded, please try after some time.")
}
