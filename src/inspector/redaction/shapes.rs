//! Secrets that are recognised by their shape: JSON web tokens, access key ids, bearer tokens, private keys, passwords
//! in URLs.

use std::ops::Range;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use memchr::memmem;

use super::harmless::may_have_shape;

/// A secret's first bytes, and where it is when they are found.
type Shape = (&'static str, fn(&str, usize) -> Option<Range<usize>>);

const SHAPES: [Shape; 8] = [
    ("eyJ", web_token),
    ("AKIA", access_key_id),
    ("ASIA", access_key_id),
    ("earer ", bearer_token),
    ("asic ", basic_credentials),
    ("-----BEGIN ", private_key),
    ("@", user_info),
    ("AIza", prefixed_token),
];

/// What tokens of well-known issuers begin with: GitHub, GitLab, Slack, Stripe, npm, PyPI, Google, Vault, Shopify.
const TOKEN_PREFIXES: [&str; 22] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
    "xoxs-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "whsec_",
    "sk-",
    "npm_",
    "pypi-",
    "ya29.",
    "hvs.",
    "shpat_",
    "shpss_",
];

/// Schemes of authentication, which stand before credentials in a header of whatever name.
const SCHEMES: [&str; 9] =
    ["basic", "bearer", "digest", "dpop", "hmac", "negotiate", "ntlm", "apikey", "aws4-hmac-sha256"];

/// A word that is a scheme to some APIs, and begins a sentence to others.
const AMBIGUOUS_SCHEME: &str = "token";

/// The shortest run of letters that is taken for a token, in bytes.
const MIN_TOKEN: usize = 16;

/// An access key id has four letters and sixteen more.
const MIN_KEY_ID: usize = 16;

/// The longest user name and password of a URL, in bytes.
const MAX_USER_INFO: usize = 512;

/// `text` with `mark` in the place of each secret.
pub(super) fn removed(text: String, mark: &str) -> String {
    if !may_have_shape(&text) {
        return text;
    }
    let prefixes = TOKEN_PREFIXES.into_iter().map(|prefix| (prefix, prefixed_token as _));
    SHAPES.into_iter().chain(prefixes).fold(text, |text, shape| without(text, shape, mark))
}

/// Whether `text` ends with what a token of a well-known issuer begins with.
pub(super) fn ends_with_prefix(text: &[u8]) -> bool {
    text.ends_with(b"AIza") || TOKEN_PREFIXES.iter().any(|prefix| text.ends_with(prefix.as_bytes()))
}

/// The value of a header as a scheme of authentication and what follows it.
pub(super) fn scheme_and_credentials(value: &str) -> Option<(&str, &str)> {
    let (scheme, credentials) = value.trim_ascii_start().split_once(' ')?;
    let credentials = credentials.trim_ascii();
    let is_one_word = credentials.bytes().all(|byte| byte.is_ascii_graphic());
    let is_ambiguous = scheme.eq_ignore_ascii_case(AMBIGUOUS_SCHEME);
    let is_scheme = SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme))
        || is_ambiguous && is_one_word && credentials.bytes().any(|byte| byte.is_ascii_digit());
    (is_scheme && !credentials.is_empty()).then_some((scheme, credentials))
}

/// Removes what begins like a secret from the end of a text that was cut there.
pub(super) fn remove_cut(text: &mut String, mark: &str) {
    if let Some(start) = cut_token(text).or_else(|| cut_user_info(text)) {
        text.truncate(start);
        text.push_str(mark);
    }
}

/// Where the beginning of a token of a well-known issuer, or of an access key id, goes on to the end of a text.
fn cut_token(text: &str) -> Option<usize> {
    let length = text.bytes().rev().take_while(|&byte| is_token(byte)).count();
    let from = text.len() - length;
    let key_ids = ["AKIA", "ASIA", "AIza"];
    let starts = TOKEN_PREFIXES.into_iter().chain(key_ids).filter_map(|prefix| {
        let at = from + text[from..].rfind(prefix)?;
        let is_within = at > 0 && text.as_bytes()[at - 1].is_ascii_alphanumeric();
        let is_begun = at + prefix.len() < text.len();
        (!is_within && is_begun).then_some(at)
    });
    starts.min()
}

