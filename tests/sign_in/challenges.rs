//! Every challenge, answered by a person or by settings.

use std::time::{Duration, SystemTime};

use countersign::{
    credentials::{
        AuthFlow,
        user_pool::{Cause, Choice, Error, Factor, Question, Unattended, Verdict},
    },
    sandbox::{CustomChallenge, Mfa, Settings, User, UserState},
};
use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Secret};

use crate::pool::{PASSWORD, Person, Pool};

const TOTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn demo() -> User {
    let aliases = ["demo@example.com", "+441234567890"].map(str::to_owned).to_vec();
    User { aliases, ..User::new("demo", PASSWORD) }
}

fn settings(user: User) -> Settings {
    Settings { users: vec![user], ..Settings::default() }
}

async fn pool_of(user: User) -> Pool {
    Pool::with(settings(user)).await
}

fn authenticator() -> Mfa {
    Mfa::Authenticator { secret: TOTP_SECRET.into() }
}

fn code_at(secret: &str, time: SystemTime, steps: u64) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let secret = Secret::try_from_base32(secret).expect("base32");
    Builder::new().with_secret(secret).build_noncompliant().generate(seconds + 30 * steps).to_string()
}

/// The code that was sent last.
fn sent_code(pool: &Pool) -> String {
    pool.sandbox.messages().last().expect("a message").code.clone()
}

#[tokio::test]
async fn a_temporary_password_is_replaced_for_good() {
    let state = UserState::TemporaryPassword { required_attributes: vec!["given_name".to_owned()] };
    for flow in [AuthFlow::Srp, AuthFlow::Password, AuthFlow::UserAuth] {
        let pool = pool_of(User { state: state.clone(), ..demo() }).await.flow(flow).confidential();
        let mut asked = Vec::new();
        let mut person = Person(|question: Question<'_>, _| {
            asked.push(format!("{question:?}"));
            Some(match question {
                Question::Attribute("given_name") => "Demo".to_owned(),
                Question::NewPassword { rejected: None } => "short".to_owned(),
                Question::NewPassword { rejected: Some(_) } => "A-new-password-1".to_owned(),
                _ => return None,
            })
        });
        pool.converse("demo", Some(PASSWORD), None, &mut person).await.expect("tokens");
        assert_eq!(asked.len(), 3, "{asked:?}");
        pool.sign_in("demo", "A-new-password-1").await.expect("the new password is good");
        assert!(pool.sign_in("demo", PASSWORD).await.is_err());
    }
}

#[tokio::test]
async fn codes_that_were_sent_are_asked_for_until_they_are_right() {
    for (mfa, expected) in [(Mfa::Sms, Factor::Sms), (Mfa::Email, Factor::Email)] {
        let pool = pool_of(User { mfa: vec![mfa], ..demo() }).await.confidential();
        let mut destinations = Vec::new();
        let mut person = Person(|question: Question<'_>, _| match question {
            Question::Code { factor, destination, rejected } if factor == expected => {
                destinations.push(destination.expect("told").to_owned());
                Some(if rejected { sent_code(&pool) } else { "wrong".to_owned() })
            }
            _ => None,
        });
        pool.converse("demo@example.com", Some(PASSWORD), None, &mut person).await.expect("tokens");
        assert_eq!(destinations.len(), 2);
        assert!(destinations[0].contains("***"), "{destinations:?}");
        assert_eq!(pool.sandbox.messages().len(), 1);
    }
}

#[tokio::test]
async fn an_authenticator_secret_signs_in_without_a_person() {
    let pool = pool_of(User { mfa: vec![authenticator()], ..demo() }).await;
    let mut unattended = Unattended::new(Some(&SecretString::from(TOTP_SECRET))).expect("base32");
    for _ in 0..3 {
        pool.converse("demo", Some(PASSWORD), None, &mut unattended).await.expect("tokens");
        pool.sandbox.advance_clock(Duration::from_secs(45));
        // Any answer brings the client's clock up to date.
        let _ = pool.sign_in("demo", "wrong").await.expect_err("refused");
    }
}

