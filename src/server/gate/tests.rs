use proptest::{
    collection,
    prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::*;
use crate::server::farewell::LINGER;

const PATIENCE: Patience = Patience { head: Duration::from_secs(30), write: Duration::from_secs(300) };

/// What the library gets to read when a client sends `pieces` and closes, and what the gate thinks of it.
async fn read_through(pieces: &[&[u8]]) -> (Vec<u8>, Option<Violation>) {
    let (mut client, server) = tokio::io::duplex(256 * 1024);
    let turn = Turn::default();
    let mut gate = Gate::new(server, turn.clone(), PATIENCE);
    for piece in pieces {
        client.write_all(piece).await.expect("room");
    }
    drop(client);
    let mut read = Vec::new();
    let mut step = [0; 700];
    while !read.ends_with(REPLACEMENT) {
        match gate.read(&mut step).await.expect("no error") {
            0 => break,
            length => read.extend(&step[..length]),
        }
    }
    (read, turn.take_violation())
}

#[tokio::test]
async fn sound_requests_pass_byte_for_byte() {
    let requests = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc\
        POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /d HTTP/1.0\r\n\r\n";
    assert_eq!(read_through(&[requests]).await, (requests.to_vec(), None));
}

#[tokio::test]
async fn a_refused_head_is_replaced_and_nothing_behind_it_is_a_request() {
    let sound = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
    let smuggled = b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
    let (read, violation) = read_through(&[sound, smuggled]).await;
    assert_eq!(read, [&sound[..], REPLACEMENT].concat());
    assert!(matches!(violation, Some(Violation::Malformed(_))));
}

#[tokio::test]
async fn a_head_hidden_in_a_body_is_not_looked_at() {
    let request = b"POST / HTTP/1.1\r\ncontent-length: 28\r\n\r\nGET /# HTTP/9\r\n a: b\r\n\r\n....";
    assert_eq!(read_through(&[request]).await, (request.to_vec(), None));
}

#[tokio::test]
async fn nothing_behind_a_body_that_is_not_framed_as_it_should_be_is_a_request() {
    let head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in
        ["3 \r\nabc\r\n", "0000000000000003\r\nabc\r\n", "3;\0\r\nabc\r\n", "3\r\nabc\r\n0\r\na\n: b\r\n"]
    {
        let rest = format!("{body}0\r\n\r\nGET /x HTTP/1.1\r\n\r\n");
        let (read, violation) = read_through(&[head, rest.as_bytes()]).await;
        assert_eq!((read, violation), (head.to_vec(), None), "{body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_refused_and_silence_is_an_end() {
    let (mut client, server) = tokio::io::duplex(1024);
    let turn = Turn::default();
    let mut gate = Gate::new(server, turn.clone(), PATIENCE);
    client.write_all(b"GET / HT").await.expect("room");
    let mut read = vec![0; 1024];
    let length = gate.read(&mut read).await.expect("no error");
    assert_eq!((&read[..length], turn.take_violation()), (REPLACEMENT, Some(Violation::Slow)));

    let (_silent, server) = tokio::io::duplex(1024);
    let mut gate = Gate::new(server, Turn::default(), PATIENCE);
    assert_eq!(gate.read(&mut read).await.expect("no error"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let (_client, server) = tokio::io::duplex(16);
    let mut gate = Gate::new(server, Turn::default(), PATIENCE);
    let error = gate.write_all(&[0; 64]).await.expect_err("given up");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_client_to_read_the_refusal_but_not_for_long() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let mut gate = Gate::new(server, Turn::default(), PATIENCE);
    client.write_all(b"bad\r\n\r\n").await.expect("room");
    let mut read = vec![0; 1024];
    let length = gate.read(&mut read).await.expect("no error");
    assert_eq!(&read[..length], REPLACEMENT);
    let before = Instant::now();
    gate.shutdown().await.expect("no error");
    assert_eq!(before.elapsed().as_secs(), LINGER.as_secs());
}

fn request() -> impl Strategy<Value = String> {
    let target = "/[a-z0-9/?&=._~-]{0,20}";
    let fields = collection::vec("x-[a-z]{1,5}: [ -~]{0,10}\r\n", 0..4);
    let body = prop_oneof![
        Just("\r\n".to_owned()),
        "[ -~\r\n]{1,50}".prop_map(|body| format!("content-length: {}\r\n\r\n{body}", body.len())),
        collection::vec("[ -~\r\n]{1,20}", 0..4).prop_map(|chunks| {
            let chunks: String =
                chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            format!("transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
        }),
    ];
    (target, fields, body)
        .prop_map(|(target, fields, body)| format!("POST {target} HTTP/1.1\r\n{}{body}", fields.concat()))
}

proptest! {
    #[test]
    fn however_sound_requests_are_cut_they_pass(
        requests in collection::vec(request(), 1..5),
        cuts in collection::vec(1_usize..40, 1..40),
    ) {
        let bytes = requests.concat().into_bytes();
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (read, violation) = runtime.block_on(read_through(&pieces));
        prop_assert_eq!(read, bytes);
        prop_assert!(violation.is_none());
    }
}
