use countersign::proxy::PayloadSigning::{self, Hashed, Unsigned};
use http::{HeaderMap, Request};
use sha2::{Digest, Sha256};

use crate::{
    PROTOCOLS, in_front_of, setup,
    support::{sink::Sink, tls::Authority},
};

const HMAC: &str = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9";
const CRC: (&str, &str) = ("x-amz-checksum-crc32", "y/Q5Jg==");

/// A body as the SDK for Java and minio-go write it: chunks of a fixed size, each with its signature.
fn signed(data: &[u8], size: usize, trailer: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in data.chunks(size) {
        body.extend(format!("{:x};chunk-signature={HMAC}\r\n", chunk.len()).into_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend(format!("0;chunk-signature={HMAC}\r\n").into_bytes());
    if let Some(trailer) = trailer {
        body.extend(trailer.replace("SIGNATURE", HMAC).into_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body
}

/// The trailers of the SDK for Java, and those of minio-go.
const TRAILERS: [&str; 2] = [
    "x-amz-checksum-crc32:y/Q5Jg==\r\nx-amz-trailer-signature:SIGNATURE\r\n",
    "x-amz-checksum-crc32:y/Q5Jg==\n\r\nx-amz-trailer-signature:SIGNATURE\r\n",
];

fn put(form: &str, length: usize, body: Vec<u8>) -> Request<Vec<u8>> {
    let request = Request::put("/bucket/key")
        .header("x-amz-content-sha256", form)
        .header("content-encoding", "aws-chunked,gzip")
        .header("x-amz-decoded-content-length", length)
        .header("authorization", "AWS4-HMAC-SHA256 Credential=client");
    request.body(body).expect("a request")
}

fn with_trailer(mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    request.headers_mut().insert("x-amz-trailer", CRC.0.parse().expect("a value"));
    request
}

/// The headers and the body that arrive when `request` is sent.
async fn sent(protocol: &str, payload: PayloadSigning, request: Request<Vec<u8>>) -> (HeaderMap, Vec<u8>) {
    let authority = Authority::new();
    let sink = Sink::start(&authority, protocol).await;
    let running = in_front_of(&sink, &authority, "s3", payload).await;
    let arriving = async {
        let mut arrival = sink.arrival().await;
        let (body, is_whole) = arrival.rest().await;
        assert!(is_whole, "{protocol}");
        let headers = arrival.head.headers.clone();
        arrival.answer(200, "fine");
        (headers, body)
    };
    let (answer, arrived) = tokio::join!(running.proxy.send(request), arriving);
    assert_eq!(answer.text(), "fine", "{protocol}");
    arrived
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn signed_chunks_go_up_as_the_body_in_them_hashed_or_unsigned() {
    for protocol in PROTOCOLS {
        for length in [0, 1, 65_536, 300_000] {
            for payload in [Hashed, Unsigned] {
                let data = data(length);
                let body = signed(&data, 65_536, None);
                let request = put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", length, body);
                let (headers, arrived) = sent(protocol, payload, request).await;
                let case = format!("{protocol} {length} {payload:?}");
                assert!(arrived == data, "{case}: {} bytes", arrived.len());
                assert_eq!(field(&headers, "content-length"), Some(length.to_string().as_str()), "{case}");
                assert_eq!(field(&headers, "content-encoding"), Some("gzip"), "{case}");
                for gone in ["x-amz-decoded-content-length", "x-amz-trailer", "transfer-encoding"] {
                    assert_eq!(field(&headers, gone), None, "{case}");
                }
                let hash: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
                let expected = if payload == Hashed { hash } else { "UNSIGNED-PAYLOAD".to_owned() };
                assert_eq!(field(&headers, "x-amz-content-sha256"), Some(expected.as_str()), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn checksums_behind_signed_chunks_become_headers_of_a_hashed_body() {
    for trailer in TRAILERS {
        let data = data(100_000);
        let body = signed(&data, 65_536, Some(trailer));
        let request = with_trailer(put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", data.len(), body));
        let (headers, arrived) = sent("http/1.1", Hashed, request).await;
        assert!(arrived == data);
        assert_eq!(field(&headers, CRC.0), Some(CRC.1));
        let authorization = field(&headers, "authorization").expect("a signature");
        assert!(authorization.contains(CRC.0), "{authorization}");
        assert_eq!(field(&headers, "x-amz-trailer"), None);
        assert_eq!(field(&headers, "content-encoding"), Some("gzip"));
    }
}

#[tokio::test]
async fn checksums_behind_signed_chunks_stay_behind_a_body_that_streams() {
    for protocol in PROTOCOLS {
        for trailer in TRAILERS {
            let data = data(200_000);
            let body = signed(&data, 8_192, Some(trailer));
            let request = with_trailer(put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", data.len(), body));
            let (headers, arrived) = sent(protocol, Unsigned, request).await;
            let form = Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
            assert_eq!(field(&headers, "x-amz-content-sha256"), form, "{protocol}");
            assert_eq!(field(&headers, "x-amz-trailer"), Some(CRC.0), "{protocol}");
            assert_eq!(field(&headers, "x-amz-decoded-content-length"), Some("200000"), "{protocol}");
            assert_eq!(field(&headers, "content-encoding"), Some("aws-chunked,gzip"), "{protocol}");
            assert_eq!(field(&headers, "content-length"), None, "{protocol}");
            let (decoded, trailers) = unframed(&arrived);
            assert!(decoded == data, "{protocol}");
            assert_eq!(trailers, format!("{}:{}\r\n\r\n", CRC.0, CRC.1), "{protocol}");
        }
    }
}

/// The data of a body of unsigned chunks, and what follows its last chunk.
fn unframed(mut body: &[u8]) -> (Vec<u8>, String) {
    let mut data = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").expect("a size");
        let size = std::str::from_utf8(&body[..end]).expect("text");
        let size = usize::from_str_radix(size, 16).expect("a size");
        body = &body[end + 2..];
        if size == 0 {
            return (data, String::from_utf8_lossy(body).into_owned());
        }
        data.extend_from_slice(&body[..size]);
        body = body[size..].strip_prefix(b"\r\n").expect("a line end");
    }
}

#[tokio::test]
async fn an_unsigned_trailer_goes_up_byte_for_byte_collected_or_streamed() {
    let body = b"4\r\nfine\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n".to_vec();
    for payload in [Hashed, Unsigned] {
        let request = with_trailer(put("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 4, body.clone()));
        let (headers, arrived) = sent("http/1.1", payload, request).await;
        assert_eq!(arrived, body, "{payload:?}");
        let form = Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        assert_eq!(field(&headers, "x-amz-content-sha256"), form, "{payload:?}");
        assert_eq!(field(&headers, "x-amz-decoded-content-length"), Some("4"), "{payload:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_not_what_was_announced_get_400_with_the_reason() {
    let sound = |length| signed(&data(length), 65_536, None);
    let mut malformed = sound(10);
    malformed[0] = b'x';
    for (length, body, reason) in [
        (9, sound(10), "x-amz-decoded-content-length is 9, and the chunks contain at least 10 bytes."),
        (11, sound(10), "x-amz-decoded-content-length is 11, and the chunks contain 10 bytes."),
        (10, malformed, "The aws-chunked body is malformed at byte 0: expected a chunk's size"),
    ] {
        for protocol in PROTOCOLS {
            for payload in [Hashed, Unsigned] {
                let authority = Authority::new();
                let sink = Sink::start(&authority, protocol).await;
                let running = in_front_of(&sink, &authority, "s3", payload).await;
                let request = put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", length, body.clone());
                let answer = running.proxy.send(request).await;
                let case = format!("{protocol} {payload:?} {reason}");
                assert_eq!(answer.status, 400, "{case}");
                let error = format!("<Error><Code>bad-request</Code><Message>{reason}");
                assert!(answer.text().contains(&error), "{case}: {}", answer.text());
                // A mistake that comes with the head may end the connection before the head is sent.
                if let Some(mut arrival) = sink.arrived().await {
                    assert!(payload == Unsigned && !arrival.rest().await.1, "{case}: no whole body");
                }
            }
        }
    }
}

#[tokio::test]
async fn signed_chunks_need_a_length_and_s3() {
    let authority = Authority::new();
    let sink = Sink::start(&authority, "http/1.1").await;
    for (service, status) in [("s3", 400), ("execute-api", 501), ("s3tables", 501)] {
        let running = in_front_of(&sink, &authority, service, Hashed).await;
        let mut request = put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 4, signed(b"fine", 8, None));
        request.headers_mut().remove("x-amz-decoded-content-length");
        let answer = running.proxy.send(request).await;
        assert_eq!(answer.status, status, "{service}");
        assert!(answer.text().contains("x-amz-content-sha256"), "{}", answer.text());
    }
    assert!(sink.is_quiet().await);
}

#[tokio::test]
async fn the_limit_on_bodies_is_on_what_the_chunks_contain() {
    let authority = Authority::new();
    let sink = Sink::start(&authority, "http/1.1").await;
    let running = setup(&sink, &authority)
        .proxy(|settings| {
            settings.proxy.routes[0].service = "s3".to_owned();
            settings.proxy.limits.max_body = 100;
        })
        .start()
        .await;
    let form = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    assert_eq!(running.proxy.send(put(form, 101, signed(&data(101), 10, None))).await.status, 413);
    let sending = running.proxy.send(put(form, 100, signed(&data(100), 10, None)));
    let arriving = async {
        let mut arrival = sink.arrival().await;
        assert_eq!(arrival.rest().await.0, data(100));
        arrival.answer(200, "fine");
    };
    assert_eq!(tokio::join!(sending, arriving).0.text(), "fine");
}
