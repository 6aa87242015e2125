//! Where a value ends that stands behind a name.

use std::ops::Range;

use memchr::{memchr, memmem};
use percent_encoding::percent_decode_str;

use super::{MARK, Place, names::MAX_NAME};

/// The longest head of a part of a multipart form, before and behind the name, in bytes.
const MAX_DISPOSITION: usize = 256;

/// A value to be replaced, and whether the replacement needs quotes.
pub(super) struct Found {
    pub(super) value: Range<usize>,
    pub(super) is_structure: bool,
    pub(super) spelling: Spelling,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Plain,
    /// With the escapes of JSON.
    Quoted,
    /// As in a URL or a form.
    Encoded,
    /// A parameter that is too often no secret to be looked for elsewhere.
    Uncertain,
}

impl Found {
    /// The secret as such, when other texts may repeat it.
    pub(super) fn learnt(&self, text: &str) -> Option<String> {
        let value = text.get(self.value.clone()).filter(|_| !self.is_structure)?;
        match self.spelling {
            Spelling::Uncertain => None,
            Spelling::Plain => Some(value.to_owned()),
            Spelling::Quoted => serde_json::from_str(&format!("\"{value}\"")).ok().or(Some(value.to_owned())),
            Spelling::Encoded => {
                let spaced = value.replace('+', " ");
                Some(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
            }
        }
    }
}

/// The values in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) text: &'a [u8],
    pub(super) place: Place,
    /// Whether the name begins its line without quotes, so that all of the line is its value.
    pub(super) is_line: bool,
}

impl Values<'_> {
    /// Whether the text is the path of a URL, and not its query.
    pub(super) fn is_path(&self) -> bool {
        self.place == Place::Url && self.text.first() == Some(&b'/')
    }

    /// The value behind a separator that ends at `at`.
    pub(super) fn behind(&self, at: usize, separator: u8) -> Found {
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
            return Found { value, is_structure: false, spelling: Spelling::Quoted };
        }
        let is_structure = separator == b':' && matches!(text.get(begin), Some(b'[' | b'{'));
        let is_marked = text[begin..].starts_with(MARK.as_bytes());
        if is_structure && !is_marked && self.place != Place::Url {
            let value = begin..self.end_of_structure(begin);
            return Found { value, is_structure: true, spelling: Spelling::Plain };
        }
        let rest = &text[begin..];
        let ends = |at: usize| match (separator, self.place) {
            (b':' | b'/', Place::Url) => matches!(rest[at], b'/' | b'&' | b'?' | b';'),
            // In a query only this ends a value, and in a path what begins the next segment.
            (b'=', Place::Url) => rest[at] == b'&' || rest[at] == b'/' && self.is_path(),
            (b':', _) => match rest[at] {
                b'\r' | b'\n' | b'<' => true,
                b',' | b'}' => !self.is_line,
                _ => false,
            },
            (b'%', _) => is_end_of_encoded(&rest[at..]),
            _ => is_end_of_parameter(&rest[at..]),
        };
        let length = (0..rest.len()).find(|&at| ends(at)).unwrap_or(rest.len());
        let end = begin + length;
        let end = if self.is_line && separator == b':' { self.end_of_block(at, end) } else { end };
        let spelling = if separator == b':' { Spelling::Plain } else { Spelling::Encoded };
        Found { value: begin..end, is_structure: false, spelling }
    }

    /// Where a value of YAML ends whose first line ends at `first`, and whose name ends at `name`: it goes on in lines that
    /// are indented further than the name, and in the items of a list below it.
    fn end_of_block(&self, name: usize, first: usize) -> usize {
        let near = &self.text[name.saturating_sub(3 * MAX_NAME)..name];
        let line = memchr::memrchr(b'\n', near).map_or(near, |newline| &near[newline + 1..]);
        let column = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'-')).count();
        let mut end = first;
        let mut from = first;
        while let Some(newline) = memchr(b'\n', &self.text[from..]) {
            from += newline + 1;
            let line = &self.text[from..];
            let line = &line[..memchr(b'\n', line).unwrap_or(line.len())];
            let indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let content = line[indent..].trim_ascii_end();
            if content.is_empty() {
                continue;
            }
            if indent <= column && !(indent == column && content.starts_with(b"- ")) {
                break;
            }
            end = from + indent + content.len();
        }
        end
    }

    /// What a part of a multipart form holds whose name ends at `end`.
    pub(super) fn part(&self, end: usize) -> Option<Range<usize>> {
        let disposition = &self.text[end.saturating_sub(MAX_DISPOSITION)..end];
        memmem::find(disposition, b"form-data")?;
        let near = &self.text[end..self.text.len().min(end + MAX_DISPOSITION)];
        let blank = [&b"\r\n\r\n"[..], b"\n\n"];
        let begin =
            blank.into_iter().find_map(|blank| Some(end + memmem::find(near, blank)? + blank.len()))?;
        let length = memmem::find(&self.text[begin..], b"\n--").unwrap_or(self.text.len() - begin);
        let value = self.text[begin..begin + length].trim_ascii_end();
        Some(begin..begin + value.len())
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

/// Whether a value behind an encoded `=` ends here: at an encoded `&`, or where the text around goes on.
fn is_end_of_encoded(text: &[u8]) -> bool {
    match text {
        [] | [b'&' | b'"' | b'\'' | b'<', ..] => true,
        [b'%', escape @ ..] => {
            let mut escape = escape;
            while let Some(inner) = escape.strip_prefix(b"25") {
                escape = inner;
            }
            escape.starts_with(b"26") || escape.starts_with(b"22")
        }
        [byte, ..] => byte.is_ascii_whitespace(),
    }
}

/// Whether a value behind `=` ends here. What separates values in one format is a letter of them in another: it ends
/// the value unless more letters of it follow, but no name.
fn is_end_of_parameter(text: &[u8]) -> bool {
    let Some((&first, rest)) = text.split_first() else { return true };
    match first {
        b'&' | b'<' | b'>' => true,
        b'"' | b'\'' | b',' | b';' => {
            let name =
                rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            let length = name.count();
            length == 0 || rest.get(length) == Some(&b'=')
        }
        byte => byte.is_ascii_whitespace(),
    }
}
