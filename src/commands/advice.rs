//! An error for a person: what went wrong in one line, and in the next what to do about it, once.

use std::{error::Error, io};

use super::Failure;
use crate::{
    credentials::{
        AuthFlow, UserPool,
        user_pool::{self, Cause, is_absence_of_terminal},
    },
    telemetry,
};

/// What stands before a tip.
const TIP: &str = "\n  tip: ";

/// For questions that only a person answers; the settings are named once, however many questions there are.
const NO_TERMINAL: &str = "set username and password-file, or COUNTERSIGN_USERNAME and COUNTERSIGN_PASSWORD";

/// `what` failed by `error`; `advice` is what to do.
pub(super) fn advised(what: &str, error: &(dyn Error + 'static), advice: &str) -> Failure {
    // Some errors have their advice in their own words.
    let text = error.to_string().replace(&format!("; {advice}"), "");
    let (causes, advice) = if lacks_terminal(error) {
        ("there is no terminal to ask on".to_owned(), NO_TERMINAL)
    } else {
        (telemetry::causes(error), advice)
    };
    let cause = if causes.is_empty() { String::new() } else { format!(": {causes}") };
    let tip = if advice.is_empty() { String::new() } else { format!("{TIP}{advice}") };
    Failure::runtime(format!("{what}{text}{cause}{tip}"))
}

/// The same with the tip in the first line, for the AWS tools, which may pass on one line of stderr alone.
pub(super) fn in_one_line(failure: Failure) -> Failure {
    match failure {
        Failure::Runtime(error) if error.source().is_none() => {
            Failure::runtime(error.to_string().replace(TIP, "; "))
        }
        other => other,
    }
}

/// What else may be wrong when `error` says that user name or password are: the proof that SRP sends is computed with
/// the pool's name, so that Cognito takes a mistyped id for a wrong password.
pub(super) fn with_doubt_of_pool(advice: &str, error: &(dyn Error + 'static), pool: &UserPool) -> String {
    let error = error.downcast_ref::<user_pool::Error>();
    let is_wrong_password = error.and_then(user_pool::Error::cause) == Some(Cause::WrongPassword);
    if is_wrong_password && pool.auth_flow == AuthFlow::Srp {
        return format!("{advice}. Check user-pool-id as well: {}", pool.id);
    }
    advice.to_owned()
}

fn lacks_terminal(error: &(dyn Error + 'static)) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(is_absence_of_terminal) {
            return true;
        }
        cause = error.source();
    }
    false
}
