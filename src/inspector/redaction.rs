//! What is not kept: secrets, by the names before them, by their shape, and by values that are known.
//!
//! Everything passes here before it is stored. Where in doubt, more is taken away: a page that shows too little is a
//! nuisance, and one that shows a secret is a leak.

mod extent;
mod known;
mod named;
mod names;
mod shapes;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use named::NamedValues;

pub(super) use known::KnownSecrets;

/// Stands in the place of a secret.
pub(super) const MARK: &str = "[redacted]";

/// The same in a path or a query, where brackets have to be encoded.
pub(super) const URL_MARK: &str = "%5Bredacted%5D";

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Path or query.
    Url,
    /// `name: value` lines.
    Headers,
    /// A body, or any other text.
    Body,
}

/// Takes secrets away. Clones share the list of names.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction {
    /// Names that the settings add, in their normal form.
    further: Arc<[String]>,
}

impl Redaction {
    /// Treats `further` names of headers, query parameters and fields as secret, too.
    pub(super) fn new(further: &[String]) -> Self {
        Self { further: further.iter().map(|name| names::normal(name.as_bytes())).collect() }
    }

    fn is_further(&self, name: &str) -> bool {
        self.further.iter().any(|further| further == name)
    }

    /// Headers as `name: value` lines. Values of secret headers, and those of `set` names, become known.
    pub(super) fn headers(
        &self,
        headers: &HeaderMap,
        set: &[(HeaderName, HeaderValue)],
        known: &mut KnownSecrets,
    ) -> String {
        let mut lines = String::with_capacity(headers.len() * 48);
        for (name, value) in headers {
            lines.push_str(name.as_str());
            lines.push_str(": ");
            let value = String::from_utf8_lossy(value.as_bytes());
            // A line is one header: obsolete folding is refused, and bytes beyond ASCII have been replaced.
            let is_secret = self.is_secret_header(name) || set.iter().any(|(own, _)| own == name);
            if is_secret {
                known.add_value(name, &value);
                push_redacted(&mut lines, name, &value);
            } else if *name == header::HOST {
                lines.push_str(value.rsplit_once('@').map_or(&*value, |(_, host)| host));
            } else {
                lines.push_str(&value);
            }
            lines.push('\n');
        }
        self.text(lines, Place::Headers, known)
    }

    fn is_secret_header(&self, name: &HeaderName) -> bool {
        // Most headers are these, and none of them can be secret.
        if matches!(
            *name,
            header::HOST
                | header::ACCEPT
                | header::USER_AGENT
                | header::CONTENT_TYPE
                | header::CONTENT_LENGTH
                | header::DATE
        ) && self.further.is_empty()
        {
            return false;
        }
        let name = names::normal(name.as_str().as_bytes());
        names::is_secret_header(&name) || self.is_further(&name)
    }

    /// A text without its secrets. Those that it names become known, since other texts may repeat them.
    pub(super) fn text(&self, text: String, place: Place, known: &mut KnownSecrets) -> String {
        let mark = if place == Place::Url { URL_MARK } else { MARK };
        // First, since what is in a secret may look like a name.
        let text = known.remove_from(text, mark);
        let before = known.learned();
        let text = self.without_named(text, place, mark, known);
        let text = shapes::removed(text, mark);
        if known.learned() == before { text } else { known.remove_from(text, mark) }
    }

    fn without_named(&self, text: String, place: Place, mark: &str, known: &mut KnownSecrets) -> String {
        let mut replaced = String::new();
        let mut copied = 0;
        for found in NamedValues::new(text.as_bytes(), place, self) {
            // The ends are at ASCII bytes, which are boundaries of characters.
            replaced.push_str(text.get(copied..found.value.start).unwrap_or_default());
            if let Some(secret) = found.learnt(&text).filter(|secret| !secret.contains(MARK)) {
                known.learn(&secret);
            }
            let quote = if found.is_structure { "\"" } else { "" };
            replaced.extend([quote, mark, quote]);
            copied = found.value.end;
        }
        if copied == 0 {
            return text;
        }
        replaced.push_str(text.get(copied..).unwrap_or_default());
        replaced
    }

    /// The canonical request, in which each header is a line. Its values are not spelled as they are sent: blanks are
    /// collapsed, and fields of the same name joined.
    pub(super) fn canonical(
        &self,
        text: &[u8],
        set: &[(HeaderName, HeaderValue)],
        known: &mut KnownSecrets,
    ) -> String {
        let text = String::from_utf8_lossy(text);
        let mut lines = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let name =
                line.split_once(':').and_then(|(name, _)| HeaderName::from_bytes(name.as_bytes()).ok());
            match name.filter(|name| self.is_secret_header(name) || set.iter().any(|(own, _)| own == name)) {
                Some(name) => lines.extend([name.as_str(), ":", MARK, "\n"]),
                None => lines.push_str(line),
            }
        }
        self.text(lines, Place::Body, known)
    }
}

/// The value of a secret header, as far as it may be kept: the names of cookies, and a scheme of authentication.
fn push_redacted(line: &mut String, name: &HeaderName, value: &str) {
    if *name == header::COOKIE || *name == header::SET_COOKIE {
        let mut parts = value.split(';');
        if *name == header::COOKIE {
            let names = parts.map(|pair| pair.split_once('=').map_or("", |(name, _)| name.trim()));
            let pairs: Vec<String> = names.map(|name| format!("{name}={MARK}")).collect();
            line.push_str(&pairs.join("; "));
        } else {
            let name = parts.next().and_then(|pair| pair.split_once('=')).map_or("", |(name, _)| name.trim());
            line.push_str(&format!("{name}={MARK}"));
            for attribute in parts {
                line.push(';');
                line.push_str(attribute);
            }
        }
        return;
    }
    line.push_str(MARK);
}

#[cfg(test)]
mod tests;
