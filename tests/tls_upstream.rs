//! Upstreams over TLS: HTTP/1.1 and HTTP/2, as ALPN agrees.
#![cfg(feature = "sandbox")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use countersign::sandbox::{Sandbox, Verdict, pattern};
use support::{
    Running, Setup,
    http::{Connection, request},
    soon,
    tls::{Authority, TlsUpstream},
};
use tokio::{task::JoinSet, time::sleep};

/// So long that half of it, after which each request tries to connect for itself, suffices on a busy machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(40);

/// A proxy whose upstream is its own sandbox's API behind TLS.
struct Secured {
    running: Running,
    upstream: TlsUpstream,
    _authority: Authority,
}

/// The API of one sandbox must verify what another's credentials sign, so the bridge is built before the proxy.
async fn secured(protocols: &'static [&'static str]) -> Secured {
    secured_within(protocols, CONNECT_TIMEOUT).await
}

async fn secured_within(protocols: &'static [&'static str], connect: Duration) -> Secured {
    let authority = Authority::new();
    let port = free_port().await;
    let api = format!("http://127.0.0.1:{port}");
    let upstream = TlsUpstream::start(&authority, protocols, &api).await;
    let running = Setup::new()
        .in_one_runtime()
        .sandbox(move |sandbox| sandbox.ports.api = port)
        .upstream(upstream.url())
        .trusting(&authority)
        .proxy(move |settings| settings.proxy.timeouts.connect = connect)
        .start()
        .await;
    Secured { running, upstream, _authority: authority }
}

async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn all_verified(sandbox: &Sandbox, count: usize) {
    let requests = sandbox.requests();
    assert_eq!(requests.len(), count);
    assert!(requests.iter().all(|request| matches!(request.verdict, Verdict::Verified { .. })));
}

#[tokio::test]
async fn http_1_1_is_spoken_where_the_upstream_wants_it() {
    let secured = secured(&["http/1.1"]).await;
    for _ in 0..3 {
        assert_eq!(secured.running.proxy.send(request("POST", "/x", "hi")).await.status, 200);
    }
    all_verified(&secured.running.sandbox, 3);
    assert_eq!(secured.upstream.connections(), 1);
}

