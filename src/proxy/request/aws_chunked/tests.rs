use proptest::prelude::*;

use super::*;

const HMAC: &str = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648";

/// A body as a client writes it that signs each chunk; not the proxy's own encoder.
fn encoded(chunks: &[&[u8]], trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks {
        body.extend(format!("{:x};chunk-signature={HMAC}\r\n", chunk.len()).bytes());
        body.extend_from_slice(chunk);
        body.extend(b"\r\n");
    }
    body.extend(format!("0;chunk-signature={HMAC}\r\n").bytes());
    for (name, value) in trailers {
        body.extend(format!("{name}:{value}\r\n").bytes());
    }
    if !trailers.is_empty() {
        body.extend(format!("x-amz-trailer-signature:{HMAC}\r\n").bytes());
    }
    body.extend(b"\r\n");
    body
}

fn announcing(length: &str, trailers: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(X_AMZ_DECODED_CONTENT_LENGTH, length.parse().expect("a value"));
    for name in trailers {
        headers.append(X_AMZ_TRAILER, name.parse().expect("a value"));
    }
    headers
}

/// Decodes a body that arrives in these pieces: what goes on before its end, the rest, and the trailers.
fn decode<'a>(
    headers: &HeaderMap,
    with_trailers: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, Vec<u8>, HeaderMap), AwsChunkedError> {
    let mut chunks = SignedChunks::announced_by(headers, with_trailers)?;
    let mut early = Vec::new();
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(data) = chunks.decode(&mut piece)? {
            assert!(!data.is_empty());
            early.extend(data);
        }
        assert!(piece.is_empty(), "all of a piece is read");
    }
    let (last, trailers) = chunks.finish()?;
    Ok((early, last.unwrap_or_default().to_vec(), trailers))
}

fn whole(headers: &HeaderMap, with_trailers: bool, body: &[u8]) -> Result<Vec<u8>, AwsChunkedError> {
    decode(headers, with_trailers, [body]).map(|(early, last, _)| [early, last].concat())
}

#[test]
fn a_body_is_the_same_however_it_is_split() {
    let crc = [("x-amz-checksum-crc32c", "sOO8/Q==")];
    for trailers in [&[][..], &crc[..]] {
        let body = encoded(&[b"Hello, ", b"world\r\n0;", b"!"], trailers);
        let headers = announcing("17", &["x-amz-checksum-crc32c"]);
        for at in 0..=body.len() {
            let (one, other) = body.split_at(at);
            let (early, last, found) =
                decode(&headers, !trailers.is_empty(), [one, other]).expect("a sound body");
            assert_eq!([early, last].concat(), b"Hello, world\r\n0;!", "split at {at}");
            assert_eq!(found.len(), trailers.len(), "split at {at}");
        }
        let bytes = body.chunks(1);
        let (early, last, _) = decode(&headers, !trailers.is_empty(), bytes).expect("a sound body");
        assert_eq!((&early[..], &last[..]), (&b"Hello, world\r\n0;"[..], &b"!"[..]));
    }
}

#[test]
fn the_bytes_that_complete_a_body_wait_for_its_last_chunk() {
    let mut chunks = SignedChunks::announced_by(&announcing("4", &[]), false).expect("a length");
    let body = encoded(&[b"ab", b"cd"], &[]);
    let end = body.windows(2).position(|two| two == b"0;").expect("a last chunk");
    let mut input = Bytes::from(body);
    let mut rest = input.split_off(end);
    assert_eq!(chunks.decode(&mut input), Ok(Some(Bytes::from_static(b"ab"))));
    assert_eq!(chunks.decode(&mut input), Ok(None));
    assert!(chunks.finish().is_err(), "the last chunk has not come");
    assert_eq!(chunks.decode(&mut rest), Ok(None));
    assert_eq!(chunks.finish().expect("a whole body").0, Some(Bytes::from_static(b"cd")));
}

#[test]
fn the_trailers_of_each_client_are_read() {
    let signature = format!("x-amz-trailer-signature:{HMAC}");
    for section in [
        // The SDK for Java.
        format!("x-amz-checksum-crc32c:sOO8/Q==\r\n{signature}\r\n\r\n"),
        // minio-go, and the examples in AWS's documents.
        format!("x-amz-checksum-crc32c:sOO8/Q==\n\r\n{signature}\r\n\r\n"),
        format!("X-Amz-Checksum-Crc32c: sOO8/Q==\r\n\r\n{signature}\r\n\r\n"),
    ] {
        let body = format!("2;chunk-signature={HMAC}\r\nab\r\n0;chunk-signature={HMAC}\r\n{section}");
        let headers = announcing("2", &["x-amz-checksum-crc32c"]);
        let (_, last, trailers) = decode(&headers, true, [body.as_bytes()]).expect("a sound body");
        assert_eq!(last, b"ab", "{section:?}");
        assert_eq!(trailers.get("x-amz-checksum-crc32c").map(HeaderValue::as_bytes), Some(&b"sOO8/Q=="[..]));
        assert_eq!(trailers.len(), 1, "the signature is dropped");
    }
}

