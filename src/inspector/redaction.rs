//! What is not kept: secrets, by the names before them, by their shape, and by values that are known.
//!
//! Everything passes here before it is stored. Where in doubt, more is taken away: a page that shows too little is a
//! nuisance, and one that shows a secret is a leak.

mod named;
mod names;
mod shapes;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use named::NamedValues;

/// Stands in the place of a secret.
pub(super) const MARK: &str = "[redacted]";

/// The same in a path or a query, where brackets have to be encoded.
pub(super) const URL_MARK: &str = "%5Bredacted%5D";

/// The shortest value that is looked for elsewhere, in bytes: a shorter one may be any word.
const MIN_KNOWN: usize = 6;

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

/// Values of one exchange that are known to be secret, wherever they appear in it.
#[derive(Default)]
pub(super) struct KnownSecrets {
    own: Vec<Zeroizing<String>>,
    shared: Option<Arc<KnownSecrets>>,
}

/// By so many bytes a secret is looked for first: a search is prepared in proportion to what it looks for, and a
/// session token has more than a thousand bytes.
const MAX_PREFIX: usize = 16;

impl KnownSecrets {
    /// Adds a secret in the spellings in which an API may repeat it.
    pub(super) fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < MIN_KNOWN || self.has(secret) {
            return;
        }
        self.own.push(Zeroizing::new(secret.to_owned()));
        if secret.contains('/') {
            self.own.push(Zeroizing::new(secret.replace('/', "\\/")));
        }
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        if encoded != secret {
            self.own.push(Zeroizing::new(encoded));
        }
    }

    /// Whether a secret is among these, or too short to be.
    pub(super) fn has(&self, secret: &str) -> bool {
        secret.len() < MIN_KNOWN || self.own.iter().any(|known| known.as_str() == secret)
    }

    /// Adds secrets that other exchanges know as well.
    pub(super) fn share(&mut self, shared: Arc<Self>) {
        self.shared = Some(shared);
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let shared = self.shared.iter().flat_map(|shared| &shared.own);
        self.own.iter().chain(shared).map(|known| known.as_str())
    }

    /// Adds what a header with this value keeps secret: the value without the scheme before it, the password of Basic
    /// authentication, the values of cookies.
    fn add_value(&mut self, name: &HeaderName, value: &str) {
        if *name == header::COOKIE || *name == header::SET_COOKIE {
            let pairs = if *name == header::COOKIE { usize::MAX } else { 1 };
            let values = value.split(';').take(pairs).filter_map(|pair| pair.split_once('='));
            values.for_each(|(_, value)| self.add(value.trim_matches('"')));
            return;
        }
        self.add(value);
        let Some((scheme, rest)) = value.split_once(' ') else { return };
        self.add(rest);
        if scheme.eq_ignore_ascii_case("basic")
            && let Ok(pair) = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, rest.trim())
            && let Some((_, password)) = String::from_utf8_lossy(&pair).split_once(':')
        {
            self.add(password);
        }
    }

    fn remove_from(&self, mut text: String, mark: &str) -> String {
        for known in self.iter().filter(|known| !known.is_empty()) {
            let prefix = &known.as_bytes()[..known.len().min(MAX_PREFIX)];
            if text.len() >= known.len() && memmem::find(text.as_bytes(), prefix).is_some() {
                text = text.replace(known, mark);
            }
        }
        text
    }

    /// Removes the beginning of a secret from the end of a text that was cut there.
    pub(super) fn remove_cut(&self, text: &mut String) {
        for known in self.iter() {
            let cut = (MIN_KNOWN..known.len())
                .rev()
                .find(|&length| known.is_char_boundary(length) && text.ends_with(&known[..length]));
            if let Some(length) = cut {
                text.truncate(text.len() - length);
                text.push_str(MARK);
            }
        }
    }
}

impl std::fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KnownSecrets({})", self.own.len())
    }
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

    /// A text without its secrets.
    pub(super) fn text(&self, text: String, place: Place, known: &KnownSecrets) -> String {
        let mark = if place == Place::Url { URL_MARK } else { MARK };
        let text = self.without_named(text, place, mark);
        let text = shapes::removed(text, mark);
        known.remove_from(text, mark)
    }

    fn without_named(&self, text: String, place: Place, mark: &str) -> String {
        let mut replaced = String::new();
        let mut copied = 0;
        for found in NamedValues::new(text.as_bytes(), place, self) {
            // The ends are at ASCII bytes, which are boundaries of characters.
            replaced.push_str(text.get(copied..found.value.start).unwrap_or_default());
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

    /// The canonical request or the string to sign, in which each header is a line.
    pub(super) fn canonical(&self, text: &[u8], known: &KnownSecrets) -> String {
        self.text(String::from_utf8_lossy(text).into_owned(), Place::Body, known)
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
