//! The questions of a sign-in, and the trait of what answers them.

use std::{collections::BTreeMap, error, fmt, io, pin::Pin, time::SystemTime};

use secrecy::SecretString;

/// A question that a user pool asks on the way to tokens.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// The user name, when none is configured.
    Username,
    /// The password, when none is configured.
    Password,
    /// A one-time code.
    Code {
        /// Where the code comes from.
        factor: Factor,
        /// Where it was sent, partly masked by the pool.
        destination: Option<&'a str>,
        /// Whether the last answer was wrong.
        rejected: bool,
    },
    /// A new password that replaces the temporary or expired one.
    NewPassword {
        /// Why the last answer was refused.
        rejected: Option<&'a str>,
    },
    /// An attribute that the pool requires, by its name.
    Attribute(&'a str),
    /// A choice. The answer is one of the options.
    Choice {
        /// What the options are for.
        between: Choice,
        /// The pool's names of them.
        options: &'a [String],
    },
    /// The first code of a new authenticator app.
    AuthenticatorSetup {
        /// The secret for the app, in base32.
        secret: &'a SecretString,
        /// The same as an `otpauth` URL.
        url: &'a SecretString,
        /// Whether the last answer was wrong.
        rejected: bool,
    },
    /// A challenge of the pool's Lambda triggers, with its public parameters.
    Custom(&'a BTreeMap<String, String>),
}

/// Where a one-time code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// A text message.
    Sms,
    /// An e-mail.
    Email,
    /// An authenticator app.
    Authenticator,
}

/// What a choice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first factor of USER_AUTH.
    FirstFactor,
    /// The second factor.
    SecondFactor,
}

/// The future of an answer.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Result<SecretString, Unanswered>> + Send + 'a>>;

/// Answers the questions of a sign-in.
pub trait Answers: Send {
    /// Answers `question`; `now` is the user pool's time.
    fn answer<'a>(&'a mut self, question: Question<'a>, now: SystemTime) -> AnswerFuture<'a>;
}

/// A question without an answer.
#[derive(Debug)]
pub struct Unanswered {
    question: &'static str,
    advice: &'static str,
    source: Option<io::Error>,
}

impl Question<'_> {
    /// The error for a question that only a person can answer.
    #[must_use]
    pub fn unanswered(&self) -> Unanswered {
        let (question, advice) = match self {
            Self::Username => {
                ("the user name is asked for", "set username and password-file, or give login --username")
            }
            Self::Password => {
                ("the password is asked for", "set username and password-file, or run `countersign login`")
            }
            Self::Code { factor: Factor::Authenticator, .. } => (
                "the challenge SOFTWARE_TOKEN_MFA asks for a code",
                "set totp-secret-file, or run `countersign login`",
            ),
            Self::Code { factor: Factor::Sms, .. } => (
                "a code sent by SMS is asked for (SMS_MFA or SMS_OTP)",
                "run `countersign login` at a terminal",
            ),
            Self::Code { factor: Factor::Email, .. } => {
                ("a code sent by e-mail is asked for (EMAIL_OTP)", "run `countersign login` at a terminal")
            }
            Self::NewPassword { .. } => (
                "the challenge NEW_PASSWORD_REQUIRED asks for a new password",
                "run `countersign login` at a terminal to choose one",
            ),
            Self::Attribute(_) => (
                "the challenge NEW_PASSWORD_REQUIRED asks for an attribute",
                "run `countersign login` at a terminal",
            ),
            Self::Choice { between: Choice::FirstFactor, .. } => (
                "the challenge SELECT_CHALLENGE asks for a choice",
                "set password-file, or run `countersign login` at a terminal",
            ),
            Self::Choice { between: Choice::SecondFactor, .. } => (
                "the challenge SELECT_MFA_TYPE asks for a choice",
                "set totp-secret-file, or run `countersign login` at a terminal",
            ),
            Self::AuthenticatorSetup { .. } => (
                "the challenge MFA_SETUP asks for an authenticator app",
                "run `countersign login` at a terminal to set one up",
            ),
            Self::Custom(_) => {
                ("a CUSTOM_CHALLENGE of the pool asks for an answer", "run `countersign login` at a terminal")
            }
        };
        Unanswered { question, advice, source: None }
    }
}

impl Unanswered {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        self.advice
    }

    /// Replaces the advice.
    #[must_use]
    pub(super) fn advising(self, advice: &'static str) -> Self {
        Self { advice, ..self }
    }

    /// Adds the reason why no person could be asked.
    #[must_use]
    pub fn because(self, source: io::Error) -> Self {
        Self { source: Some(source), ..self }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which needs a person; {}", self.question, self.advice)
    }
}

impl error::Error for Unanswered {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
