//! Values whose name is the value of another field: `{"name": "password", "value": …}` and the same in XML.

use std::ops::Range;

use memchr::memchr;

use super::NamedValues;
use crate::inspector::redaction::{
    extent::Values,
    names::{MAX_NAME, normal},
};

/// How far behind `"name": "password"` the value may stand, in bytes.
pub(super) const MAX_PAIR_GAP: usize = 256;

/// How many fields may stand between a value and the name behind it that says that it is secret.
const MAX_FIELDS_BETWEEN: usize = 4;

/// Names of fields whose value is the name of another value.
const NAMES: [&str; 13] = [
    "name",
    "key",
    "header",
    "headername",
    "field",
    "fieldname",
    "parameter",
    "parametername",
    "parameterkey",
    "property",
    "propertyname",
    "attributename",
    "variable",
];

/// Names of fields that hold that value.
const VALUES: [&str; 8] =
    ["value", "values", "val", "parametervalue", "stringvalue", "defaultvalue", "content", "plaintext"];

/// Whether a field of this normal name holds the name of another.
pub(super) fn is_name_of_another(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether a field of this normal name holds the value that another one names.
pub(super) fn is_value_of_another(name: &str) -> bool {
    VALUES.contains(&name)
}

impl NamedValues<'_> {
    /// Whether `"value":` comes before the `"name":` that says that it is secret.
    pub(super) fn is_pair_reversed(&self, name: &str, separator: u8) -> bool {
        if separator != b':' || !is_value_of_another(name) {
            return false;
        }
        let end = self.text.len().min(self.at + 2 * MAX_PAIR_GAP);
        let near = Values { text: &self.text[..end], ..self.values(false) };
        let mut behind = near.behind(self.at, separator).value.end;
        for _ in 0..MAX_FIELDS_BETWEEN {
            let Some(colon) = memchr(b':', &near.text[behind..]).map(|colon| behind + colon) else {
                return false;
            };
            // Where the object ends, its names do.
            if memchr(b'}', &near.text[behind..colon]).is_some() {
                return false;
            }
            let value = self.short_value(colon + 1, b':');
            if is_name_of_another(&self.name_before(colon)) {
                return self.is_secret(&normal(&self.text[value]), true);
            }
            behind = value.end.min(end);
        }
        false
    }

    /// The text of an element without others in it, whose start tag ends at `close`.
    fn simple_content(&self, close: usize, end_tag: &[u8]) -> Option<Range<usize>> {
        let length = memchr(b'<', self.text.get(close + 1..)?)?;
        let end = close + 1 + length;
        self.text[end..].starts_with(end_tag).then_some(close + 1..end)
    }

    /// Notes that `<name>password</name>` is followed by a secret `<value>`.
    pub(super) fn note_pair(&mut self, close: usize, end_tag: &[u8]) {
        if let Some(name) = self.simple_content(close, end_tag)
            && name.len() <= MAX_NAME
            && self.is_secret(&normal(&self.text[name.clone()]), true)
        {
            self.pair_until = name.end + MAX_PAIR_GAP;
        }
    }

    /// Whether `<value>…</value>` comes before the `<name>` that says that it is secret.
    pub(super) fn is_element_pair_reversed(&self, close: usize, end_tag: &[u8]) -> bool {
        let Some(value) = self.simple_content(close, end_tag) else { return false };
        let from = value.end + end_tag.len();
        let near = &self.text[from.min(self.text.len())..self.text.len().min(from + MAX_PAIR_GAP)];
        let Some(open) = near.iter().skip(1).position(|&byte| byte == b'<').map(|open| open + 1) else {
            return false;
        };
        let Some(close) = memchr(b'>', &near[open..]).map(|close| open + close) else { return false };
        let raw = &near[open + 1..close];
        let local = raw.rsplit(|&byte| byte == b':').next().unwrap_or_default();
        let content = self.simple_content(from + close, &[b"</", raw].concat());
        is_name_of_another(&normal(local))
            && content.is_some_and(|name| self.is_secret(&normal(&self.text[name]), true))
    }

    /// Whether an attribute says that the text of an element is secret: `<entry key="password">…</entry>`.
    pub(super) fn is_named_secret(&self, tag: &[u8], close: usize, end_tag: &[u8]) -> bool {
        let offset = close - tag.len();
        memchr::memchr_iter(b'=', tag).any(|equals| {
            let at = offset + equals;
            is_name_of_another(&self.name_before(at))
                && self.is_secret(&normal(&self.text[self.short_value(at + 1, b'=')]), true)
        }) && self.simple_content(close, end_tag).is_some()
    }
}
