//! A device that a user pool remembers.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{
    api::{Api, ConfirmDevice, NewDeviceMetadata, SecretVerifier},
    error::Error,
    srp::DeviceSecret,
    verdict::Verdict,
};

/// The name of the device that the pool's administrator sees.
const DEVICE_NAME: &str = "countersign";

/// A device that a user pool remembers.
///
/// A pool that tracks devices renews tokens only for the device that they were issued to.
#[derive(Clone)]
pub struct Device {
    /// `DeviceKey`.
    pub key: String,
    /// `DeviceGroupKey`.
    pub group_key: String,
    /// The password of the device, whose proof replaces the second factor.
    pub password: SecretString,
}

/// Registers a device that the pool has just named.
///
/// Tries twice, since the refresh token of an unconfirmed device is useless.
pub(super) async fn confirm(
    api: &Api,
    access_token: &SecretString,
    metadata: NewDeviceMetadata,
) -> Result<Option<Device>, Error> {
    let (Some(key), Some(group_key)) = (metadata.device_key, metadata.device_group_key) else {
        return Ok(None);
    };
    let mut password = Zeroizing::new([0; 40]);
    rand::fill(password.as_mut_slice());
    let secret = DeviceSecret::new(&group_key, &key, &password, rand::random());
    let request = ConfirmDevice {
        access_token: access_token.expose_secret(),
        device_key: &key,
        device_secret_verifier_config: SecretVerifier {
            salt: &secret.salt,
            password_verifier: &secret.verifier,
        },
        device_name: DEVICE_NAME,
    };
    let confirmed = match api.call(&request).await {
        Err(error) if matches!(error.verdict(), Verdict::Transient { .. }) => api.call(&request).await,
        other => other,
    };
    confirmed?;
    let password = SecretString::from(secret.password.as_str());
    Ok(Some(Device { key, group_key, password }))
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("key", &self.key).finish_non_exhaustive()
    }
}
