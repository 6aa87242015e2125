//! The words of an answer: its error type and its message, out of JSON, XML or plain text.

use serde_json::Value;

use crate::signing::element;

/// Characters of a text that are shown at most. An ARN of API Gateway has 1,600 bytes at most.
const MAX_SHOWN: usize = 2000;

/// What an answer says.
#[derive(Debug)]
pub(super) struct Words<'a> {
    body: &'a str,
    /// The error type, of the header or of the body.
    code: Option<String>,
    message: String,
    /// The message in lower case: gateways write "region" and "Region".
    lower: String,
    /// Whether the body is a JSON object with a message and nothing else, as gateways write it.
    is_message_alone: bool,
}

impl<'a> Words<'a> {
    pub(super) fn of(body: &'a str, error_type: Option<&str>) -> Self {
        let value: Option<Value> = serde_json::from_str(body).ok();
        let (code, message) = match &value {
            Some(value) => in_json(value),
            None if body.contains("<Error>") => (element(body, "Code"), element(body, "Message")),
            None => (None, None),
        };
        let is_message_alone = match &value {
            Some(Value::Object(object)) => {
                object.len() == 1 && (object.contains_key("message") || object.contains_key("Message"))
            }
            _ => false,
        };
        let message = message.as_deref().unwrap_or(body).trim().to_owned();
        let code = error_type.or(code.as_deref()).map(plain_code);
        Self { body, code, lower: message.to_lowercase(), message, is_message_alone }
    }

    /// The body as it came.
    pub(super) fn body(&self) -> &'a str {
        self.body
    }

    /// The message of the body, or the whole of a body in another form.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Whether the error type is one of `names`.
    pub(super) fn typed(&self, names: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| names.contains(&code))
    }

    /// Whether there is an error type at all.
    pub(super) fn has_type(&self) -> bool {
        self.code.is_some()
    }

    /// Whether the message contains `text`, which is in lower case.
    pub(super) fn says(&self, text: &str) -> bool {
        self.lower.contains(text)
    }

    /// Whether the body is `{"message": text}` and nothing else; `text` is in lower case.
    pub(super) fn says_only(&self, text: &str) -> bool {
        self.is_message_alone && self.lower == text
    }

    /// Whether the body is `{"message": null}`.
    pub(super) fn says_nothing(&self) -> bool {
        self.is_message_alone && self.message.contains("null")
    }

    /// The first word after `marker`, without the punctuation that ends it.
    pub(super) fn word_after(&self, marker: &str) -> Option<&str> {
        let rest = self.message.split_once(marker)?.1;
        Some(rest.split_whitespace().next()?.trim_end_matches(['.', ',']).trim_matches('"'))
    }

    /// What stands between quotation marks after `marker`, which is in lower case.
    pub(super) fn quoted_after(&self, marker: &str) -> Option<String> {
        let rest = self.lower.split_once(marker)?.1.trim_start();
        let quote = rest.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
        Some(rest[1..].split_once(quote)?.0.to_owned())
    }

    /// The text of an XML element without children.
    pub(super) fn element(&self, name: &str) -> Option<String> {
        element(self.body, name)
    }
}

/// The error type and the message of a JSON body; AppSync puts them into the first of `errors`.
fn in_json(value: &Value) -> (Option<String>, Option<String>) {
    let first = value.get("errors").and_then(|errors| errors.get(0));
    let error = first.unwrap_or(value);
    let code = error.get("__type").or_else(|| first?.get("errorType"));
    let message = ["message", "Message", "errorMessage"].iter().find_map(|key| error.get(key)?.as_str());
    (code.and_then(Value::as_str).map(str::to_owned), message.map(str::to_owned))
}

/// A type without the namespace before it (`com.amazon.coral.service#`) and the address behind it (`:http://`).
fn plain_code(code: &str) -> String {
    let code = code.rsplit('#').next().unwrap_or_default();
    code.split([':', ',']).next().unwrap_or_default().to_owned()
}

/// `text` on one line of a bounded length, without control characters and those that turn the direction of text: what an
/// upstream says goes into the log and onto a terminal.
pub(super) fn shown(text: &str) -> String {
    let is_harmless = |letter: &char| {
        !letter.is_control()
            && !matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let on_one_line = text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter });
    on_one_line.filter(is_harmless).take(MAX_SHOWN).collect()
}
