//! Which texts cannot hold a secret, found in one pass: most values of headers are such texts.

use super::shapes::ends_with_prefix;

/// What a byte may belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// No secret.
    Other,
    /// What stands between a name and its value.
    Separator,
    /// What stands behind a password in a URL.
    At,
    /// A colon, which stands in times as well.
    Colon,
    /// The end of a scheme of authentication, or of the first word of a key.
    Blank,
    /// The last letter of what a JSON web token begins with, in base64.
    TokenStart,
    /// The last letter of what an access key id begins with.
    KeyStart,
    /// The last letter of what a token of a well-known issuer begins with.
    PrefixEnd,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut at = 0;
    while at < SEPARATORS.len() {
        classes[SEPARATORS[at] as usize] = Class::Separator;
        at += 1;
    }
    classes[b'@' as usize] = Class::At;
    classes[b':' as usize] = Class::Colon;
    classes[b' ' as usize] = Class::Blank;
    classes[b'J' as usize] = Class::TokenStart;
    classes[b'A' as usize] = Class::KeyStart;
    let mut at = 0;
    while at < PREFIX_ENDS.len() {
        classes[PREFIX_ENDS[at] as usize] = Class::PrefixEnd;
        at += 1;
    }
    classes
};

const SEPARATORS: &[u8] = b"=>%";
const PREFIX_ENDS: &[u8] = b"_-.a";

/// Whether neither a name before a value nor the shape of a secret is in `text`. What it says of a text with one of
/// them is up to [`NamedValues`](super::named::NamedValues) and [`shapes`](super::shapes).
pub(super) fn is_harmless(text: &str) -> bool {
    let text = text.as_bytes();
    text.iter().enumerate().all(|(at, &byte)| match CLASSES[byte as usize] {
        Class::Other => true,
        Class::Separator | Class::At => false,
        Class::Colon => is_after_number(&text[..at]),
        class => !ends_shape(class, &text[..=at]),
    })
}

/// Whether what begins the shape of a secret is in `text`.
pub(super) fn may_have_shape(text: &str) -> bool {
    let text = text.as_bytes();
    text.iter().enumerate().any(|(at, &byte)| match CLASSES[byte as usize] {
        Class::Other | Class::Separator | Class::Colon => false,
        Class::At => true,
        class => ends_shape(class, &text[..=at]),
    })
}

/// Whether `text` ends with what begins the shape of a secret; its last byte is of this class.
fn ends_shape(class: Class, text: &[u8]) -> bool {
    match class {
        Class::Blank => is_after_word(&text[..text.len() - 1]),
        Class::TokenStart => text.ends_with(b"eyJ"),
        Class::KeyStart => text.ends_with(b"AKIA") || text.ends_with(b"ASIA"),
        Class::PrefixEnd => ends_with_prefix(text),
        Class::Other | Class::Separator | Class::Colon | Class::At => false,
    }
}

/// Whether a number, and no name, stands before a colon: the hours or minutes of a time.
fn is_after_number(before: &[u8]) -> bool {
    let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && matches!(before[..before.len() - digits], [] | [.., b' ' | b':'] | [.., b'0'..=b'9', b'T'])
}

/// Whether a blank follows what a secret may follow: `Bearer`, `Basic`, `-----BEGIN`.
fn is_after_word(before: &[u8]) -> bool {
    [&b"earer"[..], b"asic", b"BEGIN"].iter().any(|word| before.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_values_are_harmless_and_all_that_may_hold_a_secret_are_not() {
        for text in [
            "application/json",
            "Mon, 01 Jan 2026 00:00:00 GMT",
            "2026-01-01T00:00:00Z",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
            "gzip, deflate, br",
        ] {
            assert!(is_harmless(text), "{text}");
        }
        for text in [
            "a=b",
            "token2: x",
            "12token:x",
            "jwT2:x",
            "https://a",
            "<a>b",
            "a%3Db",
            "u@h",
            "Bearer x",
            "basic dTpw",
            "eyJhbGciOi",
            "AKIAIOSFODNN7EXAMPLE",
            "ASIAIOSFODNN7EXAMPLE",
            "-----BEGIN RSA PRIVATE KEY-----",
            "ghp_0123456789abcdefghij",
            "AIzaSyA0123456789abcdef",
            "ya29.0123456789abcdef",
        ] {
            assert!(!is_harmless(text), "{text}");
        }
    }
}
