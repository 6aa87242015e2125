//! The format of a stored session.

use std::{borrow::Cow, collections::BTreeMap};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Session, SessionEnded};
use crate::credentials::user_pool::Device;

/// A file with another version counts as damaged.
const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Record<'a> {
    version: u32,
    refresh_token: Option<Cow<'a, str>>,
    /// Absent while the session is good. Older versions of this program never wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Cow<'a, str>>,
    username: Cow<'a, str>,
    signed_in_as: Cow<'a, str>,
    subject: Cow<'a, str>,
    device: Option<DeviceRecord<'a>>,
    identity_ids: Cow<'a, BTreeMap<String, String>>,
}

#[derive(Deserialize, Serialize)]
struct DeviceRecord<'a> {
    key: Cow<'a, str>,
    group_key: Cow<'a, str>,
    password: Cow<'a, str>,
}

pub(super) fn encode(session: &Session) -> Zeroizing<Vec<u8>> {
    let record = Record {
        version: VERSION,
        refresh_token: session.refresh_token.as_ref().map(|token| token.expose_secret().into()),
        ended: session.ended.as_ref().map(|ended| ended.reason().into()),
        username: session.username.as_str().into(),
        signed_in_as: session.signed_in_as.as_str().into(),
        subject: session.subject.as_str().into(),
        device: session.device.as_ref().map(|device| DeviceRecord {
            key: device.key.as_str().into(),
            group_key: device.group_key.as_str().into(),
            password: device.password.expose_secret().into(),
        }),
        identity_ids: Cow::Borrowed(&session.identity_ids),
    };
    Zeroizing::new(serde_json::to_vec_pretty(&record).expect("a record is strings all through"))
}

/// `None` when the content is not a complete record of this version.
pub(super) fn decode(content: &[u8]) -> Option<Session> {
    let record: Record<'_> = serde_json::from_slice(content).ok()?;
    (record.version == VERSION).then(|| Session {
        refresh_token: record.refresh_token.map(|token| SecretString::from(token.into_owned())),
        ended: record.ended.map(|reason| SessionEnded::new(reason.into_owned())),
        username: record.username.into_owned(),
        signed_in_as: record.signed_in_as.into_owned(),
        subject: record.subject.into_owned(),
        device: record.device.map(|device| Device {
            key: device.key.into_owned(),
            group_key: device.group_key.into_owned(),
            password: SecretString::from(device.password.into_owned()),
        }),
        identity_ids: record.identity_ids.into_owned(),
    })
}
