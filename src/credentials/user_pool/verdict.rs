//! What can be done about a failure.

use std::time::Duration;

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A later retry may succeed.
    Transient {
        /// The `Retry-After` of the answer.
        retry_after: Option<Duration>,
    },
    /// The refresh token is no longer good: discard it and sign in.
    SessionOver,
    /// A person has to act. A retry does not help and may lock the account.
    PersonNeeded {
        /// What to do.
        advice: &'static str,
    },
    /// A setting is wrong, and a retry does not help.
    Misconfigured {
        /// The settings that may be wrong.
        settings: &'static [&'static str],
        /// What to do.
        advice: &'static str,
    },
}

impl Verdict {
    /// What a person should do; `None` if a retry may succeed.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Transient { .. } => None,
            Self::SessionOver => Some("sign in again with `countersign login`"),
            Self::PersonNeeded { advice } | Self::Misconfigured { advice, .. } => Some(advice),
        }
    }
}
