//! What a refusal or a failure means: a stable name, its cause and its cure in words.
//!
//! The log, `call`, `explain` and the inspector all take their words from here. The rules are pure: they look at the
//! head and the beginning of an answer, at what was signed, or at an error of the proxy's own. An answer without the
//! marks of a gateway gets no meaning, since the application's own 404 or 500 is nothing to guess about.

mod answer;
mod front;
mod gateway;
mod own;
mod policy;
mod request;
mod signature;
mod words;

use serde::Serialize;

pub use answer::AnswerHead;
pub use request::SignedFacts;
use words::{Words, shown};

/// A refusal is a line or two, with a canonical request a few kilobytes. More is not read.
pub const MAX_READ: usize = 64 * 1024;

/// Why a request has no answer of the application, and what to do about it.
///
/// Cause and cure are clauses: they begin in lower case and have no full stop. No field holds a control character or a
/// secret, whatever the upstream sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// A stable name, `no-such-route` for example.
    pub name: &'static str,
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub cure: String,
    /// The parts of cause and cure that a program may want by themselves.
    #[serde(flatten)]
    pub details: Details,
}

/// The parts of a [`Meaning`]; each is absent where it does not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// The action that is not allowed, `execute-api:Invoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The ARN that it is not allowed on, as the gateway writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The ARN of the role or user that is not allowed to do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// A statement that would allow it, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The parts of the canonical request that differ; empty when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Vec<Difference>>,
    /// How far the clock that signed is ahead of the gateway's; negative when it is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_seconds: Option<i64>,
    /// The region or the service that the gateway expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

/// A part of the canonical request on both sides; absent where a side does not have it. Secrets are replaced by
/// `(redacted)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `path` or `header host` for example.
    pub part: String,
    /// As it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// As the gateway received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theirs: Option<String>,
}

/// What the rules look at.
struct Evidence<'a> {
    head: &'a AnswerHead,
    words: &'a Words<'a>,
    request: &'a SignedFacts,
}

/// The rules, each for a group of meanings. The first that knows the answer decides: specific words go before error
/// types, since gateways use one type for several causes.
const RULES: [fn(&Evidence<'_>) -> Option<Meaning>; 4] =
    [policy::denied, signature::refused, gateway::refused, policy::denied_without_reason];

impl Meaning {
    /// What the answer to a signed request means, from its head and the first [`MAX_READ`] bytes of its body; `None`
    /// when it is the application's own, or in no words that are known.
    #[must_use]
    pub fn of_answer(head: &AnswerHead, body: &[u8], request: &SignedFacts) -> Option<Self> {
        let body = &body[..body.len().min(MAX_READ)];
        // A compressed body is not decompressed here. The error type has to do.
        let text = if head.is_plain() { String::from_utf8_lossy(body) } else { "".into() };
        let words = Words::of(&text, head.error_type());
        let evidence = Evidence { head, words: &words, request };
        if let Some(meaning) = front::refused(&evidence) {
            return Some(meaning);
        }
        if !head.is_marked() {
            return None;
        }
        // Without a type, an application that failed may pass on what another service of AWS refused it.
        let is_failure = head.status().is_some_and(|status| status.is_server_error());
        if is_failure && !words.has_type() {
            return gateway::refused(&evidence);
        }
        RULES.iter().find_map(|rule| rule(&evidence))
    }

    /// For programs.
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("texts and numbers")
    }

    fn new(name: &'static str, cause: impl AsRef<str>, cure: impl AsRef<str>) -> Self {
        let (cause, cure) = (shown(cause.as_ref()), shown(cure.as_ref()));
        Self { name, cause, cure, details: Details::default() }
    }

    fn with(self, details: Details) -> Self {
        let shown = |text: Option<String>| text.map(|text| shown(&text));
        let details = Details {
            action: shown(details.action),
            resource: shown(details.resource),
            principal: shown(details.principal),
            policy: shown(details.policy),
            expected: shown(details.expected),
            ..details
        };
        Self { details, ..self }
    }
}

#[cfg(test)]
mod tests;
