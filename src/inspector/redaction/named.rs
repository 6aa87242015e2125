//! Finds the values that stand behind secret names in any text: JSON, forms, queries, XML, YAML, JSON within JSON.
//!
//! No parser of a format: bodies are cut at a limit, may be broken, and say of themselves what they like.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

use super::{
    MARK, Place, Redaction,
    names::{MAX_NAME, is_secret, is_secret_parameter, normal},
};

/// How far behind `"name": "password"` the value may stand, in bytes.
const MAX_PAIR_GAP: usize = 256;

/// The longest start tag whose name is looked for, in bytes.
const MAX_TAG: usize = 512;

/// A value to be replaced, and whether the replacement needs quotes.
pub(super) struct Found {
    pub(super) value: Range<usize>,
    pub(super) is_structure: bool,
}

/// Looks for values behind secret names, from the front to the end.
pub(super) struct NamedValues<'a> {
    text: &'a [u8],
    place: Place,
    redaction: &'a Redaction,
    at: usize,
    /// The next encoded `=` at or behind `at`, once it has been looked for.
    encoded: Option<usize>,
    /// Up to where a field `value` belongs to a secret name that was the value of a field `name`.
    pair_until: usize,
}

impl<'a> NamedValues<'a> {
    pub(super) fn new(text: &'a [u8], place: Place, redaction: &'a Redaction) -> Self {
        Self { text, place, redaction, at: 0, encoded: encoded_separator(text, 0), pair_until: 0 }
    }

    /// The next `=`, `:`, `>` or encoded `=`: where it stands and how long it is.
    fn separator(&mut self) -> Option<(usize, usize)> {
        let rest = self.text.get(self.at..)?;
        let plain = memchr3(b'=', b':', b'>', rest).map(|found| (self.at + found, 1));
        // Looked for again only when it has been passed: a text may have many separators and one of these.
        if self.encoded.is_some_and(|encoded| encoded < self.at) {
            self.encoded = encoded_separator(self.text, self.at);
        }
        plain.into_iter().chain(self.encoded.map(|encoded| (encoded, 3))).min()
    }

    fn is_secret(&self, name: &str, is_parameter: bool) -> bool {
        let known = if is_parameter { is_secret_parameter(name) } else { is_secret(name) };
        !name.is_empty() && (known || self.redaction.is_further(name))
    }

