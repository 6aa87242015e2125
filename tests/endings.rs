//! How requests and answers end when one side does not behave: half-closed and vanished clients, answers that
//! break off or have no clear end, HTTP/2 upstreams that refuse what they have not begun.

#![cfg(feature = "sandbox")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, server};
use support::{
    Setup,
    http::{get, request},
    soon,
    tls::Authority,
    upstream::{FINE, Upstream},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep},
};

#[tokio::test]
async fn clients_that_have_finished_sending_still_get_their_answer() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        // Longer than it takes to find out that a client has gone; the clock is paused.
        sleep(Duration::from_secs(2)).await;
        wire.write(FINE).await;
    })
    .await;
    let running = Setup::new().in_one_runtime().upstream(upstream.url()).start().await;
    tokio::time::pause();
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut client = running.proxy.connect().await;
        client.write(format!("GET /slow {version}\r\nhost: localhost\r\n\r\n")).await;
        client.finish_writing().await;
        let (head, body) = client.answer().await;
        assert_eq!((head.status, body.as_slice()), (200, &b"fine"[..]), "{version}");
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn a_connection_that_is_there_at_the_end_gets_its_first_request_answered() {
    let upstream = Upstream::saying(FINE).await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut client = running.proxy.connect().await;
    running.proxy.begin_shutdown();
    client.write("GET /late HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert_eq!((head.status, body.as_slice()), (200, &b"fine"[..]));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn an_interactive_end_cuts_answers_without_a_length_and_waits_for_the_others() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some_and(|request| request.starts_with("GET /events")) {
            wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n").await;
            return wire.until_client_is_gone().await;
        }
        sleep(Duration::from_secs(10)).await;
        wire.write(FINE).await;
    })
    .await;
    for interactive in [true, false] {
        let mut running = Setup::new().in_one_runtime().upstream(upstream.url()).start().await;
        let (mut streaming, mut waiting) = (running.proxy.connect().await, running.proxy.connect().await);
        streaming.write("GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(streaming.head().await.status, 200);
        assert_eq!(streaming.chunk().await.expect("an event"), b"event");
        let before = upstream.requests().len();
        waiting.write("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        while upstream.requests().len() == before {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        let start = Instant::now();
        if interactive {
            running.proxy.begin_interactive_shutdown();
        } else {
            running.proxy.begin_shutdown();
        }
        assert_eq!(waiting.answer().await.1, b"fine");
        running.proxy.ended().await;
        let drained = start.elapsed() < Duration::from_secs(20);
        assert_eq!(drained, interactive, "{:?}", start.elapsed());
        assert!(streaming.chunk().await.is_none(), "no last chunk");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn clients_that_have_gone_cancel_the_call_of_the_upstream() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.until_client_is_gone().await;
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut client = running.proxy.connect().await;
    client.write("GET /hangs HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    while upstream.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(client);
    upstream.client_gone().await;

    // Another request in the pipe hides the end of the connection from a reader.
    let mut client = running.proxy.connect().await;
    client
        .write("GET /a HTTP/1.1\r\nhost: localhost\r\n\r\nGET /b HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    while upstream.requests().len() < 2 {
        tokio::task::yield_now().await;
    }
    drop(client);
    upstream.client_gone().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\nnonsense\r\n",
    ] {
        let upstream = Upstream::saying(answer).await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let mut client = running.proxy.connect().await;
            client.write(format!("GET / {version}\r\nhost: localhost\r\n\r\n")).await;
            // Whether the head is still read or the reset overtakes it: a clean end must not be seen.
            let rest = client.rest().await;
            assert!(rest.is_err(), "{version} {rest:?}");
        }
    }
}

#[tokio::test]
async fn answers_without_one_clear_end_are_refused() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"
            [..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nfine",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nfine",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.7\r\n",
    ] {
        let upstream = Upstream::saying(answer).await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        let problem = running.proxy.get("/").await.problem();
        let expected = (502, "upstream-protocol".to_owned(), "http_protocol_error".to_owned());
        assert_eq!(problem, expected, "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn a_length_that_is_repeated_arrives_once() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nfine"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 4, 4\r\n\r\nfine",
    ] {
        let upstream = Upstream::saying(answer).await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        let answer = running.proxy.get("/").await;
        assert_eq!((answer.text().as_str(), answer.headers("content-length")), ("fine", vec!["4"]));
    }
}

#[tokio::test]
async fn interim_answers_are_not_taken_for_the_final_one() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine",
    )
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    assert_eq!(running.proxy.get("/").await.text(), "fine");
}

