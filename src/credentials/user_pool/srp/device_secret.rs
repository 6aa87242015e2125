//! The random password of a device, and its verifier.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto_bigint::U256;
use zeroize::Zeroizing;

use super::{GENERATOR, Identity, Integer, power, private_key};

/// What ConfirmDevice registers and what the device keeps.
pub(in crate::credentials::user_pool) struct DeviceSecret {
    /// Kept by the device.
    pub(in crate::credentials::user_pool) password: Zeroizing<String>,
    /// `Salt`, in base64.
    pub(in crate::credentials::user_pool) salt: String,
    /// `PasswordVerifier`, in base64.
    pub(in crate::credentials::user_pool) verifier: String,
}

impl DeviceSecret {
    /// Makes a device's password from 40 random bytes, and its verifier with 16 more as the salt.
    pub(in crate::credentials::user_pool) fn new(
        group_key: &str,
        device_key: &str,
        password: &Zeroizing<[u8; 40]>,
        salt: [u8; 16],
    ) -> Self {
        let password = Zeroizing::new(STANDARD.encode(password.as_slice()));
        let salt = Integer::from_magnitude(&salt);
        let identity = Identity { scope: group_key, name: device_key, password: &password };
        let verifier = power(&GENERATOR, &*private_key(identity, &salt), U256::BITS);
        let verifier = Integer::from_uint(&verifier.retrieve());
        Self {
            salt: STANDARD.encode(salt.as_bytes()),
            verifier: STANDARD.encode(verifier.as_bytes()),
            password,
        }
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSecret").finish_non_exhaustive()
    }
}