#[test]
fn a_signature_of_sigv4a_is_filled_up_with_asterisks() {
    let signature = format!("{}{}", "3045".repeat(35), "****");
    let body = format!("1;chunk-signature={signature}\r\na\r\n0;chunk-signature={signature}\r\n\r\n");
    assert_eq!(whole(&announcing("1", &[]), false, body.as_bytes()), Ok(b"a".to_vec()));
}

#[test]
fn what_is_no_body_of_signed_chunks_is_refused_where_it_goes_wrong() {
    let sound = format!("1;chunk-signature={HMAC}\r\n");
    let behind = sound.len() as u64;
    let last = format!("0;chunk-signature={HMAC}\r\n");
    for (body, at) in [
        ("a".repeat(200), 0),
        (format!("1\r\na\r\n{last}\r\n"), 0),
        (format!("1;chunk-signature=\r\na\r\n{last}\r\n"), 0),
        (format!("1; chunk-signature={HMAC}\r\na\r\n{last}\r\n"), 0),
        (format!("1;chunk-signature={HMAC};x=1\r\na\r\n{last}\r\n"), 0),
        (format!("1;chunk-signature={HMAC}\na\r\n{last}\r\n"), 0),
        (format!("+1;chunk-signature={HMAC}\r\na\r\n{last}\r\n"), 0),
        (format!(";chunk-signature={HMAC}\r\na\r\n{last}\r\n"), 0),
        (format!("00000000000000001;chunk-signature={HMAC}\r\na\r\n{last}\r\n"), 0),
        (format!("{sound}ab\r\n{last}\r\n"), behind + 1),
        (format!("{sound}a\n{last}\r\n"), behind + 1),
        (format!("{sound}a\r\r{last}\r\n"), behind + 2),
        (sound.clone(), behind),
        (format!("{sound}a"), behind + 1),
        (format!("{sound}a\r\n"), behind + 3),
        (format!("{sound}a\r\n{last}"), behind + 3 + last.len() as u64),
        (format!("{sound}a\r\n{last}x:y\r\n\r\n"), behind + 3 + last.len() as u64),
        (format!("{sound}a\r\n{last}\r\nmore"), behind + 5 + last.len() as u64),
    ] {
        let malformed = whole(&announcing("1", &[]), false, body.as_bytes());
        let Err(AwsChunkedError::Malformed { at: found, .. }) = malformed else {
            panic!("{body:?}: {malformed:?}")
        };
        assert_eq!(found, at, "{body:?}");
    }
}

#[test]
fn trailers_are_those_that_were_announced() {
    let crc = ("x-amz-checksum-crc32", "AAAAAA==");
    let problem = |announced: &[&str], section: &str| {
        let body = format!("0;chunk-signature={HMAC}\r\n{section}");
        decode(&announcing("0", announced), true, [body.as_bytes()]).expect_err("a mistake").to_string()
    };
    let signed = format!("x-amz-trailer-signature:{HMAC}\r\n\r\n");
    let with_crc = format!("{}:{}\r\n{signed}", crc.0, crc.1);
    assert_eq!(
        problem(&["x-amz-checksum-sha1"], &with_crc),
        "The trailer x-amz-checksum-crc32 is not among those of x-amz-trailer."
    );
    assert_eq!(
        problem(&["x-amz-checksum-crc32, x-amz-checksum-sha1"], &with_crc),
        "The trailer x-amz-checksum-sha1 is announced by x-amz-trailer and does not follow the last chunk."
    );
    assert_eq!(
        problem(&["x-amz-meta-a"], &with_crc),
        "The trailer x-amz-meta-a is not a checksum of S3 (x-amz-checksum-...)."
    );
    assert!(problem(&[&"a".repeat(5_000)], &with_crc).len() < 200, "a long name is cut off");
    for section in [
        "\r\n".to_owned(),
        format!("{}:{}\r\n\r\n", crc.0, crc.1),
        format!("{}:{}\r\n\r\n\r\n{signed}", crc.0, crc.1),
        format!("{0}:{1}\r\n{0}:{1}\r\n{signed}", crc.0, crc.1),
        format!("{}:\r\n{signed}", crc.0),
        format!("{}:{}\r\nx-amz-trailer-signature:x\r\n\r\n", crc.0, crc.1),
        format!("x-amz-trailer-signature:{HMAC}\r\n{}:{}\r\n\r\n", crc.0, crc.1),
        format!("{}:{}\r\n", crc.0, "A".repeat(600)),
    ] {
        let text = problem(&["x-amz-checksum-crc32"], &section);
        assert!(text.starts_with("The aws-chunked body is malformed at byte"), "{section:?}: {text}");
    }
}