/// Where the user and a part of the password of a URL go on to the end of a text. A host and its port do not count.
fn cut_user_info(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let length = bytes.iter().rev().take(MAX_USER_INFO).take_while(|&&byte| is_user_info(byte)).count();
    let start = text.len() - length;
    let (_, password) = text[start..].split_once(':')?;
    let is_port = password.bytes().all(|byte| byte.is_ascii_digit());
    (!is_port && bytes[..start].ends_with(b"//") && bytes[start] != b'[').then_some(start)
}

fn is_user_info(byte: u8) -> bool {
    byte.is_ascii_graphic() && !ends_authority(byte) && byte != b'@'
}

fn without(text: String, (needle, find): Shape, mark: &str) -> String {
    let (mut replaced, mut copied) = (String::new(), 0);
    for at in memmem::find_iter(text.as_bytes(), needle) {
        // Before the look: one that looked to the end of the text at each of its places would take seconds.
        if at < copied {
            continue;
        }
        let Some(secret) = find(&text, at).filter(|secret| secret.start >= copied) else { continue };
        // The ends are at ASCII bytes, which are boundaries of characters.
        replaced.push_str(text.get(copied..secret.start).unwrap_or_default());
        replaced.push_str(mark);
        copied = secret.end;
    }
    if copied == 0 {
        return text;
    }
    replaced.push_str(text.get(copied..).unwrap_or_default());
    replaced
}

fn run(text: &str, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    text.as_bytes()[from..].iter().take_while(|&&byte| belongs(byte)).count()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=' | b'%')
}

/// `eyJ` is `{"` in base64; a token that was cut at the end of the text counts, however short it is.
fn web_token(text: &str, at: usize) -> Option<Range<usize>> {
    if at > 0 && text.as_bytes()[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let length = run(text, at, is_token);
    let is_cut = at + length == text.len();
    (length >= MIN_TOKEN || is_cut).then_some(at..at + length)
}

fn access_key_id(text: &str, at: usize) -> Option<Range<usize>> {
    let length = run(text, at, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (length >= MIN_KEY_ID).then_some(at..at + length)
}

fn prefixed_token(text: &str, at: usize) -> Option<Range<usize>> {
    let is_within = at > 0 && text.as_bytes()[at - 1].is_ascii_alphanumeric();
    let length = run(text, at, is_token);
    (!is_within && length > MIN_TOKEN).then_some(at..at + length)
}

fn bearer_token(text: &str, at: usize) -> Option<Range<usize>> {
    let start = at + "earer ".len();
    let length = run(text, start, is_token);
    (length >= MIN_TOKEN || length > 0 && start + length == text.len()).then_some(start..start + length)
}

/// What is behind `Basic`, if it is a name and a password.
fn basic_credentials(text: &str, at: usize) -> Option<Range<usize>> {
    let start = at + "asic ".len();
    let length = run(text, start, is_token);
    let encoded = text[start..start + length].trim_end_matches('=');
    let decoded = BASE64_STANDARD_NO_PAD.decode(encoded).ok()?;
    decoded.contains(&b':').then_some(start..start + length)
}

fn private_key(text: &str, at: usize) -> Option<Range<usize>> {
    let label = text[at..].split("-----").nth(1)?;
    if !label.ends_with("PRIVATE KEY") {
        return None;
    }
    let start = at + "-----".len() + label.len();
    let length = memmem::find(&text.as_bytes()[start..], b"-----END ");
    Some(start..length.map_or(text.len(), |length| start + length))
}

/// `user:password` of `https://user:password@host`. The last `@` ends it, since a password may have one as well.
fn user_info(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // First, since it ends at the `@` before: a text of nothing but these would take a second.
    let before = bytes[..at].iter().rev().take(MAX_USER_INFO);
    let start = at - before.take_while(|&&byte| is_user_info(byte)).count();
    if start == at || !bytes[..start].ends_with(b"//") {
        return None;
    }
    let after = bytes[at..].iter().take(MAX_USER_INFO);
    let authority = after.take_while(|&&byte| byte.is_ascii_graphic() && !ends_authority(byte)).count();
    let end = at + memchr::memrchr(b'@', &bytes[at..at + authority])?;
    Some(start..end)
}

fn ends_authority(byte: u8) -> bool {
    matches!(byte, b'/' | b'"' | b'\'' | b'<' | b'>')
}
