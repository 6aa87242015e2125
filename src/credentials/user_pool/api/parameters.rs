//! The named parameters of a step of a sign-in.

use std::{borrow::Cow, collections::BTreeMap};

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

/// `AuthParameters` and `ChallengeResponses`.
#[derive(Default)]
pub(in crate::credentials::user_pool) struct Parameters(BTreeMap<Cow<'static, str>, SecretString>);

/// The parameters that may be shown.
const PUBLIC_PARAMETERS: [&str; 5] =
    ["USERNAME", "DEVICE_KEY", "CHALLENGE_NAME", "PREFERRED_CHALLENGE", "TIMESTAMP"];

impl Parameters {
    pub(in crate::credentials::user_pool) fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<SecretString>,
    ) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    pub(in crate::credentials::user_pool) fn with_some(
        self,
        name: &'static str,
        value: Option<impl Into<SecretString>>,
    ) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn secrets(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(name, _)| !PUBLIC_PARAMETERS.contains(&name.as_ref()))
            .map(|(_, value)| value.expose_secret())
            .collect()
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.expose_secret())))
    }
}
