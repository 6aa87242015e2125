//! The cached inputs of signatures: the time of a second, the key of a day, the token of a session.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{Scope, SigningError, secret_value};

/// A signing time in the two forms that a signature needs.
#[derive(Clone, Debug)]
pub(super) struct Timestamp {
    seconds: u64,
    time: SystemTime,
    date_time: String,
    value: HeaderValue,
}

impl Timestamp {
    /// `None` outside the years 1970 to 9999.
    pub(super) fn new(time: SystemTime) -> Option<Self> {
        let seconds = seconds(time)?;
        let utc = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
        let (year, month, day) = utc.to_calendar_date();
        let (hour, minute, second) = utc.to_hms();
        let date_time = format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month));
        let value = HeaderValue::from_str(&date_time).expect("digits, T and Z are visible ASCII");
        Some(Self { seconds, time, date_time, value })
    }

    /// Whether `time` is in this second.
    pub(super) fn matches(&self, time: SystemTime) -> bool {
        seconds(time) == Some(self.seconds)
    }

    /// `20150830T123600Z`
    pub(super) fn date_time(&self) -> &str {
        &self.date_time
    }

    /// `20150830`
    pub(super) fn date(&self) -> &str {
        &self.date_time[..8]
    }

    /// The value of `x-amz-date`.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }
}

fn seconds(time: SystemTime) -> Option<u64> {
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// The signing key of a day and a scope. Derived once, since that takes four HMACs.
pub(super) struct SigningKey {
    secret_access_key: Zeroizing<String>,
    date: String,
    /// `20150830/eu-west-1/execute-api/aws4_request`
    scope: String,
    keyed: Hmac<Sha256>,
}

impl SigningKey {
    pub(super) fn new(scope: &Scope, credentials: &Credentials, timestamp: &Timestamp) -> Self {
        let Scope { region, service } = scope;
        let key = v4::generate_signing_key(credentials.secret_access_key(), timestamp.time, region, service);
        Self {
            secret_access_key: Zeroizing::new(credentials.secret_access_key().to_owned()),
            date: timestamp.date().to_owned(),
            scope: format!("{}/{region}/{service}/aws4_request", timestamp.date()),
            keyed: Hmac::new_from_slice(key.as_ref()).expect("HMAC takes a key of any length"),
        }
    }

    /// Whether this is the key of these credentials on this day. The secret is compared too: a user may have corrected
    /// it.
    pub(super) fn matches(&self, credentials: &Credentials, timestamp: &Timestamp) -> bool {
        *self.secret_access_key == credentials.secret_access_key() && self.date == timestamp.date()
    }

    /// `20150830/eu-west-1/execute-api/aws4_request`
    pub(super) fn scope(&self) -> &str {
        &self.scope
    }

    /// The signature of `string_to_sign`.
    pub(super) fn sign(&self, string_to_sign: &[u8]) -> [u8; 32] {
        // A clone of the keyed state saves hashing the padded key again.
        let mut mac = self.keyed.clone();
        mac.update(string_to_sign);
        mac.finalize().into_bytes().into()
    }
}

/// A session token and its header value.
pub(super) struct Token {
    text: Zeroizing<String>,
    value: HeaderValue,
}

impl Token {
    /// # Errors
    /// When the token is not a header value.
    pub(super) fn new(text: &str) -> Result<Self, SigningError> {
        Ok(Self { text: Zeroizing::new(text.to_owned()), value: secret_value(text.to_owned().into())? })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        *self.text == text
    }

    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }
}
