//! The beginning of a body, if it is text.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value, json};

use super::{
    MAX_BODY, Mode,
    raw::Raw,
    redaction::{KnownSecrets, Redaction},
};

/// Why nothing is kept of a body that was sent while it arrived.
const STREAMED: &str = "streamed";

/// Why nothing is kept of a body that the proxy refused to read.
const UNREAD: &str = "unread";

/// What is kept of a body.
#[derive(Default)]
pub(super) struct CapturedBody {
    /// The length so far, in bytes.
    pub(super) size: u64,
    media_type: Option<Box<str>>,
    omitted: Option<&'static str>,
    /// What has come and was not looked at yet. It is redacted as a whole, since a secret may lie across two chunks, and
    /// wiped when the exchange is dropped before that.
    raw: Raw,
    /// Without secrets.
    text: Option<String>,
    truncated: bool,
    /// Whether bytes that are no UTF-8 have been replaced.
    is_lossy: bool,
}

/// What headers say of a body.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    media_type: Option<&'a str>,
    encoding: Option<&'a [u8]>,
}

impl<'a> Content<'a> {
    /// Of a message with these headers.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let value = |name| headers.get(name).map(HeaderValue::as_bytes);
        Self::new(value(header::CONTENT_TYPE), value(header::CONTENT_ENCODING))
    }

    /// Of a message with these lines of headers.
    pub(super) fn of_lines(lines: &'a Raw) -> Self {
        let value = |name: HeaderName| lines.value(name.as_str());
        Self::new(value(header::CONTENT_TYPE), value(header::CONTENT_ENCODING))
    }

    fn new(media_type: Option<&'a [u8]>, encoding: Option<&'a [u8]>) -> Self {
        Self { media_type: media_type.and_then(|value| std::str::from_utf8(value).ok()), encoding }
    }

    /// Why nothing is kept of the body; `None` when it is.
    pub(super) fn omitted(&self, mode: Mode) -> Option<&'static str> {
        let is_encoded = self
            .encoding
            .map(<[u8]>::trim_ascii)
            .is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
        match mode {
            Mode::Heads => Some("heads"),
            Mode::Bodies if is_encoded => Some("encoded"),
            Mode::Bodies if self.media_type.is_some_and(|media_type| !is_text(media_type)) => Some("binary"),
            Mode::Bodies => None,
        }
    }
}

impl CapturedBody {
    /// A body of which nothing has come.
    pub(super) fn new(content: Content<'_>, mode: Mode) -> Self {
        let media_type = content.media_type.map(Into::into);
        Self { media_type, omitted: content.omitted(mode), ..Self::default() }
    }

    /// A body in memory.
    pub(super) fn of(chunks: &[Bytes], headers: &HeaderMap, mode: Mode) -> Self {
        if chunks.iter().all(Bytes::is_empty) {
            return Self::default();
        }
        let mut body = Self::new(Content::of(headers), mode);
        for chunk in chunks {
            let kept = body.room_for(chunk.len());
            body.push(chunk, kept);
        }
        body
    }

    /// A body that is not in memory.
    pub(super) fn streamed(headers: &HeaderMap, length: Option<u64>) -> Self {
        let body = Self::new(Content::of(headers), Mode::Heads);
        Self { size: length.unwrap_or_default(), omitted: Some(STREAMED), ..body }
    }

    /// The body of a request of which only the head has come.
    pub(super) fn unread(lines: &Raw) -> Self {
        let length = lines.value(header::CONTENT_LENGTH.as_str());
        let length = length.and_then(|length| std::str::from_utf8(length).ok()?.parse().ok()).unwrap_or(0);
        if length == 0 && lines.value(header::TRANSFER_ENCODING.as_str()).is_none() {
            return Self::default();
        }
        let body = Self::new(Content::of_lines(lines), Mode::Heads);
        Self { size: length, omitted: Some(UNREAD), ..body }
    }

    /// How many of `length` further bytes are kept.
    pub(super) fn room_for(&self, length: usize) -> usize {
        let room = if self.omitted.is_some() || self.text.is_some() { 0 } else { MAX_BODY - self.raw.len() };
        room.min(length)
    }

    /// Counts a chunk and keeps its first `kept` bytes.
    pub(super) fn push(&mut self, chunk: &[u8], kept: usize) {
        self.size += chunk.len() as u64;
        self.raw.push(&chunk[..kept]);
        self.truncated |= kept < chunk.len() && self.omitted.is_none();
    }

    /// Takes over what has come since the last time, of a body of which `size` bytes have come so far.
    pub(super) fn take_over(&mut self, chunks: Raw, size: u64) {
        self.size = size;
        if self.omitted.is_some() || self.text.is_some() {
            return;
        }
        if self.raw.is_empty() {
            self.raw = chunks;
        } else {
            self.raw.push(chunks.bytes());
        }
        self.truncated = size > self.raw.len() as u64;
    }

    /// Whether nothing further is kept, so that what has come can be redacted.
    pub(super) fn is_full(&self) -> bool {
        self.truncated && self.text.is_none()
    }

