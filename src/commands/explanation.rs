//! A signature in words that can be shown to others: tokens, signatures and keys are left out.

use std::fmt::Write;

use aws_credential_types::Credentials;
use http::HeaderValue;

use crate::{
    proxy::{AnswerHead, Meaning, Ready},
    signing::{Explanation, Part, Row, SignedRequest},
};

const REDACTED: &str = "(redacted)";

/// The request as it goes, the canonical request and the string to sign.
pub(super) fn of(
    ready: &Ready<'_>,
    signed: &SignedRequest,
    explained: &Explanation,
    credentials: &Credentials,
) -> String {
    let mut headers = Vec::new();
    headers.extend(signed.headers().iter().map(|(name, value)| match name.as_str() {
        "authorization" => (name.to_string(), without_signature(value)),
        _ => (name.to_string(), shown(value)),
    }));
    let scope = ready.scope();
    let mut text = format!(
        "request to {}, signed for {} in {}\n\n  {} {}\n",
        ready.upstream(),
        scope.service,
        scope.region,
        signed.method(),
        signed.target().as_path_and_query()
    );
    for (name, value) in headers {
        push(&mut text, &format!("{name}: {value}"));
    }
    let canonical = String::from_utf8_lossy(&explained.canonical_request);
    for (title, part) in [("canonical request", &*canonical), ("string to sign", &explained.string_to_sign)] {
        write!(text, "\n{title}\n\n").expect("a String takes everything");
        without_token(part, credentials).lines().for_each(|line| push(&mut text, line));
    }
    text
}

/// Two canonical requests, line by line, with a mark where they differ.
pub(super) fn of_differences(rows: &[Row], credentials: &Credentials) -> String {
    let mut text = String::from("the canonical request here (-) and at the gateway (+)\n\n");
    for row in rows {
        let part = row.part.to_string();
        let secret = row.part == Part::Header("x-amz-security-token".to_owned());
        let side = |side: &Option<String>| match side {
            Some(_) if secret => format!("{part}: {REDACTED}"),
            Some(line) => format!("{part}: {}", without_token(line, credentials)),
            None => format!("{part}: (absent)"),
        };
        if !row.differs() {
            push(&mut text, &side(&row.ours));
            continue;
        }
        writeln!(text, "- {}\n+ {}", side(&row.ours), side(&row.theirs)).expect("a String takes everything");
        if row.ours.is_some() && row.theirs.is_some() && !secret {
            let column = part.chars().count() + 2 + row.common();
            writeln!(text, "  {}^", " ".repeat(column)).expect("a String takes everything");
        }
    }
    let differences = rows.iter().filter(|row| row.differs()).count();
    text.push_str(&match differences {
        0 => "\nno difference; the secret key, the date or the scope must differ\n".to_owned(),
        1 => "\n1 line differs\n".to_owned(),
        several => format!("\n{several} lines differ\n"),
    });
    text
}

/// What an answer means, in a line, and in the next what to do about it.
pub(super) fn of_meaning(head: &AnswerHead, meaning: &Meaning) -> String {
    format!("{}: {}\n  tip: {}\n", head.summary(), meaning.cause, meaning.cure)
}

fn push(text: &mut String, line: &str) {
    writeln!(text, "  {line}").expect("a String takes everything");
}

fn shown(value: &HeaderValue) -> String {
    if value.is_sensitive() {
        return REDACTED.to_owned();
    }
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn without_signature(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    let (before, _) = text.split_once("Signature=").unwrap_or_default();
    format!("{before}Signature={REDACTED}")
}

fn without_token(text: &str, credentials: &Credentials) -> String {
    match credentials.session_token() {
        Some(token) if !token.is_empty() => text.replace(token, REDACTED),
        _ => text.to_owned(),
    }
}
