//! What the head filter passes is a sequence of requests that another parser reads in the same way.
#![no_main]

use countersign::downstream::{HeadError, fuzzing::read_through_filter};
use httparse::{EMPTY_HEADER, Request, Status, parse_chunk_size};
use libfuzzer_sys::fuzz_target;

// The first byte is the length of the pieces in which the rest is sent.
fuzz_target!(|input: &[u8]| {
    let Some((&step, bytes)) = input.split_first() else { return };
    let (whole, error) = read_through_filter(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(step.max(1))).collect();
    let (pieces, error_of_pieces) = read_through_filter(&pieces);
    assert_eq!(heads(&whole), heads(&pieces));
    assert_eq!(error.is_some(), error_of_pieces.is_some());
    // A target that needs no percent-encoding passes byte for byte.
    if bytes.is_ascii() && !bytes.iter().any(|byte| br#""<>\^`{|}"#.contains(byte)) {
        assert!(bytes.starts_with(&whole) && bytes.starts_with(&pieces));
    }
    if let (Some(HeadError::Malformed(what)), Some(HeadError::Malformed(of_pieces))) =
        (error, error_of_pieces)
    {
        assert_eq!(what, of_pieces);
    }
});

/// The heads in `bytes`. Panics at one whose body could be framed in two ways.
fn heads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut heads = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [EMPTY_HEADER; 100];
        let mut request = Request::new(&mut fields);
        let length = match request.parse(bytes).expect("the filter passes sound heads only") {
            Status::Complete(length) => length,
            Status::Partial => panic!("the filter passes whole heads only"),
        };
        let values = |name: &str| -> Vec<String> {
            let fields = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            fields.map(|field| String::from_utf8_lossy(field.value).into_owned()).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "{lengths:?} {codings:?}");
        assert!(codings.iter().all(|coding| coding.eq_ignore_ascii_case("chunked")), "{codings:?}");
        heads.push(bytes[..length].to_vec());
        bytes = &bytes[length..];
        let rest = match (lengths.first(), codings.first()) {
            (Some(length), _) => {
                let length = length.parse::<usize>().expect("the filter passes plain numbers only");
                bytes.get(length..)
            }
            (None, Some(_)) => behind_chunks(bytes),
            (None, None) => Some(bytes),
        };
        match rest {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    heads
}

/// What follows a chunked body; `None` when the body is incomplete.
fn behind_chunks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (at, size) = match parse_chunk_size(bytes) {
            Ok(Status::Complete(size)) => size,
            Ok(Status::Partial) | Err(_) => return None,
        };
        bytes = &bytes[at..];
        if size == 0 {
            return behind_trailers(bytes);
        }
        bytes = bytes.get(usize::try_from(size).ok()?..)?.strip_prefix(b"\r\n")?;
    }
}

/// Skips trailers by lines without checking their contents: hyper drops them.
fn behind_trailers(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = bytes.strip_prefix(b"\r\n") {
        return Some(rest);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some(&bytes[end..])
}
