//! Finds the values that stand behind secret names in any text: JSON, forms, queries, XML, YAML, JSON within JSON.
//!
//! No parser of a format: bodies are cut at a limit, may be broken, and say of themselves what they like.

mod pairs;

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

use pairs::{MAX_PAIR_GAP, is_name_of_another, is_value_of_another};

use super::{
    MARK, Place, Redaction,
    extent::{Found, Spelling, Values},
    names::{MAX_NAME, is_secret, is_secret_parameter, normal},
};

/// The longest start tag whose name is looked for, in bytes.
const MAX_TAG: usize = 512;

/// The shortest segment of a path that is taken for a secret because of the segment before, in bytes.
const MIN_SEGMENT: usize = 8;

/// Looks for values behind secret names, from the front to the end.
pub(super) struct NamedValues<'a> {
    text: &'a [u8],
    place: Place,
    redaction: &'a Redaction,
    at: usize,
    /// The next separators at or behind `at`, plain, encoded and `/` of a path, with their lengths. Each is looked for again
    /// only when it has been passed: a text may have many of one kind, and none of another.
    separators: [Option<(usize, usize)>; 3],
    /// Whether the text asks a token endpoint for tokens.
    is_token_request: bool,
    /// Up to where a field `value` belongs to a secret name that was the value of a field `name`.
    pair_until: usize,
}

impl<'a> NamedValues<'a> {
    pub(super) fn new(text: &'a [u8], place: Place, redaction: &'a Redaction) -> Self {
        let is_path = Values { text, place, is_line: false }.is_path();
        let segment = if is_path { segment_separator(text, 0) } else { None };
        Self {
            text,
            place,
            redaction,
            at: 0,
            separators: [plain_separator(text, 0), encoded_separator(text, 0), segment],
            is_token_request: memmem::find(text, b"authorization_code").is_some(),
            pair_until: 0,
        }
    }

    /// The next `=`, `:`, `>` or encoded `=`: where it stands and how long it is.
    fn separator(&mut self) -> Option<(usize, usize)> {
        let looks = [plain_separator, encoded_separator, segment_separator];
        for (separator, look) in self.separators.iter_mut().zip(looks) {
            if separator.is_some_and(|(found, _)| found < self.at) {
                *separator = look(self.text, self.at);
            }
        }
        self.separators.into_iter().flatten().min()
    }

    fn is_secret(&self, name: &str, is_parameter: bool) -> bool {
        let known = if is_parameter { is_secret_parameter(name) } else { is_secret(name) };
        !name.is_empty() && (known || self.redaction.is_further(name))
    }

    /// Whether the name before a separator stands before a secret.
    fn is_secret_at(&self, name: &str, separator: u8) -> bool {
        // Elsewhere, the code in JSON is that of an error.
        let is_code = name == "code" && self.is_token_request;
        is_code || self.is_secret(name, !matches!(separator, b':' | b'/'))
    }

    /// Whether only its place makes a name one of a secret.
    fn is_parameter_only(&self, name: &str) -> bool {
        !self.is_secret(name, false) && self.is_secret(name, true)
    }

    /// The name before a separator, in its normal form.
    fn name_before(&self, separator: usize) -> String {
        let text = &self.text[..separator];
        if let [.., quote @ (b'"' | b'\'')] = text.trim_ascii_end() {
            let mut inner = &text.trim_ascii_end()[..text.trim_ascii_end().len() - 1];
            while let [before @ .., b'\\'] = inner {
                inner = before;
            }
            let near = &inner[inner.len().saturating_sub(MAX_NAME)..];
            let start = memchr::memrchr(*quote, near).map_or(0, |start| start + 1);
            return normal(&near[start..]);
        }
        let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
        let mut end = separator;
        while end > 0 && is_blank(text[end - 1]) {
            end -= 1;
        }
        let mut start = end;
        while start > 0 && end - start < MAX_NAME && is_name(text, start - 1) {
            start -= 1;
        }
        normal(&text[start..end])
    }

    /// What a start tag that ends at `close` encloses, when its name is secret.
    fn element(&mut self, close: usize) -> Option<Range<usize>> {
        let from = close.saturating_sub(MAX_TAG);
        let open = from + memchr::memrchr(b'<', &self.text[from..close])?;
        let tag = &self.text[open + 1..close];
        if tag.ends_with(b"/") || tag.starts_with(b"/") {
            return None;
        }
        let raw = tag.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let local = normal(raw.rsplit(|&byte| byte == b':').next().unwrap_or_default());
        let end_tag = [b"</", raw].concat();
        if is_name_of_another(&local) {
            self.note_pair(close, &end_tag);
            return None;
        }
        let is_value = is_value_of_another(&local)
            && (close < self.pair_until || self.is_element_pair_reversed(close, &end_tag));
        if !is_value && !self.is_secret(&local, false) && !self.is_named_secret(tag, close, &end_tag) {
            return None;
        }
        let mut from = close + 1;
        if self.text[from..].trim_ascii_start().starts_with(b"<![CDATA[") {
            from += memmem::find(&self.text[from..], b"]]>").unwrap_or_default();
        }
        let length = memmem::find(&self.text[from..], &end_tag).map(|length| from - close - 1 + length);
        Some(close + 1..length.map_or(self.text.len(), |length| close + 1 + length))
    }

