//! A device that a user pool remembers.

use std::fmt;

use secrecy::SecretString;

/// A device that a user pool remembers.
///
/// A pool that tracks devices renews tokens only for the device that they were issued to.
#[derive(Clone)]
pub struct Device {
    /// `DeviceKey`.
    pub key: String,
    /// `DeviceGroupKey`.
    pub group_key: String,
    /// What the device proves to skip the second factor.
    pub password: SecretString,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("key", &self.key).finish_non_exhaustive()
    }
}
