//! Secrets of one exchange whose values are known, and that are found wherever they are repeated.
//!
//! An API that repeats a secret spells it as the format of its answer wants: percent-encoded, once or twice, as a string
//! of JSON or of JSON within JSON, or with the entities of XML.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{MARK, is_cookie};

/// The shortest value that is looked for elsewhere, in bytes: a shorter one may be any word.
const MIN_KNOWN: usize = 6;

/// By so many bytes a secret is looked for first: a search is prepared in proportion to what it looks for, and a
/// session token has more than a thousand bytes.
const MAX_ANCHOR: usize = 16;

/// How many values become known because of a name before them, and how long they may be, in bytes. What is known takes
/// memory and time for as long as the exchange lasts.
const MAX_LEARNED: usize = 32;
const MAX_LEARNED_LENGTH: usize = 2048;

/// Of how many cookies the values become known. Browsers send at most 180 to a host.
const MAX_COOKIES: usize = 256;

/// The longest spelling of a character: `%2525XX`.
const MAX_SPELLING: usize = 12;

/// Values of one exchange that are known to be secret, wherever they appear in it.
#[derive(Clone, Default)]
pub(in crate::inspector) struct KnownSecrets {
    own: Vec<Zeroizing<String>>,
    learned: usize,
    shared: Option<Arc<KnownSecrets>>,
}

/// How far a text repeats a secret.
enum Repeated {
    /// As a whole, in so many bytes.
    Whole(usize),
    /// To the end of the text, which was cut there or is still coming.
    ToTheEnd,
    No,
}

