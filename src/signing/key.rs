//! The cached inputs of signatures: the time of a second, the key of a day, the token of a session.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::sign::{v4, v4a};
use bytes::BytesMut;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{Scope, SigningError, SigningRegion, percent::hex_digits, secret_value};

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
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    date: String,
    /// `20150830/eu-west-1/execute-api/aws4_request`; SigV4A has no region in it.
    scope: String,
    keyed: Keyed,
}

/// What computes signatures.
enum Keyed {
    /// SigV4: the state of an HMAC that has taken in the key.
    Hmac(Hmac<Sha256>),
    /// SigV4A: the private key of a pair on the curve P-256.
    Ecdsa(Zeroizing<Vec<u8>>),
}

impl SigningKey {
    pub(super) fn new(scope: &Scope, credentials: &Credentials, timestamp: &Timestamp) -> Self {
        let Scope { region, service } = scope;
        let (access_key_id, secret) = (credentials.access_key_id(), credentials.secret_access_key());
        let date = timestamp.date();
        let (keyed, scope) = match region {
            SigningRegion::One(region) => {
                let key = v4::generate_signing_key(secret, timestamp.time, region, service);
                let keyed = Hmac::new_from_slice(key.as_ref()).expect("HMAC takes a key of any length");
                (Keyed::Hmac(keyed), format!("{date}/{region}/{service}/aws4_request"))
            }
            SigningRegion::Set(_) => {
                let key = v4a::generate_signing_key(access_key_id, secret);
                let key = Zeroizing::new(key.as_ref().to_vec());
                (Keyed::Ecdsa(key), format!("{date}/{service}/aws4_request"))
            }
        };
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: Zeroizing::new(secret.to_owned()),
            date: date.to_owned(),
            scope,
            keyed,
        }
    }

    /// Whether this is the key of these credentials on this day. The secret is compared too: a user may have corrected
    /// it. A key of SigV4A derives from the access key id as well.
    pub(super) fn matches(&self, credentials: &Credentials, timestamp: &Timestamp) -> bool {
        *self.secret_access_key == credentials.secret_access_key()
            && self.access_key_id == credentials.access_key_id()
            && self.date == timestamp.date()
    }

    /// The name of the algorithm, as it stands in the string to sign.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.keyed {
            Keyed::Hmac(_) => "AWS4-HMAC-SHA256",
            Keyed::Ecdsa(_) => "AWS4-ECDSA-P256-SHA256",
        }
    }

    /// `20150830/eu-west-1/execute-api/aws4_request`, or `20150830/execute-api/aws4_request` for SigV4A.
    pub(super) fn scope(&self) -> &str {
        &self.scope
    }

    /// Appends the hexadecimal digits of the signature of `string_to_sign`: 64 for SigV4, up to 144 for SigV4A.
    ///
    /// The same text has the same signature in both: that of SigV4A is the deterministic one of RFC 6979, which needs no
    /// random numbers.
    pub(super) fn push_signature(&self, out: &mut BytesMut, string_to_sign: &[u8]) {
        match &self.keyed {
            Keyed::Hmac(keyed) => {
                // A clone of the keyed state saves hashing the padded key again.
                let mut mac = keyed.clone();
                mac.update(string_to_sign);
                out.extend_from_slice(&hex_digits(&mac.finalize().into_bytes().into()));
            }
            Keyed::Ecdsa(key) => {
                out.extend_from_slice(v4a::calculate_signature(key.as_slice(), string_to_sign).as_bytes());
            }
        }
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
