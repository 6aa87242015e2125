//! The signing key of a day, derived once and kept.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::Scope;

/// A signing time in the two forms that a signature needs.
#[derive(Debug)]
pub(super) struct Timestamp {
    time: SystemTime,
    date_time: String,
}

impl Timestamp {
    /// `None` outside the years 1970 to 9999.
    pub(super) fn new(time: SystemTime) -> Option<Self> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let utc = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
        let (year, month, day) = utc.to_calendar_date();
        let (hour, minute, second) = utc.to_hms();
        let date_time = format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month));
        Some(Self { time, date_time })
    }

    /// `20150830T123600Z`
    pub(super) fn date_time(&self) -> &str {
        &self.date_time
    }

    /// `20150830`
    pub(super) fn date(&self) -> &str {
        &self.date_time[..8]
    }
}

/// Keeps the key that was derived last: credentials and day change far more rarely than requests come.
#[derive(Default)]
pub(super) struct KeyCache(Mutex<Option<DayKey>>);

struct DayKey {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    date: String,
    keyed: Hmac<Sha256>,
}

impl KeyCache {
    /// The signature of `string_to_sign`.
    pub(super) fn sign(
        &self,
        scope: &Scope,
        credentials: &Credentials,
        timestamp: &Timestamp,
        string_to_sign: &[u8],
    ) -> [u8; 32] {
        let mut mac = self.keyed(scope, credentials, timestamp);
        mac.update(string_to_sign);
        mac.finalize().into_bytes().into()
    }

    fn keyed(&self, scope: &Scope, credentials: &Credentials, timestamp: &Timestamp) -> Hmac<Sha256> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |key: &&DayKey| {
            key.access_key_id == credentials.access_key_id()
                && *key.secret_access_key == credentials.secret_access_key()
                && key.date == timestamp.date()
        };
        if let Some(key) = cached.as_ref().filter(fits) {
            return key.keyed.clone();
        }
        let key = v4::generate_signing_key(
            credentials.secret_access_key(),
            timestamp.time,
            &scope.region,
            &scope.service,
        );
        let keyed = Hmac::new_from_slice(key.as_ref()).expect("HMAC takes a key of any length");
        *cached = Some(DayKey {
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: Zeroizing::new(credentials.secret_access_key().to_owned()),
            date: timestamp.date().to_owned(),
            keyed: keyed.clone(),
        });
        keyed
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache")
    }
}
