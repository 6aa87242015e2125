use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use countersign::proxy::PayloadSigning::Unsigned;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::{sync::mpsc, time};

use crate::{
    PROTOCOLS, in_front_of, setup,
    support::{sink::Sink, tls::Authority},
};

const LATTICE: &str = "vpc-lattice-svcs";

#[tokio::test]
async fn an_unsigned_body_goes_up_while_it_arrives() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority, LATTICE, Unsigned).await;
        let mut client = running.proxy.connect().await;
        client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nfirst").await;
        let mut arrival = sink.arrival().await;
        assert_eq!(arrival.header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD", "{protocol}");
        assert!(arrival.header("authorization").contains("x-amz-content-sha256"), "{protocol}");
        assert_eq!(arrival.header("content-length"), "10", "{protocol}");
        assert_eq!(arrival.exactly(5).await, b"first", "{protocol}");
        assert_eq!(running.proxy.metric("countersign_body_memory_bytes").await, 0.0);
        client.write("other").await;
        assert_eq!(arrival.rest().await, (b"other".to_vec(), true), "{protocol}");
        arrival.answer(200, "fine");
        let (head, body) = client.answer().await;
        assert_eq!((head.status, &body[..]), (200, &b"fine"[..]), "{protocol}");
        client.write("GET /again HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let arrival = sink.arrival().await;
        assert_eq!(arrival.header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD", "{protocol}");
        assert_eq!(arrival.header("content-length"), "", "{protocol}");
        arrival.answer(200, "fine");
        assert_eq!(client.answer().await.1, b"fine", "{protocol}: the connection is kept");
    }
}

#[tokio::test]
async fn an_unsigned_body_of_unknown_length_goes_up_in_chunks_with_any_method() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority, LATTICE, Unsigned).await;
        for method in ["GET", "POST", "DELETE"] {
            let mut client = running.proxy.connect().await;
            let head =
                format!("{method} /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
            client.write(head + "3\r\nabc\r\n").await;
            let mut arrival = sink.arrival().await;
            assert_eq!(arrival.header("content-length"), "", "{protocol} {method}");
            assert_eq!(arrival.exactly(3).await, b"abc", "{protocol} {method}");
            client.write("2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n").await;
            assert_eq!(arrival.rest().await, (b"de".to_vec(), true), "{protocol} {method}");
            arrival.answer(200, "fine");
            assert_eq!(client.answer().await.1, b"fine", "{protocol} {method}");
        }
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_reaches_s3_with_its_length() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority, "s3", Unsigned).await;
        let mut client = running.proxy.connect().await;
        client.write("PUT /b/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
        client.write("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
        let mut arrival = sink.arrival().await;
        assert_eq!(arrival.header("content-length"), "5", "{protocol}");
        assert_eq!(arrival.header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD", "{protocol}");
        assert_eq!(arrival.rest().await, (b"abcde".to_vec(), true), "{protocol}");
        arrival.answer(200, "fine");
        assert_eq!(client.answer().await.1, b"fine", "{protocol}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_once_the_upstream_has_its_request() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority, LATTICE, Unsigned).await;
        let mut client = running.proxy.connect().await;
        client
            .write("PUT /x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            .await;
        let mut arrival = sink.arrival().await;
        assert_eq!(arrival.header("expect"), "");
        assert_eq!(client.head().await.status, 100, "{protocol}");
        client.write("hi").await;
        assert_eq!(arrival.rest().await, (b"hi".to_vec(), true), "{protocol}");
        arrival.answer(200, "fine");
        assert_eq!(client.answer().await.1, b"fine", "{protocol}");
    }
}

#[tokio::test]
async fn an_unsigned_body_may_be_larger_than_the_memory_for_bodies_and_not_than_max_body() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = setup(&sink, &authority)
            .proxy(|settings| {
                settings.proxy.routes[0].payload = Unsigned;
                settings.proxy.limits.max_body = 1_000;
                settings.proxy.limits.body_memory = 10;
            })
            .start()
            .await;
        let mut client = running.proxy.connect().await;
        client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n").await;
        client.write([b'x'; 1_000]).await;
        let mut arrival = sink.arrival().await;
        assert_eq!(arrival.rest().await.0.len(), 1_000, "{protocol}");
        arrival.answer(200, "fine");
        assert_eq!(client.answer().await.1, b"fine", "{protocol}");

        let mut client = running.proxy.connect().await;
        client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1001\r\n\r\n").await;
        assert_eq!(client.answer().await.0.status, 413, "{protocol}");
        assert!(sink.is_quiet().await, "{protocol}: a declared length is refused before anything is sent");

        let mut client = running.proxy.connect().await;
        client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
        client.write(format!("3e8\r\n{}\r\n", "x".repeat(1_000))).await;
        let mut arrival = sink.arrival().await;
        arrival.exactly(1_000).await;
        client.write("1\r\nx\r\n").await;
        assert_eq!(
            arrival.rest().await,
            (Vec::new(), false),
            "{protocol}: it does not end as if it were whole"
        );
        client.write("0\r\n\r\n").await;
        let (head, body) = client.answer().await;
        assert_eq!(head.status, 413, "{protocol}");
        assert!(String::from_utf8_lossy(&body).contains("--max-body"), "{protocol}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_aborts_the_request_at_the_upstream() {
    for protocol in PROTOCOLS {
        for framing in ["content-length: 9\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
            let authority = Authority::new();
            let sink = Sink::start(&authority, protocol).await;
            let running = in_front_of(&sink, &authority, LATTICE, Unsigned).await;
            let mut client = running.proxy.connect().await;
            client.write(format!("PUT /x HTTP/1.1\r\nhost: localhost\r\n{framing}")).await;
            let mut arrival = sink.arrival().await;
            arrival.exactly(3).await;
            drop(client);
            assert_eq!(arrival.rest().await, (Vec::new(), false), "{protocol} {framing}");

            let mut client = running.proxy.connect().await;
            client.write(format!("PUT /x HTTP/1.1\r\nhost: localhost\r\n{framing}")).await;
            let mut arrival = sink.arrival().await;
            arrival.exactly(3).await;
            client.finish_writing().await;
            assert_eq!(arrival.rest().await, (Vec::new(), false), "{protocol} {framing}");
            let (head, _) = client.answer().await;
            assert_eq!(head.status, 400, "{protocol}: a client that has only stopped sending learns of it");
        }
    }
}

#[tokio::test]
async fn an_answer_in_the_middle_of_a_body_reaches_a_client_that_still_sends() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority, LATTICE, Unsigned).await;
        let mut client = running.proxy.connect().await;
        client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nabc").await;
        let mut arrival = sink.arrival().await;
        arrival.exactly(3).await;
        arrival.answer(403, "no");
        let (head, body) = client.answer().await;
        assert_eq!((head.status, &body[..]), (403, &b"no"[..]), "{protocol}");
        assert_eq!(head.field("connection"), Some("close"), "{protocol}");
        assert!(client.rest().await.is_ok_and(|rest| rest.is_empty()), "{protocol}: the connection ends");
    }
}