impl KnownSecrets {
    /// Adds a secret.
    pub(in crate::inspector) fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if !self.has(secret) {
            self.own.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// Adds a secret that a text names. Of these there is a limited number.
    pub(super) fn learn(&mut self, secret: &str) {
        let is_kept = self.learned < MAX_LEARNED && secret.len() <= MAX_LEARNED_LENGTH;
        if is_kept && !self.has(secret.trim()) {
            self.learned += 1;
            self.add(secret);
        }
    }

    /// How many a text has named so far.
    pub(super) fn learned(&self) -> usize {
        self.learned
    }

    /// Whether a secret is among these, or too short to be.
    pub(in crate::inspector) fn has(&self, secret: &str) -> bool {
        secret.len() < MIN_KNOWN || self.own.iter().any(|known| known.as_str() == secret)
    }

    /// Adds secrets that other exchanges know as well.
    pub(in crate::inspector) fn share(&mut self, shared: Arc<Self>) {
        self.shared = Some(shared);
    }

    /// The memory that those of this exchange take, in bytes.
    pub(in crate::inspector) fn memory(&self) -> usize {
        let texts = self.own.iter().map(|known| known.capacity());
        self.own.capacity() * size_of::<Zeroizing<String>>() + texts.sum::<usize>()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let shared = self.shared.iter().flat_map(|shared| &shared.own);
        self.own.iter().chain(shared).map(|known| known.as_str())
    }

    /// Adds what a header with this value keeps secret: the value without the scheme before it, the password of Basic
    /// authentication, the values of cookies.
    pub(super) fn add_value(&mut self, name: &str, value: &str) {
        if is_cookie(name) {
            let pairs = if name == "cookie" { MAX_COOKIES } else { 1 };
            let values = value.split(';').take(pairs).filter_map(|pair| pair.split_once('='));
            values.for_each(|(_, value)| self.add(value.trim().trim_matches('"')));
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

    pub(super) fn remove_from(&self, text: String, mark: &str) -> String {
        self.iter().fold(text, |text, secret| without(text, secret, mark))
    }

    /// Removes the beginning of a secret from the end of a text that was cut there.
    pub(in crate::inspector) fn remove_cut(&self, text: &mut String) {
        for known in self.iter() {
            let longest = known.len().min(MIN_KNOWN + MAX_ANCHOR);
            let cut = (MIN_KNOWN..longest)
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

fn without(text: String, secret: &str, mark: &str) -> String {
    // The first letters that are spelled alike in every format.
    let start = secret.bytes().position(is_plain).unwrap_or_default();
    let length = secret.bytes().skip(start).take(MAX_ANCHOR).take_while(|&byte| is_plain(byte)).count();
    if length == 0 {
        return if text.contains(secret) { text.replace(secret, mark) } else { text };
    }
    let anchor = &secret[start..start + length];
    let (mut replaced, mut copied) = (String::new(), 0);
    for at in places(text.as_bytes(), anchor.as_bytes()) {
        if at < copied {
            continue;
        }
        let end = match repeated(&text[at..], &secret[start..]) {
            Repeated::Whole(length) => at + length,
            Repeated::ToTheEnd => text.len(),
            Repeated::No => continue,
        };
        let before = text.get(copied..at).unwrap_or_default();
        replaced.push_str(before.strip_suffix(&secret[..start]).unwrap_or(before));
        replaced.push_str(mark);
        copied = end;
    }
    if copied == 0 {
        return text;
    }
    replaced.push_str(text.get(copied..).unwrap_or_default());
    replaced
}

/// Where `anchor` stands in a text. Most texts are a line or two: to prepare a search would take longer than it.
fn places<'a>(text: &'a [u8], anchor: &'a [u8]) -> impl Iterator<Item = usize> {
    let first = anchor.first().copied().unwrap_or_default();
    memchr::memchr_iter(first, text).filter(move |&at| text[at..].starts_with(anchor))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn repeated(text: &str, secret: &str) -> Repeated {
    let mut at = 0;
    for (offset, letter) in secret.char_indices() {
        let rest = &text.as_bytes()[at..];
        match spelling(rest, letter) {
            Some(length) => at += length,
            None => {
                let is_cut = rest.len() < MAX_SPELLING && rest.iter().all(|&byte| is_escape(byte));
                let is_begun = rest.is_empty() || matches!(rest[0], b'%' | b'\\' | b'&');
                return if is_cut && is_begun && offset >= MIN_KNOWN {
                    Repeated::ToTheEnd
                } else {
                    Repeated::No
                };
            }
        }
    }
    Repeated::Whole(at)
}

fn is_escape(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'\\' | b'&' | b'#')
}

/// The length of a spelling of `letter` at the beginning of a text.
fn spelling(text: &[u8], letter: char) -> Option<usize> {
    let mut buffer = [0; 4];
    let raw = letter.encode_utf8(&mut buffer).as_bytes();
    if letter == '\\' && text.first() == Some(&b'\\') {
        return Some(text.iter().take_while(|&&byte| byte == b'\\').count());
    }
    if text.starts_with(raw) {
        return Some(raw.len());
    }
    match text.first()? {
        b'%' => percent_encoded(text, raw),
        b'\\' => escaped(text, letter, raw),
        b'&' => entity(text, letter),
        b'+' if letter == ' ' => Some(1),
        _ => None,
    }
}

/// `%2F`, `%2f`, `%252F`.
fn percent_encoded(text: &[u8], raw: &[u8]) -> Option<usize> {
    let mut at = 0;
    for &byte in raw {
        at += text.get(at..)?.strip_prefix(b"%").map(|_| 1)?;
        while text.get(at..)?.starts_with(b"25") && byte != b'%' {
            at += 2;
        }
        if hexadecimal(text.get(at..at + 2)?)? != u32::from(byte) {
            return None;
        }
        at += 2;
    }
    Some(at)
}

/// `\/`, `\"`, `\u002b`, and with more backslashes in a string within a string.
fn escaped(text: &[u8], letter: char, raw: &[u8]) -> Option<usize> {
    let mut at = text.iter().take_while(|&&byte| byte == b'\\').count();
    if text[at..].starts_with(raw) {
        return Some(at + raw.len());
    }
    let mut units = [0; 2];
    for (number, unit) in letter.encode_utf16(&mut units).iter().enumerate() {
        if number > 0 {
            at += text[at..].iter().take_while(|&&byte| byte == b'\\').count();
        }
        let digits = text.get(at..at + 5)?.strip_prefix(b"u")?;
        if hexadecimal(digits)? != u32::from(*unit) {
            return None;
        }
        at += 5;
    }
    Some(at)
}

/// `&amp;`, `&#43;`, `&#x2B;`.
fn entity(text: &[u8], letter: char) -> Option<usize> {
    let length = text.iter().take(MAX_SPELLING).position(|&byte| byte == b';')?;
    let meant = match &text[1..length] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(hexadecimal(digits)?)?,
        [b'#', digits @ ..] => char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?)?,
        _ => return None,
    };
    (meant == letter).then_some(length + 1)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
