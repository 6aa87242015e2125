//! A body of signed chunks is the same however it is split, and what is decoded can be encoded again.
#![no_main]

use countersign::proxy::fuzzing::decode_signed_chunks;
use libfuzzer_sys::fuzz_target;

// The first byte is the length of the pieces in which the rest arrives, and its lowest bit whether there are trailers.
fuzz_target!(|input: &[u8]| {
    let Some((&first, body)) = input.split_first() else { return };
    let with_trailers = first & 1 == 1;
    let whole = decode_signed_chunks(&[body], with_trailers);
    let pieces: Vec<&[u8]> = body.chunks(usize::from(first.max(1))).collect();
    assert_eq!(decode_signed_chunks(&pieces, with_trailers), whole);
    let Some((data, trailers)) = whole else { return };
    assert!(data.len() < body.len() && trailers.len() <= 16);
    assert!(with_trailers || trailers.is_empty());
    let again = encoded(&data, &trailers, with_trailers);
    assert_eq!(decode_signed_chunks(&[&again], with_trailers), Some((data, trailers)));
});

fn encoded(data: &[u8], trailers: &[(String, Vec<u8>)], with_trailers: bool) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in data.chunks(7) {
        body.extend(format!("{:x};chunk-signature=00\r\n", chunk.len()).bytes());
        body.extend_from_slice(chunk);
        body.extend(b"\r\n");
    }
    body.extend(b"0;chunk-signature=00\r\n");
    for (name, value) in trailers {
        body.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
    }
    if with_trailers {
        body.extend(b"x-amz-trailer-signature:00\r\n");
    }
    body.extend(b"\r\n");
    body
}
