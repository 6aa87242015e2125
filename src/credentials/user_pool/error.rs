//! Why a user could not be signed in, or tokens could not be renewed.

use std::{error, fmt, time::Duration};

use super::{
    answers::Unanswered,
    exchange::ExchangeError,
    refusal::{Cause, Refusal},
    srp::InvalidServerValue,
    verdict::Verdict,
};
use crate::aws_http::foreign::ForeignAnswer;

/// Why a user could not be signed in, or tokens could not be renewed.
#[derive(Debug)]
pub enum Error {
    /// The user pool answered with an error.
    Refused(Box<Refusal>),
    /// The user pool did not answer.
    ExchangeError(ExchangeError),
    /// Something between this machine and the user pool answered in its place, such as a captive portal.
    Foreign {
        /// What it answered.
        answer: ForeignAnswer,
        /// When to ask again, if the answer says.
        retry_after: Option<Duration>,
    },
    /// The user pool's answer is incomplete or malformed; the text says where.
    Unintelligible(&'static str),
    /// The user pool's values for the password proof are invalid.
    Proof(InvalidServerValue),
    /// A challenge needs a person.
    Unanswered(Unanswered),
    /// A challenge that Countersign does not know.
    UnknownChallenge(String),
    /// A passkey is asked for, which only a browser can present.
    PasskeyNeeded,
    /// The user pool asked more challenges than a sign-in answers.
    TooManyChallenges,
}

impl Error {
    /// What can be done about it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Refused(refusal) => refusal.verdict(),
            Self::ExchangeError(ExchangeError::Unsendable(_)) => Verdict::Misconfigured {
                settings: &["user-pool-id"],
                advice: "check user-pool-id and AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
            },
            Self::Foreign { retry_after, .. } => Verdict::Transient { retry_after: *retry_after },
            Self::ExchangeError(_) | Self::Unintelligible(_) => Verdict::Transient { retry_after: None },
            // Such values do not come from a network failure, so that a retry would get them again.
            Self::Proof(_) => Verdict::Misconfigured {
                settings: &["user-pool-id"],
                advice: "check user-pool-id and AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER: what answers there does \
                         not prove passwords as Cognito does",
            },
            Self::Unanswered(unanswered) => Verdict::PersonNeeded { advice: unanswered.advice() },
            Self::UnknownChallenge(_) | Self::PasskeyNeeded => {
                Verdict::PersonNeeded { advice: "sign in with `countersign login --browser`" }
            }
            Self::TooManyChallenges => {
                Verdict::PersonNeeded { advice: "sign in again with `countersign login`" }
            }
        }
    }

    /// What the user pool's error answer means, if this is one.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Refused(refusal) => Some(refusal.cause),
            _ => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<ExchangeError> for Error {
    fn from(reason: ExchangeError) -> Self {
        Self::ExchangeError(reason)
    }
}

impl From<InvalidServerValue> for Error {
    fn from(value: InvalidServerValue) -> Self {
        Self::Proof(value)
    }
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::ExchangeError(_) => f.write_str("the user pool did not answer"),
            Self::Foreign { .. } => f.write_str("the user pool was not reached"),
            Self::Unintelligible(what) => write!(f, "the user pool's answer makes no sense: {what}"),
            Self::Proof(_) => f.write_str("the user pool's side of the password proof makes no sense"),
            Self::Unanswered(_) => f.write_str("the sign-in needs a person"),
            Self::UnknownChallenge(name) => write!(f, "the user pool asks for the unknown challenge {name}"),
            Self::PasskeyNeeded => f.write_str("the user pool asks for a passkey, which needs a browser"),
            Self::TooManyChallenges => f.write_str("the user pool asks for one challenge after another"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::ExchangeError(source) => Some(source),
            Self::Foreign { answer, .. } => Some(answer),
            Self::Proof(source) => Some(source),
            Self::Unanswered(source) => Some(source),
            Self::Refused(_)
            | Self::Unintelligible(_)
            | Self::UnknownChallenge(_)
            | Self::PasskeyNeeded
            | Self::TooManyChallenges => None,
        }
    }
}
