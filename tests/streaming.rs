//! How answers come down: as they are made, as they are framed, and with what belongs to this origin.
#![cfg(feature = "sandbox")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign::sandbox::pattern;
use support::{
    Setup,
    http::{get, request},
    soon, start,
    upstream::Upstream,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let (stalled, written) = oneshot::channel();
    let stalled = Mutex::new(Some(stalled));
    let upstream = Upstream::start(move |_, mut wire| {
        let stalled = stalled.lock().expect("one connection").take().expect("one connection");
        async move {
            wire.request().await;
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await;
            let (chunk, mut written) = (vec![0; 64 * 1024], 0_u64);
            while timeout(Duration::from_millis(500), wire.write(&chunk)).await.is_ok() && written < 1 << 30 {
                written += chunk.len() as u64;
            }
            stalled.send(written).expect("a test");
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut connection = running.proxy.connect().await;
    connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(connection.head().await.status, 200);
    let written = soon("the upstream to stall", written).await.expect("a count");
    assert!(written < 32 * MIB, "{written} bytes were taken from the upstream");
}

#[tokio::test]
async fn events_arrive_before_the_next_is_made() {
    let (next, allowed) = mpsc::channel::<()>(1);
    let allowed = Arc::new(tokio::sync::Mutex::new(allowed));
    let upstream = Upstream::start(move |_, mut wire| {
        let allowed = Arc::clone(&allowed);
        async move {
            wire.request().await;
            wire.write(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .await;
            let mut allowed = allowed.lock().await;
            for number in 0..5 {
                wire.write(format!("9\r\ndata: {number}\n\n\r\n")).await;
                allowed.recv().await;
            }
            wire.write("0\r\n\r\n").await;
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut connection = running.proxy.connect().await;
    connection.write("GET /events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n").await;
    let head = connection.head().await;
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for number in 0..5 {
        let event = connection.chunk().await.expect("an event");
        assert_eq!(String::from_utf8_lossy(&event), format!("data: {number}\n\n"));
        next.send(()).await.expect("an upstream");
    }
    assert_eq!(connection.chunk().await, Some(Vec::new()));
}

#[tokio::test]
async fn chunked_answers_come_whole() {
    let running = start().await;
    let answer = running.proxy.get("/chunked/1000000").await;
    assert_eq!(answer.header("content-length"), "");
    assert!(answer.body == pattern(0, 1_000_000));
}

#[tokio::test]
async fn trailers_follow_for_clients_that_take_them() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    connection
        .write(
            "GET /trailers/10 HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\nconnection: close, te\r\n\r\n",
        )
        .await;
    let head = connection.head().await;
    assert_eq!(head.field("trailer"), Some("x-sandbox-bytes"));
    let rest = connection.rest().await.expect("a clean end");
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.ends_with("\r\n0\r\nx-sandbox-bytes: 10\r\n\r\n"), "{rest:?}");
}

#[tokio::test]
async fn head_tells_the_length_and_sends_no_body() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    for _ in 0..2 {
        connection.write("HEAD /bytes/1000 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let head = connection.head().await;
        assert_eq!((head.status, head.field("content-length")), (200, Some("1000")));
    }
    connection.write("GET /bytes/3 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(connection.answer().await.1, pattern(0, 3));
}

#[tokio::test]
async fn answers_without_a_body_stay_so() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    for status in [204, 304] {
        connection.write(format!("GET /status/{status} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let head = connection.head().await;
        assert_eq!((head.status, head.field("transfer-encoding")), (status, None));
    }
    connection.write("GET /bytes/3 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(connection.answer().await.1, pattern(0, 3));
}

#[tokio::test]
async fn ranges_come_through() {
    let running = start().await;
    let mut request = get("/bytes/1000");
    request.headers_mut().insert("range", "bytes=10-19".parse().expect("a value"));
    let answer = running.proxy.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (206, "bytes 10-19/1000"));
    assert_eq!(answer.body, pattern(10, 10));
}

#[tokio::test]
async fn repeated_and_unusual_headers_keep_order_and_bytes() {
    let running = start().await;
    let answer = running.proxy.get("/headers").await;
    let cookies = ["a=1; Path=/", "b=2; Path=/; HttpOnly", "a=3; Path=/"];
    assert_eq!(answer.headers("set-cookie"), cookies);
    assert_eq!(answer.headers("vary"), ["Accept", "Accept-Encoding"]);
    assert_eq!(answer.headers["x-sandbox-latin1"].as_bytes(), b"caf\xe9");
    assert_eq!(answer.headers["x-sandbox-empty"].as_bytes(), b"");
    assert_eq!(answer.header("x-amzn-remapped-authorization"), "kept");
}

#[tokio::test]
async fn encoded_bodies_are_not_touched() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00",
    )
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut request = get("/x");
    request.headers_mut().insert("accept-encoding", "gzip, br".parse().expect("a value"));
    let answer = running.proxy.send(request).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(&answer.body[..], b"\x1f\x8b\x08\x00");
    assert!(upstream.requests()[0].contains("accept-encoding: gzip, br\r\n"));
}

#[tokio::test]
async fn redirects_to_the_upstream_lead_to_the_proxy() {
    let running = start().await;
    let (api, proxy) = (running.sandbox.api_url(), running.proxy.address);
    for (to, expected) in [
        (format!("{api}/orders/7?a=1"), format!("http://{proxy}/orders/7?a=1")),
        ("/prod/orders".to_owned(), "/orders".to_owned()),
        ("../relative".to_owned(), "../relative".to_owned()),
        ("https://elsewhere.example/x".to_owned(), "https://elsewhere.example/x".to_owned()),
        (format!("{api}uction/x"), format!("{api}uction/x")),
    ] {
        let answer = running.proxy.get(&format!("/redirect?to={}", to.replace('?', "%3F"))).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, expected.as_str()));
    }
}

#[tokio::test]
async fn cookies_of_the_upstreams_domain_become_the_proxys() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Domain=127.0.0.1; Path=/\r\n\
          set-cookie: b=2; Domain=other.example\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.headers("set-cookie"), ["a=1; Path=/", "b=2; Domain=other.example"]);
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_upstream_end_at_the_proxy() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\nconnection: close, x-internal\r\nx-internal: 1\r\nkeep-alive: timeout=5\r\n\
          proxy-authenticate: Basic\r\nx-public: 1\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let answer = running.proxy.get("/x").await;
    for name in ["x-internal", "keep-alive", "proxy-authenticate", "connection"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.header("x-public"), "1");
}

#[tokio::test]
async fn interim_answers_do_not_stand_for_the_final_one() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine",
    )
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    assert_eq!(running.proxy.get("/x").await.text(), "fine");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_call_with_it() {
    let arrived = Arc::new(Notify::new());
    for head in ["", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let signal = Arc::clone(&arrived);
        let upstream = Upstream::start(move |_, mut wire| {
            let signal = Arc::clone(&signal);
            async move {
                wire.request().await;
                wire.write(head).await;
                signal.notify_one();
                wire.until_client_is_gone().await;
            }
        })
        .await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        let mut connection = running.proxy.connect().await;
        connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        soon("the request", arrived.notified()).await;
        drop(connection);
        upstream.client_gone().await;
    }
}

#[tokio::test]
async fn uploads_as_large_as_the_gateway_takes_arrive() {
    let running = start().await;
    let body = pattern(0, 10 * MIB);
    let answer = running.proxy.send(request("PUT", "/x", body.clone())).await;
    assert_eq!(answer.status, 200);
    assert!(running.sandbox.requests()[0].body == body);
}
