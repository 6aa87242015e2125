//! AuthParameters and ChallengeResponses: maps of text in which null means absent.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer};

use crate::sandbox::answer::AwsError;

#[derive(Default)]
pub(super) struct Parameters(HashMap<String, String>);

impl Parameters {
    pub(super) fn of<const N: usize>(pairs: [(&str, String); N]) -> Self {
        Self(pairs.map(|(name, value)| (name.to_owned(), value)).into())
    }

    pub(super) fn insert(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }

    pub(super) fn required(&self, name: &str) -> Result<&String, AwsError> {
        let missing = || AwsError::invalid_parameter(format!("Missing required parameter {name}"));
        self.0.get(name).ok_or_else(missing)
    }

    /// Those whose names start with `prefix`, without it.
    pub(super) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a String)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = HashMap::<String, Option<String>>::deserialize(deserializer)?;
        Ok(Self(entries.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()))
    }
}
