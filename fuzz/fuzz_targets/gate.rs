//! Whatever passes the gate is a row of requests that another parser reads in the same way.
#![no_main]

use countersign::downstream::{HeadError, fuzzing::read_through_gate};
use httparse::{EMPTY_HEADER, Request, Status, parse_chunk_size};
use libfuzzer_sys::fuzz_target;

// The first byte says how long the pieces are in which the rest comes.
fuzz_target!(|input: &[u8]| {
    let Some((&step, bytes)) = input.split_first() else { return };
    let (whole, violation) = read_through_gate(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(step.max(1))).collect();
    let (pieces, violation_of_pieces) = read_through_gate(&pieces);
    assert_eq!(heads(&whole), heads(&pieces));
    assert_eq!(violation.is_some(), violation_of_pieces.is_some());
    // What has to be percent-encoded in a target is.
    if bytes.is_ascii() && !bytes.iter().any(|byte| br#""<>\^`{|}"#.contains(byte)) {
        assert!(bytes.starts_with(&whole) && bytes.starts_with(&pieces));
    }
    if let (Some(HeadError::Malformed(what)), Some(HeadError::Malformed(of_pieces))) =
        (violation, violation_of_pieces)
    {
        assert_eq!(what, of_pieces);
    }
});

/// The heads in `bytes`, each of which must be one that leaves no doubt about its body.
fn heads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut heads = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [EMPTY_HEADER; 100];
        let mut request = Request::new(&mut fields);
        let length = match request.parse(bytes).expect("the gate passes sound heads only") {
            Status::Complete(length) => length,
            Status::Partial => panic!("the gate passes whole heads only"),
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
                let length = length.parse::<usize>().expect("the gate passes plain numbers only");
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

/// What follows a chunked body; `None` when it is not there whole.
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

/// Trailers are skipped by line, whatever is in them: the library drops them.
fn behind_trailers(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = bytes.strip_prefix(b"\r\n") {
        return Some(rest);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some(&bytes[end..])
}
