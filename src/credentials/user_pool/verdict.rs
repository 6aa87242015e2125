//! What can be done about a failure.

use std::time::Duration;

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Trying again later may help.
    Transient {
        /// When, if the answer says.
        retry_after: Option<Duration>,
    },
    /// The refresh token is of no use any more: forget it and sign in.
    SessionOver,
    /// Trying again does harm or nothing; a person has to act.
    PersonNeeded {
        /// What to do.
        advice: &'static str,
    },
    /// Trying again does nothing; a setting is wrong.
    Misconfigured {
        /// Which settings it may be.
        settings: &'static [&'static str],
        /// What to do.
        advice: &'static str,
    },
}

impl Verdict {
    /// What a person can do, when only a person can.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Transient { .. } => None,
            Self::SessionOver => Some("sign in again with `countersign login`"),
            Self::PersonNeeded { advice } | Self::Misconfigured { advice, .. } => Some(advice),
        }
    }
}
