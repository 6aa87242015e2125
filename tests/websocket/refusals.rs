//! Handshakes that are refused, by the proxy or by the API.

use serde_json::Value;

use crate::{
    echo,
    support::{
        Connection, Setup,
        http::Head,
        upstream::Upstream,
        websocket::{ACCEPT, KEY, handshake, open, switching},
    },
};

/// The status and the code of a problem.
async fn problem(client: &mut Connection, head: &Head) -> (u16, String) {
    let body = client.body(head).await;
    let problem: Value = serde_json::from_slice(&body).expect("a problem");
    (head.status, problem["code"].as_str().expect("a code").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_never_goes_up() {
    let upstream = echo().await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let sound = handshake("/", "");
    let without = |line: &str| sound.replace(line, "");
    let version = "sec-websocket-version: 13\r\n";
    let key = format!("sec-websocket-key: {KEY}\r\n");
    for (bytes, status) in [
        (without(version), 426),
        (sound.replace("version: 13", "version: 8"), 426),
        (sound.replace("version: 13", "version: 13, 8"), 426),
        (sound.replace(version, &version.repeat(2)), 426),
        (without(&key), 400),
        (sound.replace(&key, &key.repeat(2)), 400),
        (sound.replace(KEY, "c2hvcnQ="), 400),
        (sound.replace(KEY, "not base64"), 400),
        (without("connection: Upgrade\r\n"), 400),
        (sound.replace("connection: Upgrade", "connection: keep-alive"), 400),
        (sound.replace("upgrade: websocket", "upgrade: websocket/13"), 400),
        (sound.replace("GET", "HEAD"), 400),
        (sound.replace("GET", "POST"), 400),
        (handshake("/", "content-length: 2\r\n") + "hi", 400),
        (handshake("/", "transfer-encoding: chunked\r\n") + "0\r\n\r\n", 400),
        (sound.replace("host: localhost\r\n", ""), 400),
        (sound.replace("host: localhost", "host: evil.test"), 403),
        (handshake("/", "origin: http://evil.test\r\n"), 403),
        (handshake("/", "origin: null\r\n"), 403),
        (handshake("/%zz", ""), 400),
        (handshake("/?X-Amz-Signature=a", ""), 400),
    ] {
        let mut client = running.proxy.connect().await;
        client.write(format!("{bytes}GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let head = client.head().await;
        assert_eq!(head.status, status, "{bytes}");
        assert_eq!(head.field("connection"), Some("close"), "{bytes}");
        if status == 426 {
            assert_eq!(head.field("sec-websocket-version"), Some("13"));
            assert_eq!(head.field("upgrade"), Some("websocket"));
        }
        if !bytes.starts_with("HEAD") {
            client.body(&head).await;
        }
        client.finish_writing().await;
        assert!(client.is_closed().await, "one answer to {bytes}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_in_http_1_0_is_ignored() {
    let running = Setup::new().start().await;
    let mut client = running.proxy.connect().await;
    client.write(handshake("/", "").replace("HTTP/1.1", "HTTP/1.0")).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(running.sandbox.requests()[0].header("upgrade"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_proxy_and_of_allowed_origins_get_a_websocket() {
    let upstream = echo().await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.guard.allowed_origins = vec!["http://localhost:5173".to_owned()])
        .start()
        .await;
    for origin in ["http://localhost", "http://localhost:5173"] {
        let (_client, head) = open(&running.proxy, "/", &format!("origin: {origin}\r\n")).await;
        assert_eq!(head.status, 101, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_answer_than_101_is_the_apis_and_ends_the_connection() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: 1\r\nx-amzn-errortype: ForbiddenException\r\n\
          content-length: 9\r\n\r\nforbidden",
    )
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut client = running.proxy.connect().await;
    client.write(handshake("/", "") + "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert_eq!((head.status, body.as_slice()), (403, &b"forbidden"[..]));
    assert_eq!((head.field("connection"), head.field("proxy-status")), (Some("close"), None));
    client.finish_writing().await;
    assert!(client.is_closed().await);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_ends_with_its_connection_arrives_complete() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\n\r\nno WebSocket here").await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let (mut client, head) = open(&running.proxy, "/", "").await;
    assert_eq!((head.status, client.body(&head).await.as_slice()), (200, &b"no WebSocket here"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_101_that_does_not_answer_the_handshake_is_an_error_of_the_upstream() {
    let sound = switching("");
    for answer in [
        sound.replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        sound.replace(&format!("sec-websocket-accept: {ACCEPT}\r\n"), ""),
        sound.replace("upgrade: websocket", "upgrade: h2c"),
        sound.replace("connection: Upgrade", "connection: close"),
        switching("sec-websocket-protocol: chat\r\n"),
        switching("sec-websocket-extensions: permessage-deflate\r\n"),
    ] {
        let said = answer.clone();
        let upstream = Upstream::start(move |_, mut wire| {
            let said = said.clone();
            async move {
                if wire.request().await.is_some() {
                    wire.write(said).await;
                    wire.until_client_is_gone().await;
                }
            }
        })
        .await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        let (mut client, head) = open(&running.proxy, "/", "").await;
        assert_eq!(head.field("proxy-status"), Some("countersign; error=http_upgrade_failed"), "{answer}");
        assert_eq!(problem(&mut client, &head).await, (502, "upstream-websocket".to_owned()), "{answer}");
        upstream.client_gone().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_breaks_off_before_101_is_an_error_of_the_upstream() {
    for (said, expected) in [
        (&b""[..], (502, "upstream-closed")),
        (b"HTTP/1.1 101 Switching", (502, "upstream-closed")),
        (b"\x88\x02\x03\xe9", (502, "upstream-protocol")),
    ] {
        let upstream = Upstream::saying(said).await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        let (mut client, head) = open(&running.proxy, "/", "").await;
        let (status, code) = expected;
        assert_eq!(problem(&mut client, &head).await, (status, code.to_owned()), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_max_tunnels_nothing_goes_up_until_one_ends() {
    let upstream = echo().await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.limits.max_tunnels = 1)
        .start()
        .await;
    let (mut first, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    let (mut second, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.field("retry-after"), Some("1"));
    assert_eq!(problem(&mut second, &head).await, (503, "overloaded".to_owned()));
    assert_eq!(upstream.connections(), 1);
    assert_eq!(running.proxy.metric("countersign_limits_reached_total{limit=\"tunnels\"}").await, 1.0);
    first.finish_writing().await;
    assert!(first.is_closed().await);
    // The place is free a moment after the client has seen the end.
    while open(&running.proxy, "/", "").await.1.status != 101 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_take_no_place_of_requests_in_flight() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if let Some(request) = wire.request().await {
            if request.contains("upgrade") {
                wire.write(switching("")).await;
                wire.echo().await;
            } else {
                wire.write(crate::support::upstream::FINE).await;
            }
        }
    })
    .await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.limits.max_in_flight = 1)
        .start()
        .await;
    let (_first, _) = open(&running.proxy, "/", "").await;
    let (_second, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    assert_eq!(running.proxy.get("/").await.status, 200);
}