    fn values(&self, is_line: bool) -> Values<'a> {
        Values { text: self.text, place: self.place, is_line }
    }

    /// The value behind a separator that ends at `at`, as far as a name may be long.
    fn short_value(&self, at: usize, separator: u8) -> Range<usize> {
        let end = self.text.len().min(at + 2 * MAX_NAME);
        let near = Values { text: &self.text[..end], ..self.values(false) };
        near.behind(at, separator).value
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
                    return Some(Found { value, is_structure: false, spelling: Spelling::Plain });
                }
                continue;
            }
            // The value of a whole header has been decided about by its name.
            if self.place == Place::Headers && separator == b':' && is_header_name(&self.text[..at]) {
                continue;
            }
            let name = self.name_before(at);
            let is_value_of_pair = at < self.pair_until && is_value_of_another(&name);
            if !is_value_of_pair
                && !self.is_secret_at(&name, separator)
                && !self.is_pair_reversed(&name, separator)
            {
                if is_name_of_another(&name) {
                    let value = self.short_value(self.at, separator);
                    if value.len() <= MAX_NAME && self.is_secret(&normal(&self.text[value.clone()]), true) {
                        if separator == b'='
                            && let Some(value) = self.values(false).part(value.end)
                        {
                            self.at = value.end;
                            return Some(Found { value, is_structure: false, spelling: Spelling::Plain });
                        }
                        self.pair_until = value.end + MAX_PAIR_GAP;
                    }
                }
                continue;
            }
            let is_line = self.place == Place::Body && is_line_name(&self.text[..at]);
            let mut found = self.values(is_line).behind(self.at, separator);
            self.at = found.value.end;
            if self.is_parameter_only(&name) {
                found.spelling = Spelling::Uncertain;
            }
            let value = &self.text[found.value.clone()];
            // Models of language count their tokens.
            let is_count = name.ends_with("tokens") && value.trim_ascii().iter().all(u8::is_ascii_digit);
            let is_word = separator == b'/' && !is_random(value);
            if is_word {
                self.at = found.value.start;
                continue;
            }
            if !is_empty(value) && !is_count {
                return Some(found);
            }
        }
    }
}

/// Whether a segment of a path is more than a word or a short number.
fn is_random(segment: &[u8]) -> bool {
    segment.len() >= MIN_SEGMENT && segment.iter().any(u8::is_ascii_digit)
}

/// Whether a value says that there is no secret.
fn is_empty(value: &[u8]) -> bool {
    matches!(value.trim_ascii(), b"" | b"null" | b"true" | b"false" | b"[]" | b"{}")
        || value == MARK.as_bytes()
}

/// The next `=`, `:` or `>`, and its length.
fn plain_separator(text: &[u8], from: usize) -> Option<(usize, usize)> {
    Some((from + memchr3(b'=', b':', b'>', text.get(from..)?)?, 1))
}

/// The next `/`, and its length.
fn segment_separator(text: &[u8], from: usize) -> Option<(usize, usize)> {
    Some((from + memchr(b'/', text.get(from..)?)?, 1))
}

/// The next `%3D`, `%253D` and so on, and its length.
fn encoded_separator(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    let equals = |&escape: &usize| matches!(rest[escape..], [b'3', b'D' | b'd', ..]);
    memchr::memchr_iter(b'3', rest).filter(equals).find_map(|digits| {
        let percent = percent_before(&rest[..digits])?;
        Some((from + percent, digits + 2 - percent))
    })
}

/// Where the `%`, `%25` or `%2525` begins that ends a text.
fn percent_before(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    while let Some(outer) = rest.strip_suffix(b"25") {
        rest = outer;
    }
    rest.strip_suffix(b"%").map(<[u8]>::len)
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

/// Whether the last line of a text is a name without quotes so far, as in YAML.
fn is_line_name(text: &[u8]) -> bool {
    let near = &text[text.len().saturating_sub(2 * MAX_NAME)..];
    let start = memchr::memrchr(b'\n', near).map_or(0, |newline| newline + 1);
    let line = near[start..].trim_ascii();
    let line = line.strip_prefix(b"- ").unwrap_or(line);
    !line.is_empty() && (0..line.len()).all(|at| is_name(line, at))
}

fn is_name(text: &[u8], at: usize) -> bool {
    let byte = text[at];
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'%' | b'$' | b'[' | b']' | b'+' | 0x80..)
        || byte == b'\\' && matches!(text.get(at + 1), Some(b'u' | b'\\'))
}