    /// The name before a separator, in its normal form.
    fn name_before(&self, separator: usize) -> String {
        let text = self.text;
        let mut end = separator;
        while end > 0 && matches!(text[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        if end > 0 && matches!(text[end - 1], b'"' | b'\'') {
            end -= 1;
            while end > 0 && text[end - 1] == b'\\' {
                end -= 1;
            }
        }
        let mut start = end;
        while start > 0 && end - start < MAX_NAME && is_name(text, start - 1) {
            start -= 1;
        }
        normal(&text[start..end])
    }

    /// What a start tag that ends at `close` encloses, when its name is secret.
    fn element(&self, close: usize) -> Option<Range<usize>> {
        let from = close.saturating_sub(MAX_TAG);
        let open = from + memchr::memrchr(b'<', &self.text[from..close])?;
        let tag = &self.text[open + 1..close];
        if tag.ends_with(b"/") || tag.starts_with(b"/") {
            return None;
        }
        let raw = tag.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let local = raw.rsplit(|&byte| byte == b':').next().unwrap_or_default();
        if !self.is_secret(&normal(local), false) {
            return None;
        }
        let end_tag = [b"</", raw].concat();
        let length = memmem::find(&self.text[close + 1..], &end_tag);
        Some(close + 1..length.map_or(self.text.len(), |length| close + 1 + length))
    }

    /// The value behind a separator that ends at `at`.
    fn value(&self, at: usize, separator: u8) -> Found {
        let text = self.text;
        let skipped = |byte: &u8| match self.place {
            Place::Url => false,
            Place::Headers => matches!(byte, b' ' | b'\t'),
            Place::Body => byte.is_ascii_whitespace() || *byte == b'>',
        };
        // A form has no blanks behind "=", and an empty value there is followed by the next name.
        let begin = at + text[at..].iter().take_while(|byte| skipped(byte)).count();
        let slashes = text[begin..].iter().take_while(|&&byte| byte == b'\\').count();
        let quote = text.get(begin + slashes).copied().filter(|byte| matches!(byte, b'"' | b'\''));
        if let Some(quote) = quote {
            let start = begin + slashes + 1;
            let value = start..self.end_of_string(start, quote, slashes);
            return Found { value, is_structure: false };
        }
        let is_structure = separator == b':' && matches!(text.get(begin), Some(b'[' | b'{'));
        let is_marked = text[begin..].starts_with(MARK.as_bytes());
        if is_structure && !is_marked && self.place != Place::Url {
            return Found { value: begin..self.end_of_structure(begin), is_structure: true };
        }
        let ends = |byte: u8| match (separator, self.place) {
            (b':', Place::Url) => matches!(byte, b'/' | b'&' | b'?' | b';'),
            (b':', _) => matches!(byte, b'\r' | b'\n' | b',' | b'}' | b'<'),
            (b'%', _) => matches!(byte, b'%' | b'&' | b'"' | b'\'' | b'<') || byte.is_ascii_whitespace(),
            _ => {
                matches!(byte, b'&' | b';' | b',' | b'"' | b'\'' | b'<' | b'>') || byte.is_ascii_whitespace()
            }
        };
        let length = text[begin..].iter().position(|&byte| ends(byte)).unwrap_or(text.len() - begin);
        Found { value: begin..begin + length, is_structure: false }
    }

    /// The value behind the last separator, as far as a name may be long.
    fn short_value(&self, separator: u8) -> Range<usize> {
        let end = self.text.len().min(self.at + 2 * MAX_NAME);
        let near = NamedValues { text: &self.text[..end], encoded: None, ..*self };
        near.value(self.at, separator).value
    }

    /// Where a string ends whose opening quote had so many backslashes before it: JSON within JSON has one, within
    /// that three.
    fn end_of_string(&self, start: usize, quote: u8, slashes: usize) -> usize {
        let mut at = start;
        while let Some(found) = memchr(quote, &self.text[at..]) {
            let end = at + found;
            let before = self.text[start..end].iter().rev().take_while(|&&byte| byte == b'\\').count();
            if before % (2 * (slashes + 1)) == slashes {
                return end - slashes;
            }
            at = end + 1;
        }
        if self.place == Place::Headers {
            return memchr(b'\n', &self.text[start..]).map_or(self.text.len(), |length| start + length);
        }
        self.text.len()
    }

    fn end_of_structure(&self, begin: usize) -> usize {
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        for (offset, &byte) in self.text[begin..].iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\n' if self.place == Place::Headers => return begin + offset,
                b'\\' => escaped = in_string,
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => depth += 1,
                b']' | b'}' if !in_string => {
                    depth -= 1;
                    if depth == 0 {
                        return begin + offset + 1;
                    }
                }
                _ => {}
            }
        }
        self.text.len()
    }
}

impl Iterator for NamedValues<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let (at, length) = self.separator()?;
            let separator = self.text[at];
            self.at = at + length;
            if separator == b'>' {
                if let Some(value) = self.element(at) {
                    self.at = value.end;
                    return Some(Found { value, is_structure: false });
                }
                continue;
            }
            // The value of a whole header has been decided about by its name.
            if self.place == Place::Headers && separator == b':' && is_header_name(&self.text[..at]) {
                continue;
            }
            let name = self.name_before(at);
            let is_value_of_pair = at < self.pair_until && (name == "value" || name == "values");
            if !is_value_of_pair && !self.is_secret(&name, separator != b':') {
                if matches!(name.as_str(), "name" | "key" | "header" | "headername") {
                    let value = self.short_value(separator);
                    if value.len() <= MAX_NAME && self.is_secret(&normal(&self.text[value.clone()]), true) {
                        self.pair_until = value.end + MAX_PAIR_GAP;
                    }
                }
                continue;
            }
            let found = self.value(self.at, separator);
            self.at = found.value.end;
            if !is_empty(&self.text[found.value.clone()]) {
                return Some(found);
            }
        }
    }
}

/// Whether a value says that there is no secret.
fn is_empty(value: &[u8]) -> bool {
    matches!(value.trim_ascii(), b"" | b"null" | b"true" | b"false" | b"[]" | b"{}")
        || value == MARK.as_bytes()
}

fn encoded_separator(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut escapes = memmem::find_iter(rest, b"%3");
    escapes.find(|&escape| matches!(rest.get(escape + 2), Some(b'D' | b'd'))).map(|found| from + found)
}

/// Whether the last line of a text is a name so far.
fn is_header_name(text: &[u8]) -> bool {
    let name = text
        .iter()
        .rev()
        .take_while(|&&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let length = name.count();
    length == text.len() || text[text.len() - length - 1] == b'\n'
}

fn is_name(text: &[u8], at: usize) -> bool {
    let byte = text[at];
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'%' | b'$' | b'[' | b']')
        || byte == b'\\' && text.get(at + 1) == Some(&b'u')
}