#[tokio::test]
async fn without_the_secret_the_error_says_what_to_set() {
    let pool = pool_of(User { mfa: vec![authenticator()], ..demo() }).await;
    let error = pool.sign_in("demo", PASSWORD).await.expect_err("nobody answers");
    assert_eq!(
        error.verdict(),
        Verdict::PersonNeeded { advice: "set totp-secret-file, or run `countersign login`" }
    );
}

#[tokio::test]
async fn a_used_code_is_asked_for_again() {
    let pool = pool_of(User { mfa: vec![authenticator()], ..demo() }).await;
    let mut first = Person(|_: Question<'_>, now| Some(code_at(TOTP_SECRET, now, 0)));
    pool.converse("demo", Some(PASSWORD), None, &mut first).await.expect("tokens");
    let mut again = Person(|question: Question<'_>, now| match question {
        Question::Code { rejected: false, .. } => Some(code_at(TOTP_SECRET, now, 0)),
        _ => Some(code_at(TOTP_SECRET, now, 1)),
    });
    pool.converse("demo", Some(PASSWORD), None, &mut again).await.expect("tokens");
}

#[tokio::test]
async fn one_of_several_second_factors_is_chosen() {
    let pool = pool_of(User { mfa: vec![Mfa::Sms, authenticator()], ..demo() }).await;
    let mut person = Person(|question: Question<'_>, _| match question {
        Question::Choice { between: Choice::SecondFactor, options } => {
            assert_eq!(options, ["SMS_MFA", "SOFTWARE_TOKEN_MFA"]);
            Some("SMS_MFA".to_owned())
        }
        _ => Some(sent_code(&pool)),
    });
    pool.converse("demo", Some(PASSWORD), None, &mut person).await.expect("tokens");

    let mut unattended = Unattended::new(Some(&SecretString::from(TOTP_SECRET))).expect("base32");
    pool.converse("demo", Some(PASSWORD), None, &mut unattended).await.expect("tokens");
    assert_eq!(pool.sandbox.messages().len(), 1);
}

#[tokio::test]
async fn an_authenticator_that_was_set_up_at_sign_in_works_from_then_on() {
    let pool = Pool::with(Settings { mfa_required: true, ..settings(demo()) }).await.confidential();
    let mut learnt = String::new();
    let mut person = Person(|question: Question<'_>, now| match question {
        Question::AuthenticatorSetup { secret, url, rejected } => {
            secret.expose_secret().clone_into(&mut learnt);
            assert!(url.expose_secret().contains(&learnt));
            Some(if rejected { code_at(&learnt, now, 0) } else { "000000".to_owned() })
        }
        _ => None,
    });
    pool.converse("demo", Some(PASSWORD), None, &mut person).await.expect("tokens");
    let mut again = Person(|_: Question<'_>, now| Some(code_at(&learnt, now, 1)));
    pool.converse("demo", Some(PASSWORD), None, &mut again).await.expect("tokens");
}

#[tokio::test]
async fn the_first_factor_can_be_a_code_instead_of_a_password() {
    let pool = pool_of(User { passkey: true, ..demo() }).await.flow(AuthFlow::UserAuth).confidential();
    let mut person = Person(|question: Question<'_>, _| match question {
        Question::Choice { between: Choice::FirstFactor, options } => {
            assert_eq!(options, ["PASSWORD_SRP", "PASSWORD", "EMAIL_OTP", "SMS_OTP"]);
            Some("EMAIL_OTP".to_owned())
        }
        Question::Code { factor: Factor::Email, .. } => Some(sent_code(&pool)),
        _ => None,
    });
    pool.converse("demo", None, None, &mut person).await.expect("tokens");

    for choice in ["PASSWORD", "PASSWORD_SRP"] {
        let mut person = Person(|question: Question<'_>, _| match question {
            Question::Choice { .. } => Some(choice.to_owned()),
            Question::Password => Some(PASSWORD.to_owned()),
            _ => None,
        });
        pool.converse("demo", None, None, &mut person).await.expect("tokens");
    }
}