#[tokio::test]
async fn an_answer_in_the_middle_of_a_body_waits_for_a_client_that_sends_everything_first() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority, LATTICE, Unsigned).await;
        for framing in ["content-length: 8388608\r\n\r\n", "transfer-encoding: chunked\r\n\r\n800000\r\n"] {
            let mut client = running.proxy.connect().await;
            client.write(format!("PUT /x HTTP/1.1\r\nhost: localhost\r\n{framing}abc")).await;
            let mut arrival = sink.arrival().await;
            arrival.exactly(3).await;
            arrival.answer(403, "no");
            client.write(vec![b'x'; (8 << 20) - 3]).await;
            let (head, body) = client.answer().await;
            assert_eq!((head.status, &body[..]), (403, &b"no"[..]), "{protocol} {framing}");
        }
    }
}

#[tokio::test]
async fn a_body_goes_on_after_the_head_of_its_answer() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority, LATTICE, Unsigned).await;
        let mut client = running.proxy.connect().await;
        client.write("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\n\r\nabc").await;
        let mut arrival = sink.arrival().await;
        arrival.exactly(3).await;
        let (feed, fed) = mpsc::unbounded_channel();
        let rest = arrival.begin_answer(Response::new(Fed(fed).boxed()));
        feed.send(Bytes::from_static(b"one")).expect("a reader");
        let head = client.head().await;
        assert_eq!(client.chunk().await, Some(b"one".to_vec()), "{protocol}");
        client.write("def").await;
        assert_eq!(rest.rest().await.as_deref(), Some(&b"def"[..]), "{protocol}");
        feed.send(Bytes::from_static(b"two")).expect("a reader");
        drop(feed);
        assert_eq!(client.body(&head).await, b"two", "{protocol}");
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_in_its_body_gets_408_and_its_request_is_aborted() {
    for protocol in PROTOCOLS {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = setup(&sink, &authority)
            .in_one_runtime()
            .proxy(|settings| settings.proxy.routes[0].payload = Unsigned)
            .start()
            .await;
        let mut client = running.proxy.connect().await;
        client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc").await;
        let mut arrival = sink.arrival().await;
        arrival.exactly(3).await;
        time::pause();
        assert_eq!(arrival.rest().await, (Vec::new(), false), "{protocol}");
        assert_eq!(client.answer().await.0.status, 408, "{protocol}");
        time::resume();
    }
}

#[tokio::test]
async fn a_streamed_body_has_a_place_in_flight_from_its_first_byte() {
    let authority = Authority::new();
    let sink = Sink::start(&authority, "h2").await;
    let running = setup(&sink, &authority)
        .proxy(|settings| {
            settings.proxy.routes[0].payload = Unsigned;
            settings.proxy.limits.max_in_flight = 1;
        })
        .start()
        .await;
    let mut client = running.proxy.connect().await;
    client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\n\r\nabc").await;
    let mut arrival = sink.arrival().await;
    assert_eq!(running.proxy.get("/y").await.problem().1, "overloaded");
    client.write("def").await;
    assert_eq!(arrival.rest().await.0, b"abcdef");
    arrival.answer(200, "fine");
    assert_eq!(client.answer().await.1, b"fine");
}

/// The body of an answer, as a test feeds it.
struct Fed(mpsc::UnboundedReceiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