#[test]
fn the_announced_length_is_a_number_and_the_right_one() {
    let body = encoded(&[b"abc", b"de"], &[]);
    for (announced, problem) in [
        ("4", "x-amz-decoded-content-length is 4, and the chunks contain at least 5 bytes."),
        ("6", "x-amz-decoded-content-length is 6, and the chunks contain 5 bytes."),
    ] {
        let error = whole(&announcing(announced, &[]), false, &body).expect_err("another length");
        assert_eq!(error.to_string(), problem);
    }
    for announced in ["", "-5", "+5", "5 ", "0x5", "99999999999999999999999"] {
        let error = whole(&announcing(announced, &[]), false, &body);
        assert_eq!(error, Err(AwsChunkedError::NoLength), "{announced:?}");
    }
    let mut twice = announcing("5", &[]);
    twice.append(X_AMZ_DECODED_CONTENT_LENGTH, HeaderValue::from_static("5"));
    assert_eq!(whole(&twice, false, &body), Err(AwsChunkedError::NoLength));
    assert_eq!(whole(&HeaderMap::new(), false, &body), Err(AwsChunkedError::NoLength));
}

#[test]
fn aws_chunked_is_taken_out_of_the_content_codings() {
    for (given, expected) in [
        (&["aws-chunked"][..], None),
        (&["AWS-Chunked, gzip"], Some("gzip")),
        (&["gzip,aws-chunked", "br"], Some("gzip, br")),
        (&["gzip"], Some("gzip")),
        (&[], None),
    ] {
        let mut headers = announcing("5", &["x-amz-checksum-crc32"]);
        for coding in given {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        remove_encoding(&mut headers);
        let found = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().expect("text"));
        assert_eq!((found, headers.len()), (expected, usize::from(expected.is_some())), "{given:?}");
    }
}

#[test]
fn a_framed_body_has_chunks_of_at_least_8_kib_and_its_trailers() {
    let mut framer = Framer::default();
    let mut framed = Vec::new();
    let data = vec![b'x'; 200_000];
    for piece in data.chunks(1_000) {
        framed.extend(framer.push(piece).unwrap_or_default());
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-amz-checksum-crc32", HeaderValue::from_static("AAAAAA=="));
    framed.extend(framer.finish(&trailers));
    let (mut rest, mut sizes, mut decoded) = (&framed[..], Vec::new(), 0);
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a size");
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).expect("text"), 16).expect("a size");
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        assert_eq!(&rest[size..size + 2], b"\r\n");
        (decoded, rest) = (decoded + size, &rest[size + 2..]);
        sizes.push(size);
    }
    assert_eq!(decoded, data.len());
    assert!(sizes.iter().rev().skip(1).all(|&size| size >= 8 * 1024), "{sizes:?}");
    assert_eq!(rest, b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
}

proptest! {
    #[test]
    fn what_a_client_encodes_is_decoded(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8),
        cuts in prop::collection::vec(1_usize..97, 1..6),
        trailer in any::<bool>(),
    ) {
        let data = chunks.concat();
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let trailers = [("x-amz-checksum-crc32", "AAAAAA==")];
        let body = encoded(&chunks, if trailer { &trailers } else { &[] });
        let headers = announcing(&data.len().to_string(), &["x-amz-checksum-crc32"]);
        let (mut rest, mut pieces, mut cut) = (&body[..], Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, next) = rest.split_at((*cut.next().expect("endless")).min(rest.len()));
            pieces.push(piece);
            rest = next;
        }
        let (early, last, found) = decode(&headers, trailer, pieces).expect("a sound body");
        prop_assert_eq!([early, last].concat(), data);
        prop_assert_eq!(found.len(), usize::from(trailer));
    }

    #[test]
    fn no_byte_may_be_missing_or_changed_in_the_framing(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let body = encoded(&[b"abcd"], &[]);
        let data = body.windows(4).position(|four| four == b"abcd").expect("the data");
        let at = at.index(body.len());
        let headers = announcing("4", &[]);
        let mut shorter = body.clone();
        shorter.remove(at);
        // One digit of a signature less is a signature, too: nobody but the client can check it.
        let is_signature = body[at].is_ascii_hexdigit() && at > 2 && !(data..data + 4).contains(&at);
        if !is_signature {
            prop_assert!(whole(&headers, false, &shorter).is_err(), "{}", text(&shorter));
        }
        let mut changed = body.clone();
        changed[at] = byte;
        if let Ok(decoded) = whole(&headers, false, &changed) {
            let is_data = (data..data + 4).contains(&at);
            prop_assert!(decoded == b"abcd" || is_data, "{}", text(&changed));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
