use proptest::{
    collection,
    prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::*;
use crate::downstream::http1::{
    linger::{MAX_LINGER, MAX_READ_SILENCE, MAX_SEND_PAUSE},
    phase::ConnectionEnd,
};

const TIMEOUTS: Timeouts =
    Timeouts { head: Duration::from_secs(30), write: Duration::from_secs(300), discard: 1024 * 1024 };

/// What hyper reads when a client sends `pieces` and closes, and what the filter thinks of it.
async fn read_through(pieces: &[&[u8]]) -> (Vec<u8>, Option<HeadError>) {
    let (mut client, server) = tokio::io::duplex(256 * 1024);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    for piece in pieces {
        client.write_all(piece).await.expect("room");
    }
    drop(client);
    let mut read = Vec::new();
    let mut step = [0; 700];
    while !read.ends_with(REPLACEMENT) {
        match filter.read(&mut step).await.expect("no error") {
            0 => break,
            length => read.extend(&step[..length]),
        }
    }
    (read, error(&phase))
}

fn error(phase: &ConnectionPhase) -> Option<HeadError> {
    phase.take_refused().map(|head| head.error)
}

#[tokio::test]
async fn sound_requests_pass_byte_for_byte() {
    let requests = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc\
        POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /d HTTP/1.0\r\n\r\n";
    assert_eq!(read_through(&[requests]).await, (requests.to_vec(), None));
}

#[tokio::test]
async fn a_request_that_comes_with_the_end_of_a_body_is_read_once_and_for_itself() {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut filter = HeadFilter::new(server, ConnectionPhase::default(), TIMEOUTS);
    let mut read = [0; 1024];
    for (sent, passed) in [
        ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n"),
        ("abcGET /x HTTP/1.1\r\n\r\n", "abc"),
        ("GET /y HTTP/1.1\r\n\r\n", "GET /x HTTP/1.1\r\n\r\n"),
        ("", "GET /y HTTP/1.1\r\n\r\n"),
    ] {
        client.write_all(sent.as_bytes()).await.expect("room");
        let length = filter.read(&mut read).await.expect("no error");
        assert_eq!(String::from_utf8_lossy(&read[..length]), passed);
    }
}

#[tokio::test]
async fn a_refused_head_is_replaced_and_nothing_behind_it_is_a_request() {
    let sound = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
    let smuggled = b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
    let (read, error) = read_through(&[sound, smuggled]).await;
    assert_eq!(read, [&sound[..], REPLACEMENT].concat());
    assert!(matches!(error, Some(HeadError::Malformed(_))));
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_handshake_is_held_and_is_no_request() {
    let (mut client, server) = tokio::io::duplex(1024);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    let head = b"GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n";
    let behind = b"GET /x HTTP/1.1\r\n\r\n";
    client.write_all(&[&head[..], behind].concat()).await.expect("room");
    let mut read = [0; 1024];
    let length = filter.read(&mut read).await.expect("no error");
    assert_eq!(&read[..length], head);
    assert!(phase.is_upgrade_offered());
    assert!(timeout(TIMEOUTS.head * 2, filter.read(&mut read)).await.is_err(), "nothing more is read");
    assert_eq!(filter.into_held(), &behind[..]);
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
        let (read, error) = read_through(&[head, rest.as_bytes()]).await;
        assert_eq!((read, error), (head.to_vec(), None), "{body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_refused_and_silence_is_an_end() {
    let (mut client, server) = tokio::io::duplex(1024);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    client.write_all(b"GET / HT").await.expect("room");
    let mut read = vec![0; 1024];
    let length = filter.read(&mut read).await.expect("no error");
    assert_eq!((&read[..length], error(&phase)), (REPLACEMENT, Some(HeadError::Slow)));

    let (_silent, server) = tokio::io::duplex(1024);
    let mut filter = HeadFilter::new(server, ConnectionPhase::default(), TIMEOUTS);
    assert_eq!(filter.read(&mut read).await.expect("no error"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let (_client, server) = tokio::io::duplex(16);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    let error = filter.write_all(&[0; 64]).await.expect_err("given up");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(ConnectionEnd::of(&phase).ended_by(), EndedBy::WriteTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_its_whole_answer() {
    let (mut client, server) = tokio::io::duplex(16);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    let reading = async {
        for _ in 0..4 {
            sleep(TIMEOUTS.write * 2 / 3).await;
            client.read_exact(&mut [0; 16]).await.expect("some of the answer");
        }
    };
    let (written, ()) = tokio::join!(filter.write_all(&[0; 64]), reading);
    written.expect("each time, the client took some of it before its time was over");
    assert_eq!(phase.stalled(), None);
}

#[tokio::test]
async fn the_first_of_two_ends_of_a_connection_counts() {
    let (client, server) = tokio::io::duplex(16);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    assert_eq!(ConnectionEnd::of(&phase).ended_by(), EndedBy::Server);
    drop(client);
    filter.write_all(b"HTTP/1.1 200 OK\r\n").await.expect_err("nobody is there");
    phase.end(EndedBy::WriteTimeout);
    assert_eq!(ConnectionEnd::of(&phase).ended_by(), EndedBy::Client);
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_head_begins_with_the_clients_turn() {
    let (mut client, server) = tokio::io::duplex(1024);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    let mut read = vec![0; 1024];
    sleep(TIMEOUTS.head / 2).await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("room");
    assert!(filter.read(&mut read).await.expect("no error") > 0);
    phase.begin_exchange();
    let while_answered = tokio::time::timeout(TIMEOUTS.head * 3, filter.read(&mut read)).await;
    assert!(while_answered.is_err(), "nothing is expected of a client that waits for its answer");
    phase.end_exchange();
    let before = Instant::now();
    assert_eq!(filter.read(&mut read).await.expect("no error"), 0);
    assert_eq!(before.elapsed().as_secs(), TIMEOUTS.head.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_does_not_end_is_refused_at_the_limit_of_a_head() {
    let (client, server) = tokio::io::duplex(256 * 1024);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    let (mut client, mut read) = (client, vec![0; 1024]);
    client.write_all(b"GET /").await.expect("room");
    client.write_all(&vec![b'a'; head::MAX_HEAD]).await.expect("room");
    // The client is still there, and sends no line end.
    let before = Instant::now();
    let length = filter.read(&mut read).await.expect("no error");
    assert_eq!((&read[..length], error(&phase)), (REPLACEMENT, Some(HeadError::TargetTooLong)));
    assert_eq!(before.elapsed(), Duration::ZERO, "it is not waited for any longer");
}

#[tokio::test]
async fn a_head_request_that_is_refused_stays_one() {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut filter = HeadFilter::new(server, ConnectionPhase::default(), TIMEOUTS);
    client.write_all(b"HEAD /#a HTTP/1.1\r\n\r\n").await.expect("room");
    let mut read = vec![0; 1024];
    let length = filter.read(&mut read).await.expect("no error");
    assert_eq!(&read[..length], REPLACEMENT_OF_HEAD);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_client_to_read_the_refusal_but_not_for_long() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let mut filter = HeadFilter::new(server, ConnectionPhase::default(), TIMEOUTS);
    client.write_all(b"bad\r\n\r\n").await.expect("room");
    let mut read = vec![0; 1024];
    let length = filter.read(&mut read).await.expect("no error");
    assert_eq!(&read[..length], REPLACEMENT);
    let before = Instant::now();
    filter.shutdown().await.expect("no error");
    assert_eq!(before.elapsed().as_secs(), MAX_READ_SILENCE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_a_client_that_has_sent_a_request_too_many() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    let first = b"GET /a HTTP/1.1\r\n\r\n";
    client.write_all(&[&first[..], b"GET /b HTTP/1.1\r\n\r\n"].concat()).await.expect("room");
    let mut read = vec![0; 1024];
    assert_eq!(filter.read(&mut read[..first.len()]).await.expect("no error"), first.len());
    let before = Instant::now();
    filter.shutdown().await.expect("no error");
    assert_eq!(before.elapsed().as_secs(), MAX_READ_SILENCE.as_secs());
    assert!(phase.lingering_since().is_some_and(|since| since == before));
}

#[tokio::test(start_paused = true)]
async fn input_after_a_refusal_is_discarded_up_to_a_time_and_a_size() {
    for (pause, discard, expected) in [(1, u64::MAX, MAX_LINGER), (1, 40, Duration::from_secs(4))] {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut filter =
            HeadFilter::new(server, ConnectionPhase::default(), Timeouts { discard, ..TIMEOUTS });
        client.write_all(b"bad\r\n\r\n").await.expect("room");
        let mut read = vec![0; 1024];
        assert!(filter.read(&mut read).await.expect("no error") > 0);
        let before = Instant::now();
        let sending = async {
            loop {
                sleep(Duration::from_secs(pause)).await;
                client.write_all(b"0123456789").await.expect("room");
            }
        };
        tokio::select! {
            closed = filter.shutdown() => closed.expect("no error"),
            () = sending => {}
        }
        assert_eq!(before.elapsed().as_secs(), expected.as_secs(), "{discard} bytes");
    }
}

/// A client of a filter that has been given the head of this request, and how long the filter holds an answer back
/// while the client does what `sends` says.
async fn held_back<F: Future<Output = ()>>(
    head: &str,
    sends: impl FnOnce(tokio::io::DuplexStream) -> F,
) -> Duration {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let mut filter = HeadFilter::new(server, ConnectionPhase::default(), TIMEOUTS);
    client.write_all(head.as_bytes()).await.expect("room");
    assert_eq!(filter.read(&mut [0; 1024]).await.expect("no error"), head.len());
    let before = Instant::now();
    tokio::select! {
        written = filter.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n") => written.expect("no error"),
        () = sends(client) => {}
    }
    before.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_waits_for_a_client_that_keeps_sending_to_end_or_to_pause() {
    let sent = |pieces: u32, pause: Duration| {
        move |mut client: tokio::io::DuplexStream| async move {
            for _ in 0..pieces {
                sleep(pause).await;
                client.write_all(&[b'x'; 10]).await.expect("room");
            }
            std::future::pending::<()>().await;
        }
    };
    let tenth = Duration::from_millis(100);
    for (head, held) in [
        ("POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\n", tenth * 10),
        ("POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n", tenth * 20 + MAX_SEND_PAUSE),
        ("GET / HTTP/1.1\r\n\r\n", Duration::ZERO),
        ("POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n", Duration::ZERO),
    ] {
        assert_eq!(held_back(head, sent(20, tenth)).await.as_millis(), held.as_millis(), "{head:?}");
    }
    // One that never stops gets its answer at the limits.
    let endless = held_back("POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n", sent(1_000, tenth)).await;
    assert_eq!(endless, MAX_LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_waits_for_a_client_that_was_told_to_continue() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let mut filter = HeadFilter::new(server, ConnectionPhase::default(), TIMEOUTS);
    let head = b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    client.write_all(head).await.expect("room");
    assert_eq!(filter.read(&mut [0; 1024]).await.expect("no error"), head.len());
    filter.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.expect("no error");
    let before = Instant::now();
    filter.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.expect("no error");
    assert_eq!(before.elapsed(), MAX_SEND_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_waits_for_no_more_than_the_body() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let mut filter = HeadFilter::new(server, ConnectionPhase::default(), TIMEOUTS);
    let head = b"POST / HTTP/1.1\r\ncontent-length: 16\r\n\r\n";
    // The gate has read this much of the body together with the head.
    client.write_all(&[&head[..], b"01234567"].concat()).await.expect("room");
    assert_eq!(filter.read(&mut [0; 1024]).await.expect("no error"), head.len());
    client.write_all(b"89abcdef").await.expect("room");
    let before = Instant::now();
    filter.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.expect("no error");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nothing_behind_a_body_of_which_some_was_discarded_is_a_request() {
    let head = "POST / HTTP/1.1\r\ncontent-length: 48\r\n\r\n";
    let behind = "GET /a HTTP/1.1\r\nx: y\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    // hyper has read some of the body, or the filter holds some, when the answer begins.
    for (at_once, read_first) in [(0, 0), (8, 0), (8, 8), (48, 0)] {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let phase = ConnectionPhase::default();
        let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
        let body = "0123456789abcdef".repeat(3);
        client.write_all(format!("{head}{}", &body[..at_once]).as_bytes()).await.expect("room");
        let mut read = [0; 1024];
        assert_eq!(filter.read(&mut read).await.expect("no error"), head.len());
        assert!(phase.is_in_body());
        if read_first > 0 {
            assert!(filter.read(&mut read[..read_first]).await.expect("no error") > 0);
        }
        client.write_all(format!("{}{behind}", &body[at_once..]).as_bytes()).await.expect("room");
        filter.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.expect("no error");
        let more = tokio::time::timeout(MAX_LINGER, filter.read(&mut read)).await;
        assert!(more.is_err(), "{at_once} {read_first}: {more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_speaks_tls_is_answered_at_once() {
    let (mut client, server) = tokio::io::duplex(1024);
    let phase = ConnectionPhase::default();
    let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
    client.write_all(b"\x16\x03\x01\x02\x00\x01\x00").await.expect("room");
    let before = Instant::now();
    let mut read = vec![0; 1024];
    let length = filter.read(&mut read).await.expect("no error");
    assert_eq!((&read[..length], before.elapsed()), (REPLACEMENT, Duration::ZERO));
    let head = phase.take_refused().expect("a refused head");
    assert_eq!((head.error, head.method, head.path.as_str()), (HeadError::Tls, None, ""));
}

#[tokio::test]
async fn illegal_bytes_of_a_target_pass_percent_encoded() {
    let request = b"GET /\xc3\xa9?up{job=\"x\"} HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    let passed = b"GET /%C3%A9?up%7Bjob=%22x%22%7D HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    assert_eq!(read_through(&[request]).await, (passed.to_vec(), None));
}

#[tokio::test]
async fn a_refused_head_tells_what_it_was_about() {
    let (word, path) = ("M".repeat(33), format!("/{}", "a".repeat(11_000)));
    let long = [format!("{word} / HTTP/9\r\n\r\n"), format!("GET {path} HTTP/1.1\r\n\r\n")];
    for (head, method, path, id) in [
        (long[0].as_str(), None, "", None),
        (long[1].as_str(), Some("GET"), &path[..10_240], None),
        ("\"\" /path HTTP/1.1\r\n\r\n", None, "", None),
        ("PUT /a%zz?b HTTP/1.1\r\nX-Request-Id:  7 \r\n\r\n", Some("PUT"), "/a%zz", Some("7")),
        ("\r\nPOST /a\tb HTTP/1.1\r\n\r\n", Some("POST"), "/a%09b", None),
        ("nonsense\r\n\r\n", Some("nonsense"), "", None),
        (" \r\n\r\n", None, "", None),
    ] {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let phase = ConnectionPhase::default();
        let mut filter = HeadFilter::new(server, phase.clone(), TIMEOUTS);
        client.write_all(head.as_bytes()).await.expect("room");
        assert!(filter.read(&mut [0; 1024]).await.expect("no error") > 0);
        let refused = phase.take_refused().expect("a refused head");
        let (method, id) =
            (method.map(|method| method.parse().expect("a method")), id.map(http::HeaderValue::from_static));
        assert_eq!(
            (refused.method, refused.path.as_str(), refused.request_id),
            (method, path, id),
            "{head:?}"
        );
    }
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
    fn valid_requests_pass_however_they_are_split(
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
        let (read, error) = runtime.block_on(read_through(&pieces));
        prop_assert_eq!(read, bytes);
        prop_assert!(error.is_none());
    }
}
