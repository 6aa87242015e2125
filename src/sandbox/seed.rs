//! The seed of a sandbox, from which ids are derived, so that they are the same after a restart.

use secrecy::SecretString;
use totp_rs::Secret;
use uuid::Builder;

use super::digest::hmac;

/// What the ids of a sandbox are derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed(String);

impl Default for Seed {
    fn default() -> Self {
        Self("countersign".to_owned())
    }
}

impl Seed {
    /// The seed that this text is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The secret of a user's authenticator, in base32.
    #[must_use]
    pub fn authenticator_secret(&self, username: &str) -> SecretString {
        let bytes = self.bytes("authenticator", username);
        SecretString::from(Secret::from(bytes[..20].to_vec()).to_base32())
    }

    /// Bytes that nothing but the seed, `purpose` and `name` decide.
    pub(super) fn bytes(&self, purpose: &str, name: &str) -> [u8; 32] {
        hmac(self.0.as_bytes(), &[purpose.as_bytes(), &[0], name.as_bytes()])
    }

    /// A UUID that nothing but the seed, `purpose` and `name` decide, in the form of a random one.
    pub(super) fn uuid(&self, purpose: &str, name: &str) -> String {
        let mut id = [0; 16];
        id.copy_from_slice(&self.bytes(purpose, name)[..16]);
        Builder::from_random_bytes(id).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_depends_on_seed_purpose_and_name_alone() {
        let of = |seed: &str, purpose: &str, name: &str| Seed::new(seed).uuid(purpose, name);
        let id = of("a", "sub", "ann");
        assert_eq!(id, of("a", "sub", "ann"));
        assert!(id.as_bytes()[14] == b'4', "{id} has the form of a random one");
        for other in
            [of("b", "sub", "ann"), of("a", "identity", "ann"), of("a", "sub", "bob"), of("a", "suba", "nn")]
        {
            assert_ne!(id, other);
        }
    }
}