#[tokio::test]
async fn bodies_with_signatures_inside_are_refused_with_the_reason() {
    let upstream = Upstream::saying(FINE).await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.routes[0].service = "s3".to_owned())
        .start()
        .await;
    let mut put = request("PUT", "/bucket/key", "events");
    let streaming = "STREAMING-AWS4-HMAC-SHA256-EVENTS".parse().expect("a value");
    put.headers_mut().insert("x-amz-content-sha256", streaming);
    let answer = running.proxy.send(put).await;
    assert!(answer.text().contains("<Code>unsupported-transfer-coding</Code>"), "{}", answer.text());
    assert!(answer.text().contains("x-amz-content-sha256"), "{}", answer.text());
    assert!(upstream.requests().is_empty());

    let mut put = request("PUT", "/bucket/key", "4\r\nfine\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
    for (name, value) in [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "4"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ] {
        put.headers_mut().insert(name, value.parse().expect("a value"));
    }
    assert_eq!(running.proxy.send(put).await.text(), "fine");
    let received = upstream.requests().remove(0);
    for expected in [
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n",
        "content-encoding: aws-chunked\r\n",
        "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;",
        "\r\n\r\n4\r\nfine\r\n0\r\n",
    ] {
        let expected = expected
            .replace("content-type;", if received.contains("content-type:") { "content-type;" } else { "" });
        assert!(received.contains(&expected), "{expected}\n{received}");
    }
}

/// What an HTTP/2 upstream does with the second stream of its first connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Resets the stream.
    Reset(Reason),
    /// Says that it goes away, and that it has begun with the stream.
    GoAwayAfter,
    /// Says that it goes away, and that it has not begun with the stream.
    GoAwayBefore,
}

/// An HTTP/2 upstream that answers, but for the second request of its first connection.
async fn http2(authority: &Authority, manner: Manner) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let acceptor = authority.acceptor(&["h2"]);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                if number == 0 && matches!(manner, Manner::GoAwayBefore) {
                    return leave_before_the_second(stream).await;
                }
                let Ok(mut connection) = server::handshake(stream).await else { return };
                let mut seen = 0;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    seen += 1;
                    if number == 0 && seen == 2 {
                        match manner {
                            Manner::Reset(reason) => respond.send_reset(reason),
                            Manner::GoAwayAfter | Manner::GoAwayBefore => {
                                connection.abrupt_shutdown(Reason::NO_ERROR);
                            }
                        }
                        continue;
                    }
                    let response = http::Response::new(());
                    if let Ok(mut body) = respond.send_response(response, false) {
                        let _ = body.send_data(Bytes::from_static(b"fine"), true);
                    }
                }
            });
            number += 1;
        }
    });
    (url, tasks)
}

/// Frames by hand: the library's server has begun with every stream that it knows of.
async fn leave_before_the_second(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
    // HEADERS of stream 1 with the indexed field ":status: 200", then DATA that ends the stream.
    const FINE: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\x01\0\0\0\x01fine";
    // GOAWAY with stream 1 as the last, NO_ERROR.
    const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.expect("a preface");
    stream.write_all(SETTINGS).await.expect("an open connection");
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.expect("a frame");
        let answer = match (head[3], head[8]) {
            (4, _) if head[4] == 0 => SETTINGS_ACK,
            (1, 1) => FINE,
            (1, _) => GOAWAY,
            _ => continue,
        };
        stream.write_all(answer).await.expect("an open connection");
        stream.flush().await.expect("an open connection");
    }
}

#[tokio::test]
async fn unprocessed_http2_requests_are_sent_again_for_every_method() {
    for manner in [Manner::Reset(Reason::REFUSED_STREAM), Manner::GoAwayBefore] {
        let authority = Authority::new();
        let (url, _tasks) = http2(&authority, manner).await;
        let file = authority.file();
        let running = Setup::new()
            .upstream(url)
            .proxy(move |settings| settings.proxy.ca_files = vec![file])
            .start()
            .await;
        assert_eq!(running.proxy.get("/").await.text(), "fine");
        assert_eq!(running.proxy.send(request("POST", "/", "a body")).await.text(), "fine", "{manner:?}");
    }
}

#[tokio::test]
async fn possibly_processed_http2_requests_are_not_sent_again() {
    for manner in [Manner::Reset(Reason::CANCEL), Manner::Reset(Reason::INTERNAL_ERROR), Manner::GoAwayAfter]
    {
        let authority = Authority::new();
        let (url, _tasks) = http2(&authority, manner).await;
        let file = authority.file();
        let running = Setup::new()
            .upstream(url)
            .proxy(move |settings| settings.proxy.ca_files = vec![file])
            .start()
            .await;
        assert_eq!(running.proxy.get("/").await.text(), "fine");
        let problem = running.proxy.send(request("POST", "/", "a body")).await.problem();
        assert_eq!((problem.0, problem.1.as_str()), (502, "upstream-closed"), "{manner:?}");
        // Reading is done again on another connection.
        assert_eq!(soon("an answer", running.proxy.send(get("/"))).await.text(), "fine");
    }
}
