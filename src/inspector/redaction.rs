//! What is not kept: secrets, by the names before them, by their shape, and by values that are known.
//!
//! Everything passes here before it is stored. Where in doubt, more is taken away: a page that shows too little is a
//! nuisance, and one that shows a secret is a leak.

mod extent;
mod harmless;
mod known;
mod named;
mod names;
mod shapes;
mod table;

use std::sync::Arc;

use http::HeaderName;

use super::{raw::Raw, record::field};
use harmless::is_harmless;
use named::NamedValues;

pub(super) use known::KnownSecrets;

/// Stands in the place of a secret.
pub(super) const MARK: &str = "[redacted]";

/// The same in a path or a query, where brackets have to be encoded.
pub(super) const URL_MARK: &str = "%5Bredacted%5D";

/// How much room a kept text may have that it does not use, in bytes.
const MAX_SPARE: usize = 1024;

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

    /// Lines of headers without their secrets. Values of secret headers, and those of `set` names, become known.
    pub(super) fn headers(&self, raw: &Raw, set: &[HeaderName], known: &mut KnownSecrets) -> String {
        let text = raw.text();
        let mut lines = String::with_capacity(text.len());
        // A line is one header: obsolete folding is refused, and bytes beyond ASCII have been replaced.
        for line in lines_of(&text) {
            let (name, value) = field(line.strip_suffix('\n').unwrap_or(line)).unwrap_or((line, ""));
            if self.is_secret_header(name) || set.iter().any(|own| own == name) {
                known.add_value(name, value);
                lines.push_str(name);
                lines.push_str(": ");
                push_redacted(&mut lines, name, value);
                lines.push('\n');
            } else if let Some((scheme, credentials)) = shapes::scheme_and_credentials(value) {
                known.add(credentials);
                lines.extend([name, ": ", scheme, " ", MARK, "\n"]);
            } else if let ("host", Some((_, host))) = (name, value.rsplit_once('@')) {
                lines.extend(["host: ", host, "\n"]);
            } else if is_harmless(value) {
                lines.push_str(line);
            } else {
                lines.push_str(&self.text(line.to_owned(), Place::Headers, known));
            }
        }
        fitted(known.remove_from(lines, MARK))
    }

    fn is_secret_header(&self, name: &str) -> bool {
        if self.further.is_empty() && names::is_public_header(name) {
            return false;
        }
        let name = names::normal(name.as_bytes());
        names::is_secret_header(&name) || self.is_further(&name)
    }

    /// A text without its secrets. Those that it names become known, since other texts may repeat them.
    pub(super) fn text(&self, text: String, place: Place, known: &mut KnownSecrets) -> String {
        let mark = if place == Place::Url { URL_MARK } else { MARK };
        // First, since what is in a secret may look like a name.
        let text = known.remove_from(text, mark);
        let before = known.learned();
        let text = if place == Place::Body { self.without_cells(text, known) } else { text };
        if place != Place::Url && known.learned() == before && is_harmless(&text) {
            return text;
        }
        let text = self.without_own(text, place, mark, known);
        if known.learned() == before { text } else { known.remove_from(text, mark) }
    }

    /// A text whose end may have been cut off, without its secrets, and without what begins like one at its end.
    pub(super) fn cut_text(&self, text: String, known: &mut KnownSecrets) -> String {
        let mut text = self.text(text, Place::Body, known);
        known.remove_cut(&mut text);
        shapes::remove_cut(&mut text, MARK);
        text
    }

    /// A text without the secrets that it names, and those that have the shape of one.
    fn without_own(&self, text: String, place: Place, mark: &str, known: &mut KnownSecrets) -> String {
        shapes::removed(self.without_named(text, place, mark, known), mark)
    }

    /// A text without what stands in a table below the name of a secret.
    fn without_cells(&self, text: String, known: &mut KnownSecrets) -> String {
        let is_secret = |name: &str| !name.is_empty() && (names::is_secret(name) || self.is_further(name));
        let cells = table::secret_cells(&text, is_secret);
        let (mut replaced, mut copied) = (String::new(), 0);
        for cell in &cells {
            known.learn(&text[cell.clone()]);
            replaced.push_str(&text[copied..cell.start]);
            replaced.push_str(MARK);
            copied = cell.end;
        }
        if cells.is_empty() { text } else { replaced + &text[copied..] }
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
    /// collapsed, and fields of the same name joined. `target` is path and query, without their secrets.
    pub(super) fn canonical(
        &self,
        raw: &Raw,
        target: [&str; 2],
        set: &[HeaderName],
        known: &mut KnownSecrets,
    ) -> String {
        let text = raw.text();
        let mut canonical = String::with_capacity(text.len());
        // The method stands before the target, and the names and the hash behind the empty line after the headers.
        for (number, line) in lines_of(&text).enumerate() {
            let bare = line.strip_suffix('\n').unwrap_or(line);
            match memchr::memchr(b':', bare.as_bytes()).filter(|_| number > 2) {
                Some(colon)
                    if self.is_secret_header(&bare[..colon])
                        || set.iter().any(|own| own == &bare[..colon]) =>
                {
                    canonical.extend([&bare[..colon], ":", MARK, "\n"]);
                }
                Some(colon) if let Some((scheme, _)) = shapes::scheme_and_credentials(&bare[colon + 1..]) => {
                    canonical.extend([&bare[..=colon], scheme, " ", MARK, "\n"]);
                }
                Some(colon) if !is_harmless(&bare[colon + 1..]) => {
                    canonical.push_str(&self.text(line.to_owned(), Place::Headers, known));
                }
                None if (1..=2).contains(&number) && bare != target[number - 1] => {
                    canonical.push_str(&self.text(bare.to_owned(), Place::Url, known));
                    canonical.push('\n');
                }
                _ => canonical.push_str(line),
            }
        }
        fitted(known.remove_from(canonical, MARK))
    }
}

/// The same text, without the room that long secrets have left.
fn fitted(mut text: String) -> String {
    if text.capacity() - text.len() > MAX_SPARE {
        text.shrink_to_fit();
    }
    text
}

/// The lines of a text, with their ends.
fn lines_of(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |newline| newline + 1);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        (!line.is_empty()).then_some(line)
    })
}

fn is_cookie(name: &str) -> bool {
    name == "cookie" || name == "set-cookie"
}

/// The value of a secret header, as far as it may be kept: the names of cookies, and a scheme of authentication.
fn push_redacted(line: &mut String, name: &str, value: &str) {
    if is_cookie(name) {
        let mut parts = value.split(';');
        if name == "cookie" {
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