#[tokio::test]
async fn choice_based_sign_in_proves_a_known_password_at_once() {
    let pool = pool_of(demo()).await.flow(AuthFlow::UserAuth).confidential();
    pool.sign_in("demo@example.com", PASSWORD).await.expect("tokens");
    assert_eq!(pool.sandbox.calls().total(), 2);
    let error = pool.sign_in("demo", "wrong").await.expect_err("refused");
    assert_eq!(error.cause(), Some(Cause::WrongPassword));
}

#[tokio::test]
async fn custom_challenges_are_answered_with_or_without_a_password_first() {
    let challenge = |question: &str, answer: &str| CustomChallenge {
        parameters: vec![("question".to_owned(), question.to_owned())],
        answer: answer.to_owned(),
    };
    let custom_challenges = vec![challenge("1 + 1?", "2"), challenge("2 + 2?", "4")];
    let pool = pool_of(User { custom_challenges, ..demo() }).await.flow(AuthFlow::Custom).confidential();
    for password in [None, Some(PASSWORD)] {
        let mut wrong_once = true;
        let mut person = Person(|question: Question<'_>, _| {
            let Question::Custom(parameters) = question else { return None };
            let right = if parameters["question"] == "1 + 1?" { "2" } else { "4" };
            Some(if std::mem::take(&mut wrong_once) { "5" } else { right }.to_owned())
        });
        pool.converse("demo@example.com", password, None, &mut person).await.expect("tokens");
    }
    let mut clueless = Person(|_: Question<'_>, _| Some("?".to_owned()));
    assert!(pool.converse("demo", None, None, &mut clueless).await.is_err());
}

#[tokio::test]
async fn a_sign_in_that_took_too_long_starts_over() {
    let pool = pool_of(User { mfa: vec![Mfa::Sms], ..demo() }).await;
    let mut delays = 1;
    let mut person = Person(|_: Question<'_>, _| {
        if delays > 0 {
            delays -= 1;
            pool.sandbox.advance_clock(Duration::from_secs(4 * 60));
        }
        Some(sent_code(&pool))
    });
    pool.converse("demo", Some(PASSWORD), None, &mut person).await.expect("tokens");
    assert_eq!(pool.sandbox.messages().len(), 2);
}

#[tokio::test]
async fn endless_wrong_codes_come_to_an_end() {
    let pool = pool_of(User { mfa: vec![Mfa::Sms], ..demo() }).await;
    let mut person = Person(|_: Question<'_>, _| Some("wrong".to_owned()));
    let error = pool.converse("demo", Some(PASSWORD), None, &mut person).await.expect_err("refused");
    assert!(error.cause().is_some(), "{error}");
    assert!(pool.sandbox.calls().count("InitiateAuth") <= 3);
}

#[tokio::test]
async fn users_who_cannot_sign_in_get_the_reason() {
    for (state, cause) in [
        (UserState::Unconfirmed, Cause::UserNotConfirmed),
        (UserState::ResetRequired, Cause::PasswordResetRequired),
        (UserState::Disabled, Cause::UserDisabled),
    ] {
        let pool = pool_of(User { state, ..demo() }).await;
        let error = pool.sign_in("demo", PASSWORD).await.expect_err("refused");
        assert_eq!(error.cause(), Some(cause));
        assert!(matches!(error.verdict(), Verdict::PersonNeeded { .. }));
    }
}

#[tokio::test]
async fn a_user_who_is_disabled_later_is_not_renewed() {
    let pool = pool_of(demo()).await;
    let grant = pool.sign_in("demo", PASSWORD).await.expect("tokens").refresh_grant().expect("a grant");
    pool.sandbox.set_user_state("demo", UserState::Disabled);
    let error = pool.client().refresh(&grant).await.expect_err("refused");
    assert!(!matches!(error.verdict(), Verdict::Transient { .. }), "{error}");
    assert!(matches!(error, Error::Refused(_)));
}