#[tokio::test]
async fn http_2_is_spoken_where_the_upstream_can_and_its_authority_is_signed() {
    let secured = secured(&["h2", "http/1.1"]).await;
    let answer = secured.running.proxy.send(request("POST", "/x?a=1", "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = secured.running.sandbox.requests().remove(0);
    assert!(matches!(received.verdict, Verdict::Verified { .. }), "{received:?}");
    assert_eq!(received.header("host"), Some(secured.upstream.address().to_string().as_str()));
    assert_eq!(received.body, "hi");
}

#[tokio::test]
async fn another_host_becomes_the_authority() {
    let authority = Authority::new();
    let port = free_port().await;
    let api = format!("http://127.0.0.1:{port}");
    let upstream = TlsUpstream::start(&authority, &["h2"], &api).await;
    let running = Setup::new()
        .sandbox(move |sandbox| sandbox.ports.api = port)
        .upstream(upstream.url())
        .trusting(&authority)
        .proxy(move |settings| {
            settings.proxy.routes[0].sign_host = Some("private.example.com".to_owned());
        })
        .start()
        .await;
    assert_eq!(running.proxy.get("/x").await.status, 200);
    assert_eq!(running.sandbox.requests()[0].header("host"), Some("private.example.com"));
}

#[tokio::test]
async fn many_requests_share_one_http_2_connection() {
    let secured = secured(&["h2"]).await;
    assert_eq!(secured.running.proxy.get("/first").await.status, 200);
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let mut connection = secured.running.proxy.connect().await;
        requests.spawn(async move {
            connection.write(format!("GET /bytes/{number}000 HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
            let (head, body) = connection.answer().await;
            (head.status, Bytes::from(body), number)
        });
    }
    while let Some(answer) = requests.join_next().await {
        let (status, body, number) = answer.expect("no panic");
        assert_eq!(status, 200);
        assert!(body == pattern(0, number * 1000), "{number}");
    }
    all_verified(&secured.running.sandbox, 101);
    assert_eq!(secured.upstream.connections(), 1);
}

#[tokio::test]
async fn clients_that_do_not_read_do_not_block_a_shared_connection() {
    let secured = secured(&["h2"]).await;
    assert_eq!(secured.running.proxy.get("/first").await.status, 200);
    let _unread = answers_begun(&secured, 20, "/bytes/100000000").await;
    for _ in 0..10 {
        let answer = soon("an answer", secured.running.proxy.get("/bytes/10000")).await;
        assert!(answer.body == pattern(0, 10_000));
    }
    assert_eq!(secured.upstream.connections(), 1);
}

#[tokio::test]
async fn more_than_a_hundred_requests_at_once_get_another_connection() {
    let secured = secured(&["h2"]).await;
    assert_eq!(secured.running.proxy.get("/first").await.status, 200);
    let streams = answers_begun(&secured, 100, "/events/1000?interval=1000").await;
    assert_eq!(secured.upstream.connections(), 1);
    let answer = soon("an answer", secured.running.proxy.get("/bytes/10000")).await;
    assert!(answer.body == pattern(0, 10_000));
    assert_eq!(secured.upstream.connections(), 2);

    drop(streams);
    for _ in 0..10 {
        assert_eq!(secured.running.proxy.get("/x").await.status, 200);
    }
    assert_eq!(secured.upstream.connections(), 2);
}

#[tokio::test]
async fn requests_that_come_all_at_once_make_no_more_connections_than_they_need() {
    let secured = secured(&["h2"]).await;
    secured.upstream.answer_together(250);
    many_clients(&secured, 250, 1, "/x").await;
    assert_eq!(secured.upstream.connections(), 3);
}

#[tokio::test]
async fn more_clients_than_a_connection_has_room_for_keep_their_connections() {
    let secured = secured(&["h2"]).await;
    secured.upstream.answer_together(150);
    many_clients(&secured, 150, 3, "/x").await;
    assert_eq!(secured.upstream.connections(), 2);
}

#[tokio::test]
async fn requests_that_come_all_at_once_do_not_wait_for_each_other_over_http_1_1() {
    let secured = secured(&["http/1.1"]).await;
    secured.upstream.answer_together(50);
    many_clients(&secured, 50, 1, "/x").await;
    assert!(secured.upstream.connections() >= 50);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_does_not_take_the_time_of_those_who_wait_for_it() {
    // The others wait for half of it, and then have as long to succeed.
    let secured = secured_within(&["h2"], Duration::from_secs(12)).await;
    secured.upstream.ignore(1);
    let mut unlucky = secured.running.proxy.connect().await;
    unlucky.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    soon("a connection", async {
        while secured.upstream.connections() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    many_clients(&secured, 20, 1, "/x").await;
}

/// So many clients at once, each of which sends so many requests, one after the other.
async fn many_clients(secured: &Secured, clients: usize, requests: usize, path: &str) {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(secured.running.proxy.connect().await);
    }
    let mut all = JoinSet::new();
    for mut connection in connections {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        all.spawn(async move {
            for _ in 0..requests {
                connection.write(request.clone()).await;
                let (head, body) = connection.answer().await;
                assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&body));
            }
        });
    }
    while let Some(client) = all.join_next().await {
        client.expect("no panic");
    }
    all_verified(&secured.running.sandbox, clients * requests);
}

/// Answers of which nobody reads more than the head.
async fn answers_begun(secured: &Secured, count: usize, path: &str) -> Vec<Connection> {
    let mut begun = Vec::new();
    for _ in 0..count {
        let mut connection = secured.running.proxy.connect().await;
        connection.write(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(connection.head().await.status, 200);
        begun.push(connection);
    }
    begun
}

#[tokio::test]
async fn after_goaway_the_next_request_gets_a_new_connection() {
    let secured = secured(&["h2"]).await;
    for _ in 0..5 {
        let answer = secured.running.proxy.send(request("POST", "/x", "hi")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        secured.upstream.go_away();
    }
    let answer = secured.running.proxy.send(request("POST", "/x", "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    all_verified(&secured.running.sandbox, 6);
    assert!(secured.upstream.connections() > 1);
}

#[tokio::test]
async fn no_request_is_lost_to_goaway() {
    let secured = secured(&["h2"]).await;
    let mut requests = JoinSet::new();
    for number in 0..60 {
        let mut connection = secured.running.proxy.connect().await;
        requests.spawn(async move {
            connection
                .write("POST /slow/20 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi")
                .await;
            let (head, body) = connection.answer().await;
            (head.status, String::from_utf8_lossy(&body).into_owned())
        });
        if number % 10 == 9 {
            secured.upstream.go_away();
        }
    }
    while let Some(answer) = requests.join_next().await {
        let (status, body) = answer.expect("no panic");
        assert_eq!(status, 200, "{body}");
    }
    all_verified(&secured.running.sandbox, 60);
}

#[tokio::test]
async fn large_bodies_go_both_ways_over_http_2() {
    let secured = secured(&["h2"]).await;
    let body: Vec<u8> = pattern(0, 3 << 20).to_vec();
    let answer = secured.running.proxy.send(request("PUT", "/x", body.clone())).await;
    assert_eq!(answer.status, 200);
    assert!(secured.running.sandbox.requests()[0].body == body);
    let answer = secured.running.proxy.get("/bytes/3145728").await;
    assert!(answer.body == body);
}

#[tokio::test]
async fn trailers_come_through_http_2() {
    let secured = secured(&["h2"]).await;
    let mut request = support::http::get("/trailers/10");
    request.headers_mut().insert("te", "trailers".parse().expect("a value"));
    let answer = secured.running.proxy.send(request).await;
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers["x-sandbox-bytes"], "10");
}
