//! Checks a request head against RFC 9112 and finds out how its body is framed.

mod headers;
mod target;

use std::borrow::Cow;

use memchr::memchr_iter;

use headers::{BodyHeaders, MAX_FIELDS};
use target::check_target;

pub(super) use target::{ILLEGAL, TargetEncoding};

use crate::request_target::MAX_LENGTH as MAX_TARGET;

/// The longest head that is accepted, in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It is not a request head; the text says why, in a sentence without its full stop.
    Malformed(Cow<'static, str>),
    /// It is the beginning of a TLS handshake.
    Tls,
    /// It has a transfer coding other than one `chunked`.
    TransferCoding,
    /// Its target is too long.
    TargetTooLong,
    /// It is too long, or has too many fields.
    TooLarge,
    /// It was not complete in time.
    Slow,
}

/// How the body that follows a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What the bytes read so far turn out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    Incomplete,
    Complete {
        /// The bytes of the head, empty lines before it included.
        length: usize,
        framing: Framing,
        /// Whether the client waits for an interim response before it sends the body.
        expects_continue: bool,
        /// Whether the client asks for a WebSocket, so that what follows may be no HTTP.
        offers_websocket: bool,
        /// What replaces a target with illegal bytes or with an empty path.
        encoding: Option<TargetEncoding>,
    },
    Refused(HeadError),
}

/// The first byte of a TLS record with a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Whether the first byte cannot be part of a method. A client that speaks another protocol may wait for an answer
/// before it sends more, so that it must not be kept waiting for a line end.
pub(super) fn cannot_start_request(bytes: &[u8]) -> bool {
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    bytes.get(start).is_some_and(|&byte| !is_token(byte) && (byte != b'\r' || start > 0))
}

/// Scans the bytes that have been read so far.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    // RFC 9112 section 2.2 lets a server ignore an empty line before the request line.
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    if cannot_start_request(bytes) {
        return Scan::Refused(invalid_start(bytes[start]));
    }
    match find_end(&bytes[start..]) {
        Some(end) if end > MAX_HEAD => Scan::Refused(HeadError::TooLarge),
        None if bytes.len() > MAX_HEAD => Scan::Refused(too_large(&bytes[start..])),
        None if has_too_many_lines(bytes) => Scan::Refused(HeadError::TooLarge),
        None => Scan::Incomplete,
        Some(end) => match validate(&bytes[start..start + end]) {
            Ok(ValidHead { framing, expects_continue, offers_websocket, encoding }) => {
                let encoding = encoding.map(|encoding| encoding.offset_by(start));
                Scan::Complete { length: start + end, framing, expects_continue, offers_websocket, encoding }
            }
            Err(error) => Scan::Refused(error),
        },
    }
}

fn invalid_start(first: u8) -> HeadError {
    if first == TLS_HANDSHAKE {
        return HeadError::Tls;
    }
    HeadError::Malformed(
        format!("A request begins with its method, and no method begins with {}", describe(first)).into(),
    )
}

/// Where the empty line ends that ends the head. A bare line feed counts as a line end here, so that [`validate`] sees
/// such a head and refuses it instead of waiting for more.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let mut lines = memchr_iter(b'\n', bytes);
    let mut previous = lines.next()?;
    for at in lines {
        match &bytes[previous + 1..at] {
            b"" | b"\r" => return Some(at + 1),
            _ => previous = at,
        }
    }
    None
}

/// Whether there are too many fields already, so that the end of the head need not be waited for.
fn has_too_many_lines(bytes: &[u8]) -> bool {
    memchr_iter(b'\n', bytes).nth(MAX_FIELDS + 2).is_some()
}

fn too_large(bytes: &[u8]) -> HeadError {
    let line = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    if line > MAX_TARGET + 64 { HeadError::TargetTooLong } else { HeadError::TooLarge }
}

/// What a valid head says.
struct ValidHead {
    framing: Framing,
    expects_continue: bool,
    offers_websocket: bool,
    encoding: Option<TargetEncoding>,
}

fn validate(head: &[u8]) -> Result<ValidHead, HeadError> {
    let head =
        head.strip_suffix(b"\r\n\r\n").ok_or_else(|| malformed("A line of the head does not end in CRLF"))?;
    let mut lines = Lines(Some(head));
    let request_line = lines.next().unwrap_or_default();
    let (version, encoding) = check_request_line(request_line)?;
    let mut headers = BodyHeaders::default();
    for line in lines {
        headers.add(line)?;
    }
    let framing = headers.framing(version)?;
    // RFC 9110 section 7.8: a server ignores Upgrade in HTTP/1.0.
    let offers_websocket = headers.offers_websocket && version == Version::Http11;
    if offers_websocket && framing != Framing::None {
        return Err(malformed("The request asks for a WebSocket and has a body"));
    }
    // RFC 9110 section 10.1.1: no interim response goes to an HTTP/1.0 client, whatever it expects.
    Ok(ValidHead {
        framing,
        expects_continue: headers.expects_continue && version == Version::Http11,
        offers_websocket,
        encoding,
    })
}