    /// Takes the secrets out of what has come, and keeps the rest.
    pub(super) fn redact(&mut self, redaction: &Redaction, known: &mut KnownSecrets) {
        if self.omitted.is_some() || self.text.is_some() {
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        // NUL is in no text that people write, and in every UTF-16 one, whose names would not be recognised.
        if memchr::memchr(0, raw.bytes()).is_some() {
            self.omitted = Some("binary");
            return;
        }
        let mut text = redacted(&raw, redaction, known);
        self.is_lossy = matches!(raw.text(), Cow::Owned(_));
        text.shrink_to_fit();
        self.text = Some(text);
    }

    /// The text that is kept, without secrets; that of a body which is still coming as far as it has come.
    pub(super) fn text(&self, redaction: &Redaction, mut known: KnownSecrets) -> Option<String> {
        if self.omitted.is_some() || self.size == 0 {
            return None;
        }
        Some(self.text.clone().unwrap_or_else(|| redacted(&self.raw, redaction, &mut known)))
    }

    /// Whether all of the body is kept, and nothing has been taken out of it.
    pub(super) fn whole(&self) -> Option<&str> {
        let whole = !self.truncated && !self.is_lossy && self.omitted.is_none();
        if self.size == 0 && !matches!(self.omitted, Some(STREAMED | UNREAD)) {
            Some("")
        } else {
            self.text.as_deref().filter(|_| whole)
        }
    }

    pub(super) fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.raw.memory()
            + self.text.as_ref().map_or(0, String::capacity)
            + self.media_type.as_ref().map_or(0, |text| text.len())
    }

    /// For the page.
    pub(super) fn json(&self, redaction: &Redaction, known: KnownSecrets) -> Value {
        let mut body = Map::new();
        body.insert("size".to_owned(), json!(self.size));
        body.insert("truncated".to_owned(), json!(self.truncated));
        body.insert("media_type".to_owned(), json!(self.media_type));
        match self.text(redaction, known) {
            Some(text) => body.insert("text".to_owned(), json!(text)),
            None => self
                .omitted
                .filter(|&omitted| self.size > 0 || matches!(omitted, STREAMED | UNREAD))
                .and_then(|why| body.insert("omitted".to_owned(), json!(why))),
        };
        Value::Object(body)
    }
}

/// The text of a body. The end of one that was cut, broken off, or is still coming may be the beginning of a secret.
pub(super) fn redacted(raw: &Raw, redaction: &Redaction, known: &mut KnownSecrets) -> String {
    redaction.cut_text(raw.text().into_owned(), known)
}

/// The raw bytes may hold secrets, and the text belongs to a client.
impl std::fmt::Debug for CapturedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CapturedBody")
            .field("size", &self.size)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

/// Whether bodies of this type are for people to read.
fn is_text(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let is_utf16 = media_type.to_ascii_lowercase().contains("utf-16");
    let words =
        ["json", "xml", "javascript", "x-www-form-urlencoded", "graphql", "yaml", "x-yaml", "toml", "sql"];
    let is_structured = |word: &str| *subtype == *word || subtype.ends_with(&format!("+{word}"));
    !is_utf16
        && (kind == "text"
            || kind == "application"
                && (words.into_iter().any(is_structured)
                    || subtype.contains("json")
                    || subtype.contains("x-amz-json"))
            || subtype.ends_with("+xml"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn body_of(media_type: &'static str, bytes: &[u8]) -> CapturedBody {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        let mut body = CapturedBody::new(Content::of(&headers), Mode::Bodies);
        let kept = body.room_for(bytes.len());
        body.push(bytes, kept);
        body.redact(&Redaction::default(), &mut KnownSecrets::default());
        body
    }

    #[test]
    fn text_is_kept_up_to_its_limit_and_the_rest_only_counted() {
        let body = body_of("text/plain", &vec![b'a'; MAX_BODY + 1]);
        let json = body.json(&Redaction::default(), KnownSecrets::default());
        assert_eq!((json["size"].as_u64(), &json["truncated"]), (Some(MAX_BODY as u64 + 1), &json!(true)));
        assert_eq!(json["text"].as_str().map(str::len), Some(MAX_BODY));
        for (media_type, bytes) in
            [("image/png", &b"abc"[..]), ("text/plain", b"a\0b"), ("text/plain; charset=utf-16", b"abc")]
        {
            let json = body_of(media_type, bytes).json(&Redaction::default(), KnownSecrets::default());
            assert_eq!((&json["omitted"], &json["text"]), (&json!("binary"), &Value::Null), "{media_type}");
        }
    }

    #[test]
    fn only_a_body_that_is_known_byte_for_byte_can_be_sent_again() {
        assert_eq!(body_of("text/plain", "café".as_bytes()).whole(), Some("café"));
        assert_eq!(body_of("text/plain", b"caf\xe9").whole(), None);
        let mut headers = HeaderMap::new();
        assert_eq!(CapturedBody::unread(&Raw::headers(&headers, None)).whole(), Some(""));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        assert_eq!(CapturedBody::unread(&Raw::headers(&headers, None)).whole(), Some(""));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        assert_eq!(CapturedBody::unread(&Raw::headers(&headers, None)).whole(), None);
    }

    #[test]
    fn a_secret_that_has_come_in_part_is_not_shown() {
        let mut known = KnownSecrets::default();
        known.add("hunter2-and-more");
        let mut body = CapturedBody::default();
        body.push(b"it was hunter2-a", 16);
        assert_eq!(body.text(&Redaction::default(), known.clone()).as_deref(), Some("it was [redacted]"));
        body.redact(&Redaction::default(), &mut known);
        assert_eq!(body.whole(), Some("it was [redacted]"));
    }

    #[test]
    fn types_are_text_by_their_name() {
        for media_type in [
            "text/html",
            "application/json",
            "application/problem+json; charset=utf-8",
            "image/svg+xml",
            "application/x-amz-json-1.1",
        ] {
            assert!(is_text(media_type), "{media_type}");
        }
        for media_type in
            ["", "application/octet-stream", "image/png", "multipart/form-data", "application/grpc"]
        {
            assert!(!is_text(media_type), "{media_type}");
        }
    }
}
