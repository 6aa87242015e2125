//! What a running proxy says about its readiness, for the commands that ask.

use std::{error::Error, fmt, time::Duration};

use serde::Deserialize;

use super::local_http;
use crate::downstream::listener::Listen;

/// The longest that an answer may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);

/// Why requests cannot be signed at this moment.
#[derive(Debug)]
pub(super) enum NotReady {
    /// Nothing usable came back.
    NoAnswer { listen: Listen, source: Box<dyn Error + Send + Sync> },
    /// The proxy's own reasons, in words.
    Reasons(String),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer { listen, source } => write!(
                f,
                "nothing answers at {listen}: {source}\n  tip: start `countersign serve`, or name its admin listener \
                 with --admin-listen"
            ),
            Self::Reasons(reasons) => f.write_str(reasons),
        }
    }
}

/// The answer of `/readyz`.
#[derive(Deserialize)]
struct Answer {
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    detail: String,
}

/// Asks the admin listener at `listen`.
///
/// # Errors
/// When the proxy is not ready, or does not answer within `deadline`.
pub(super) async fn ask(listen: &Listen, deadline: Duration) -> Result<(), NotReady> {
    match local_http::get(listen, "/readyz", deadline).await {
        Ok((status, _)) if status.is_success() => Ok(()),
        Ok((status, body)) => Err(NotReady::Reasons(match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) => in_words(&answer),
            Err(_) => {
                format!(
                    "{listen} answers {status}, but not as an admin listener of countersign; check --admin-listen"
                )
            }
        })),
        Err(source) => Err(NotReady::NoAnswer { listen: listen.clone(), source }),
    }
}

fn in_words(answer: &Answer) -> String {
    let words: Vec<String> =
        answer.reasons.iter().map(|reason| format!("{} ({})", reason.code, reason.detail)).collect();
    words.join(", ")
}