/// Lines between CRLFs.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        match memchr_iter(b'\r', rest).find(|end| rest.get(end + 1) == Some(&b'\n')) {
            Some(end) => {
                self.0 = Some(&rest[end + 2..]);
                Some(&rest[..end])
            }
            None => self.0.take(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn check_request_line(line: &[u8]) -> Result<(Version, Option<TargetEncoding>), HeadError> {
    // Exactly one space: lenient parsers split at any white space (RFC 9112 section 3).
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed(
            "The request line is not a method, a target and a version with one space between them; \
             send a space in the target as %20",
        ));
    };
    if let Some(&byte) = method.iter().find(|&&byte| !is_token(byte)) {
        return Err(HeadError::Malformed(format!("The method has {}", describe(byte)).into()));
    }
    if method.is_empty() {
        return Err(malformed("The request line begins with a space"));
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(malformed("The version is neither HTTP/1.1 nor HTTP/1.0")),
    };
    let encoding = check_target(method, target)?.map(|encoding| encoding.offset_by(method.len() + 1));
    Ok((version, encoding))
}

/// A byte in words, for an error message.
fn describe(byte: u8) -> String {
    match byte {
        b' ' => "a space".to_owned(),
        b'\t' => "a tab".to_owned(),
        byte if byte.is_ascii_graphic() => format!("the character {:?}", char::from(byte)),
        byte => format!("the byte 0x{byte:02X}"),
    }
}

fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// The bytes of RFC 9110's `token`.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let (others, mut at) = (b"!#$%&'*+-.^_`|~", 0);
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

