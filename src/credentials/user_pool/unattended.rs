//! Answers without a person: computes the codes of an authenticator from its configured secret.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::sleep;
use totp_rs::{Builder, Secret, Totp};

use super::answers::{AnswerFuture, Answers, Choice, Factor, Question, Unanswered};

/// How many codes in a row may be rejected. A wrong secret stays wrong, and the pool would lock the account.
const MAX_REJECTIONS: u32 = 2;

/// Answers SOFTWARE_TOKEN_MFA from a secret, chooses it where there is a choice, and answers nothing else.
///
/// Use one value for all sign-ins of a process: a pool accepts the code of a time step only once.
#[derive(Default)]
pub struct Unattended {
    authenticator: Option<Totp>,
    spent_step: Option<u64>,
    rejections: u32,
}

/// Not the base32 secret of an authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTotpSecret;

impl Unattended {
    /// Answers with the codes of `totp_secret`, which is base32, with or without spaces and padding.
    ///
    /// # Errors
    /// When `totp_secret` is not base32.
    pub fn new(totp_secret: Option<&SecretString>) -> Result<Self, InvalidTotpSecret> {
        let authenticator = totp_secret.map(authenticator).transpose()?;
        Ok(Self { authenticator, ..Self::default() })
    }

    async fn reply(&mut self, question: Question<'_>, now: SystemTime) -> Result<SecretString, Unanswered> {
        let rejected = match question {
            Question::Code { factor: Factor::Authenticator, rejected, .. } => rejected,
            Question::Choice { between: Choice::SecondFactor, options } if self.authenticator.is_some() => {
                let own = options.iter().find(|option| *option == "SOFTWARE_TOKEN_MFA");
                return own.map(|option| SecretString::from(option.as_str())).ok_or(question.unanswered());
            }
            _ => return Err(question.unanswered()),
        };
        self.rejections = if rejected { self.rejections + 1 } else { 0 };
        let Some(authenticator) = &self.authenticator else { return Err(question.unanswered()) };
        if self.rejections > MAX_REJECTIONS {
            return Err(question.unanswered().advising("check totp-secret-file: its codes are refused"));
        }
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut step = seconds / authenticator.step();
        if self.spent_step.is_some_and(|spent| spent >= step) {
            sleep(Duration::from_secs(authenticator.next_step(seconds) - seconds)).await;
            step += 1;
        }
        self.spent_step = Some(step);
        Ok(SecretString::from(authenticator.generate(step * authenticator.step()).to_string()))
    }
}

impl Answers for Unattended {
    fn answer<'a>(&'a mut self, question: Question<'a>, now: SystemTime) -> AnswerFuture<'a> {
        Box::pin(self.reply(question, now))
    }
}

fn authenticator(secret: &SecretString) -> Result<Totp, InvalidTotpSecret> {
    let text: String = secret
        .expose_secret()
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '=')
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    let secret = Secret::try_from_base32(&text).map_err(|_| InvalidTotpSecret)?;
    // Not held to the minimum length of RFC 4226: an emulator may issue shorter secrets.
    Ok(Builder::new().with_secret(secret).build_noncompliant())
}

impl fmt::Debug for Unattended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unattended").finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidTotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the base32 secret of an authenticator")
    }
}

impl std::error::Error for InvalidTotpSecret {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238's test vectors, `12345678901234567890`.
    const SECRET: &str = "gezd gnbv GY3TQOJQ GEZDGNBVGY3TQOJQ==";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn question(rejected: bool) -> Question<'static> {
        Question::Code { factor: Factor::Authenticator, destination: None, rejected }
    }

    fn unattended() -> Unattended {
        Unattended::new(Some(&SecretString::from(SECRET))).expect("base32")
    }

    #[tokio::test(start_paused = true)]
    async fn codes_are_those_of_rfc_6238() {
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            let answer = unattended().answer(question(false), at(seconds)).await.expect("a code");
            assert_eq!(answer.expose_secret(), code, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_code_waits_for_the_next_step() {
        let mut unattended = unattended();
        let first = unattended.answer(question(false), at(30)).await.expect("a code");
        let started = tokio::time::Instant::now();
        let second = unattended.answer(question(true), at(31)).await.expect("a code");
        assert_eq!(started.elapsed().as_secs(), 29);
        assert_eq!(first.expose_secret(), "287082");
        assert_eq!(second.expose_secret(), "359152");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_secret_is_given_up_after_three_codes() {
        let mut unattended = unattended();
        let mut given = 0;
        while unattended.answer(question(given > 0), at(30 * (given + 1))).await.is_ok() {
            given += 1;
        }
        assert_eq!(given, 3);
    }

    #[tokio::test]
    async fn other_questions_stay_unanswered_with_advice() {
        for (question, advice) in [
            (question(false), "set totp-secret-file, or run `countersign login`"),
            (Question::Password, "set username and password-file, or run `countersign login`"),
            (Question::NewPassword { rejected: None }, "run `countersign login` at a terminal to choose one"),
        ] {
            let mut unattended = Unattended::new(None).expect("nothing to parse");
            let unanswered = unattended.answer(question, at(0)).await.expect_err("nobody answers");
            assert_eq!(unanswered.advice(), advice);
        }
    }

    #[test]
    fn a_secret_that_is_not_base32_is_refused() {
        assert_eq!(Unattended::new(Some(&SecretString::from("not base32!"))).err(), Some(InvalidTotpSecret));
    }
}