fn malformed(what: &'static str) -> HeadError {
    HeadError::Malformed(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(text: &str) -> Framing {
        match scan(text.as_bytes()) {
            Scan::Complete { length, framing, .. } if length == text.len() => framing,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn sound_heads_pass_and_say_how_the_body_is_framed() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Framing::None),
            ("\r\nGET / HTTP/1.0\r\n\r\n", Framing::None),
            ("POST /a?b=%20 HTTP/1.1\r\nHost:a\r\nContent-Length:  12 \r\n\r\n", Framing::Length(12)),
            ("POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", Framing::None),
            ("POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n", Framing::Chunked),
            ("GET http://localhost/a HTTP/1.1\r\nx: caf\u{e9}\t1\r\n\r\n", Framing::None),
            ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", Framing::None),
            ("FANCY-METHOD /{a}|\"b\" HTTP/1.1\r\n\r\n", Framing::None),
        ] {
            assert_eq!(framing(head), expected, "{head:?}");
        }
    }

    #[test]
    fn a_body_is_waited_for_where_the_client_waits_for_an_interim_answer() {
        for (head, expected) in [
            ("POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nExpect: something\r\ncontent-length: 1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n", false),
            // A client of HTTP/1.0 gets no interim answer.
            ("POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n", false),
        ] {
            assert!(
                matches!(scan(head.as_bytes()), Scan::Complete { expects_continue, .. } if expects_continue == expected),
                "{head:?}"
            );
        }
    }

    #[test]
    fn heads_and_targets_may_have_exactly_their_limits() {
        let beginning = "GET / HTTP/1.1\r\na: ";
        let value = "b".repeat(MAX_HEAD - beginning.len() - "\r\n\r\n".len());
        assert_eq!(framing(&format!("{beginning}{value}\r\n\r\n")), Framing::None);
        let target = "a".repeat(MAX_TARGET - 1);
        assert_eq!(framing(&format!("GET /{target} HTTP/1.1\r\n\r\n")), Framing::None);
    }

    #[test]
    fn a_head_is_incomplete_until_its_empty_line() {
        let head = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(scan(&head.as_bytes()[..end]), Scan::Incomplete, "{end}");
        }
    }

    #[test]
    fn ambiguous_heads_are_malformed() {
        for head in [
            "GET / HTTP/1.1\nhost: a\n\n",
            "GET / HTTP/1.1\r\nhost: a\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / http/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "G\tET / HTTP/1.1\r\n\r\n",
            "GET /#a HTTP/1.1\r\n\r\n",
            "GET /%zz HTTP/1.1\r\n\r\n",
            "GET /?a=% HTTP/1.1\r\n\r\n",
            "GET /%az HTTP/1.1\r\n\r\n",
            "GET /%za HTTP/1.1\r\n\r\n",
            "GET /\u{7f} HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n a: b\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\na : b\r\n\r\n",
            "GET / HTTP/1.1\r\na\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\rc\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\u{c}\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent_length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontentlength: 1\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer--Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: \r1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 01\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0x1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length:\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert!(matches!(scan(head.as_bytes()), Scan::Refused(HeadError::Malformed(_))), "{head:?}");
        }
    }

    #[test]
    fn bytes_that_no_target_may_have_are_percent_encoded() {
        for (target, expected) in [
            (&b"/query?up{job=\"x\"}"[..], "/query?up%7Bjob=%22x%22%7D"),
            (b"/?q=\xc3\xa9", "/?q=%C3%A9"),
            (b"/\xff\x80", "/%FF%80"),
            (b"/a<b>`c`\\^|%2f%22;", "/a%3Cb%3E%60c%60%5C%5E%7C%2f%22;"),
            (b"http://localhost/\"", "http://localhost/%22"),
            (b"http://localhost?\"", "http://localhost/?%22"),
            (b"http://localhost?a=/b", "http://localhost/?a=/b"),
        ] {
            for before in [&b""[..], b"\r\n"] {
                let line = [before, b"GET ", target, b" HTTP/1.1\r\n\r\n"].concat();
                let Scan::Complete { length, encoding: Some(encoding), .. } = scan(&line) else {
                    panic!("{target:?}")
                };
                assert_eq!(length, line.len());
                let rewritten =
                    [&line[..encoding.range.start], encoding.text.as_bytes(), &line[encoding.range.end..]];
                let whole = [before, b"GET ", expected.as_bytes(), b" HTTP/1.1\r\n\r\n"].concat();
                assert_eq!(rewritten.concat(), whole);
                assert!(matches!(scan(&whole), Scan::Complete { encoding: None, .. }), "{expected}");
            }
        }
    }

    #[test]
    fn every_byte_of_a_target_passes_or_is_named() {
        for byte in 0..=u8::MAX {
            for range in [&b"/"[..], b"/?a="] {
                let line = [b"GET ", range, &[byte], b"x HTTP/1.1\r\n\r\n"].concat();
                match scan(&line) {
                    Scan::Complete { .. } => {
                        assert!(byte > b' ' && !matches!(byte, b'#' | b'%' | 0x7f), "{byte}");
                    }
                    Scan::Refused(HeadError::Malformed(what)) => {
                        let named = match byte {
                            b' ' => what.contains("a space"),
                            b'%' => what.contains("percent sign"),
                            // A line end makes another line of it.
                            b'\n' => true,
                            byte => what.contains(&describe(byte)) && what.contains(&format!("%{byte:02X}")),
                        };
                        assert!(named, "{byte}: {what}");
                    }
                    other => panic!("{byte}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn an_offer_of_a_websocket_is_seen_in_every_form_and_has_no_body() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nUpgrade: h2c, WebSocket/13\r\ncontent-length: 0\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nupgrade: h2c\r\nupgrade:\twebsocket /x\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nupgrade: websocket\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nupgrade: websocket2, h2c\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nconnection: upgrade\r\n\r\n", false),
        ] {
            assert!(
                matches!(scan(head.as_bytes()), Scan::Complete { offers_websocket, .. } if offers_websocket == expected),
                "{head:?}"
            );
        }
        for framing in ["content-length: 1", "transfer-encoding: chunked"] {
            let head = format!("POST / HTTP/1.1\r\n{framing}\r\nupgrade: websocket\r\n\r\n");
            assert!(matches!(scan(head.as_bytes()), Scan::Refused(HeadError::Malformed(_))), "{framing}");
        }
    }

    #[test]
    fn a_first_byte_that_begins_no_request_is_refused_at_once() {
        assert_eq!(scan(b"\x16"), Scan::Refused(HeadError::Tls));
        assert_eq!(scan(b"\r\n\x16\x03\x01"), Scan::Refused(HeadError::Tls));
        for bytes in [&b"\x05"[..], b"\x00", b" ", b"\n", b"\r\n\r", b"\"", b"\x80"] {
            assert!(matches!(scan(bytes), Scan::Refused(HeadError::Malformed(_))), "{bytes:?}");
        }
        for bytes in [&b""[..], b"\r", b"\r\n", b"G", b"\r\nP"] {
            assert_eq!(scan(bytes), Scan::Incomplete, "{bytes:?}");
        }
    }

    #[test]
    fn codings_other_than_one_chunked_are_not_understood() {
        for coding in ["gzip", "gzip, chunked", "chunked, chunked", "chunked;a=b", "identity", "", "xchunked"]
        {
            let head = format!("POST / HTTP/1.1\r\ntransfer-encoding: {coding}\r\n\r\n");
            assert_eq!(scan(head.as_bytes()), Scan::Refused(HeadError::TransferCoding), "{coding}");
        }
        let twice = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(scan(twice.as_bytes()), Scan::Refused(HeadError::TransferCoding));
    }

    #[test]
    fn oversized_heads_are_refused_before_they_end() {
        let fields = "a: b\r\n".repeat(MAX_FIELDS);
        assert_eq!(framing(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), Framing::None);
        for (head, error) in [
            (format!("GET / HTTP/1.1\r\n{fields}c: d\r\n\r\n"), HeadError::TooLarge),
            (format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(MAX_FIELDS + 2)), HeadError::TooLarge),
            (format!("GET / HTTP/1.1\r\na: {}", "b".repeat(MAX_HEAD)), HeadError::TooLarge),
            (format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(MAX_HEAD)), HeadError::TooLarge),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "b".repeat(MAX_TARGET)), HeadError::TargetTooLong),
            (format!("GET /{}", "b".repeat(MAX_HEAD)), HeadError::TargetTooLong),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "\"".repeat(MAX_TARGET / 2)), HeadError::TargetTooLong),
        ] {
            assert_eq!(scan(head.as_bytes()), Scan::Refused(error), "{head:.40}");
        }
    }
}
