//! How much is taken on: bodies, memory, requests, connections, patience.
#![cfg(feature = "sandbox")]

mod support;

use std::{sync::Arc, time::Duration};

use support::{
    Connection, Running, Setup,
    http::{problem, request},
    soon, start,
    upstream::{FINE, Upstream},
};
use tokio::sync::Notify;

fn code(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).expect("a problem");
    problem["code"].as_str().expect("a code").to_owned()
}

/// How often this limit was met.
async fn reached(running: &Running, limit: &str) -> f64 {
    running.proxy.metric(&format!("countersign_limits_reached_total{{limit=\"{limit}\"}}")).await
}

/// An upstream that answers when it is let.
struct Held {
    upstream: Upstream,
    arrived: Arc<Notify>,
    release: Arc<Notify>,
}

impl Held {
    async fn start() -> Self {
        let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let signals = (Arc::clone(&arrived), Arc::clone(&release));
        let upstream = Upstream::start(move |_, mut wire| {
            let (arrived, release) = signals.clone();
            async move {
                while wire.request().await.is_some() {
                    arrived.notify_one();
                    release.notified().await;
                    wire.write(FINE).await;
                }
            }
        })
        .await;
        Self { upstream, arrived, release }
    }
}

#[tokio::test]
async fn a_body_that_is_declared_too_large_is_refused_before_a_byte_of_it() {
    let running = start().await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut connection = running.proxy.connect().await;
        connection
            .write(format!("POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10485761\r\n{expect}\r\n"))
            .await;
        let (head, body) = connection.answer().await;
        assert_eq!((head.status, code(&body).as_str()), (413, "body-too-large"));
        assert_eq!(head.field("connection"), Some("close"));
        assert!(connection.is_closed().await);
    }
    assert!(running.sandbox.requests().is_empty());
    assert_eq!(reached(&running, "body-size").await, 2.0);
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_never_reaches_the_upstream() {
    let running = Setup::new().proxy(|settings| settings.proxy.limits.max_body = 1000).start().await;
    let mut connection = running.proxy.connect().await;
    connection.write("POST /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("258\r\n{}\r\n", "x".repeat(0x258));
    connection.write(&chunk).await;
    connection.write(&chunk).await;
    let (head, body) = connection.answer().await;
    assert_eq!((head.status, code(&body).as_str()), (413, "body-too-large"));
    assert!(running.sandbox.requests().is_empty());
    let whole = running.proxy.send(request("POST", "/x", "x".repeat(1000))).await;
    assert_eq!(whole.status, 200);
}

#[tokio::test]
async fn a_body_may_have_as_many_bytes_as_the_limit_and_no_more() {
    let running = Setup::new().proxy(|settings| settings.proxy.limits.max_body = 1000).start().await;
    for (length, status) in [(1000, 200), (1001, 413)] {
        let body = "x".repeat(length);
        let chunked = format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
        for rest in [format!("content-length: {length}\r\n\r\n{body}"), chunked] {
            let mut connection = running.proxy.connect().await;
            connection.write(format!("POST /x HTTP/1.1\r\nhost: localhost\r\n{rest}")).await;
            assert_eq!(connection.answer().await.0.status, status, "{length} bytes");
        }
    }
    assert_eq!(running.sandbox.requests().len(), 2);
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_reaches_the_upstream() {
    let running = start().await;
    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        let mut connection = running.proxy.connect().await;
        connection.write(format!("POST /x HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n5\r\nh")).await;
        connection.finish_writing().await;
        let _ = connection.rest().await;
    }
    assert!(running.sandbox.requests().is_empty());
}

async fn with_body_memory(bytes: u64) -> Running {
    Setup::new()
        .in_one_runtime()
        .proxy(move |settings| {
            settings.proxy.limits.max_body = bytes;
            settings.proxy.limits.body_memory = bytes;
        })
        .start()
        .await
}

/// An upload of `length` bytes of which none is sent yet, and which has been admitted.
async fn begin_upload(running: &Running, length: usize) -> Connection {
    let mut connection = running.proxy.connect().await;
    connection
        .write(format!(
            "POST /x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
    assert_eq!(connection.head().await.status, 100);
    connection
}

#[tokio::test]
async fn bodies_beyond_the_memory_for_all_of_them_are_turned_away() {
    let running = with_body_memory(1000).await;
    let mut first = begin_upload(&running, 800).await;
    assert_eq!(running.proxy.metric("countersign_body_memory_bytes").await, 800.0);
    let second = running.proxy.send(request("POST", "/x", "x".repeat(300))).await;
    assert_eq!(second.problem(), problem(503, "overloaded", "connection_limit_reached"));
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(reached(&running, "body-memory").await, 1.0);
    first.write("x".repeat(800)).await;
    assert_eq!(first.answer().await.0.status, 200);
    assert_eq!(running.proxy.metric("countersign_body_memory_bytes").await, 0.0);
    assert_eq!(running.proxy.send(request("POST", "/x", "x".repeat(300))).await.status, 200);
}

#[tokio::test]
async fn memory_of_an_upload_that_is_given_up_is_free_again() {
    let running = with_body_memory(1000).await;
    let upload = begin_upload(&running, 1000).await;
    drop(upload);
    // Within the second that a body waits for room.
    assert_eq!(running.proxy.send(request("POST", "/x", "x".repeat(1000))).await.status, 200);
}

#[tokio::test]
async fn an_upload_that_drips_gives_way_to_others_that_need_its_memory() {
    let running = with_body_memory(1_000_000).await;
    let mut slow = begin_upload(&running, 900_000).await;
    tokio::time::pause();
    for _ in 0..3 {
        slow.write("drop").await;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    tokio::time::resume();
    assert_eq!(running.proxy.send(request("POST", "/x", "x".repeat(500_000))).await.status, 200);
    let (head, body) = slow.answer().await;
    assert_eq!((head.status, code(&body).as_str()), (408, "request-timeout"));
    assert_eq!(running.proxy.metric("countersign_body_memory_bytes").await, 0.0);
}

#[tokio::test]
async fn a_small_upload_that_drips_gives_way_to_nobody_and_has_its_time_from_each_chunk() {
    let running = with_body_memory(100_000).await;
    let mut slow = begin_upload(&running, 16).await;
    tokio::time::pause();
    for _ in 0..3 {
        slow.write("drop").await;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    tokio::time::resume();
    let large = running.proxy.send(request("POST", "/x", "x".repeat(100_000))).await;
    assert_eq!(large.problem(), problem(503, "overloaded", "connection_limit_reached"));
    slow.write("drop").await;
    assert_eq!(slow.answer().await.0.status, 200);
}

#[tokio::test]
async fn a_fast_upload_is_never_cut_for_another() {
    let running = with_body_memory(1_000_000).await;
    let mut first = begin_upload(&running, 900_000).await;
    first.write("x".repeat(899_999)).await;
    let second = running.proxy.send(request("POST", "/x", "x".repeat(500_000))).await;
    assert_eq!(second.problem(), problem(503, "overloaded", "connection_limit_reached"));
    first.write("x").await;
    assert_eq!(first.answer().await.0.status, 200);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_turned_away_at_once() {
    let held = Held::start().await;
    let running = Setup::new()
        .upstream(held.upstream.url())
        .proxy(|settings| settings.proxy.limits.max_in_flight = 1)
        .start()
        .await;
    let (first, ()) = tokio::join!(running.proxy.get("/first"), async {
        soon("the first request", held.arrived.notified()).await;
        assert_eq!(running.proxy.metric("countersign_in_flight_requests").await, 1.0);
        let second = running.proxy.get("/second").await;
        assert_eq!(second.problem(), problem(503, "overloaded", "connection_limit_reached"));
        assert_eq!(second.header("retry-after"), "1");
        assert_eq!(reached(&running, "in-flight").await, 1.0);
        held.release.notify_one();
    });
    assert_eq!(first.text(), "fine");
    assert_eq!(held.upstream.requests().len(), 1);
    held.release.notify_one();
    assert_eq!(running.proxy.get("/third").await.text(), "fine");
}

const GET: &str = "GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn idle_connections_give_way_to_new_ones_longest_idle_first() {
    let running = Setup::new().proxy(|settings| settings.proxy.limits.max_connections = 3).start().await;
    // One that has been used, one that has sent half a head, and one that has sent nothing.
    let mut idle = Vec::new();
    for beginning in [GET, "GET /x HT", ""] {
        let mut connection = running.proxy.connect().await;
        connection.write(beginning).await;
        if beginning == GET {
            assert_eq!(connection.answer().await.0.status, 200);
        }
        idle.push(connection);
    }
    let mut newer = Vec::new();
    for mut longest_idle in idle {
        let mut new = running.proxy.connect().await;
        new.write(GET).await;
        assert_eq!(new.answer().await.0.status, 200);
        assert!(longest_idle.is_closed().await);
        newer.push(new);
    }
    assert_eq!(running.sandbox.requests().len(), 4);
}

#[tokio::test]
async fn a_flood_of_silent_connections_blocks_no_client() {
    let running = Setup::new().proxy(|settings| settings.proxy.limits.max_connections = 16).start().await;
    let mut silent = Vec::new();
    for round in 0..20 {
        for _ in 0..10 {
            silent.push(running.proxy.connect().await);
        }
        let mut asking = running.proxy.connect().await;
        asking.write(GET).await;
        assert_eq!(asking.answer().await.0.status, 200, "round {round}");
    }
    assert!(running.proxy.metric("countersign_connections").await <= 16.0);
}

/// A write that takes longer has met full buffers.
const STALL: Duration = Duration::from_millis(500);

#[tokio::test]
async fn clients_that_pipeline_and_read_no_refusal_block_no_client() {
    let running = Setup::new()
        .proxy(|settings| {
            settings.proxy.limits.max_connections = 8;
            settings.proxy.guard.bearer_token = Some("only-clients-know".into());
        })
        .start()
        .await;
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut connection = running.proxy.connect().await;
        // Until the refusals have filled all buffers on the way.
        let mut more = true;
        while more {
            let written = tokio::time::timeout(STALL, connection.try_write(GET.repeat(100))).await;
            more = written.unwrap_or(false);
        }
        deaf.push(connection);
    }
    let served = async {
        loop {
            let mut owner = running.proxy.connect().await;
            let asks = "GET /x HTTP/1.1\r\nhost: localhost\r\nx-countersign-token: only-clients-know\r\n\r\n";
            owner.write(asks).await;
            // A busy machine may not have found out yet that the others do not read.
            if owner.answer().await.0.status == 200 {
                return;
            }
        }
    };
    soon("a place", served).await;
}

#[tokio::test]
async fn silent_connections_to_the_admin_listener_starve_no_probe() {
    let running = start().await;
    let mut silent = Vec::new();
    for _ in 0..70 {
        silent.push(Connection::open(running.proxy.admin).await);
    }
    assert_eq!(running.proxy.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_get_503_when_none_is_idle() {
    let held = Held::start().await;
    let running = Setup::new()
        .upstream(held.upstream.url())
        .proxy(|settings| settings.proxy.limits.max_connections = 1)
        .start()
        .await;
    let mut first = running.proxy.connect().await;
    first.write(GET).await;
    held.arrived.notified().await;
    let mut second = running.proxy.connect().await;
    second.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (head, body) = second.answer().await;
    assert_eq!((head.status, code(&body).as_str()), (503, "overloaded"));
    assert_eq!(head.field("retry-after"), Some("1"));
    assert_eq!(head.field("connection"), Some("close"));
    assert_eq!(running.proxy.admin("/livez").await.status, 200);
    assert_eq!(running.proxy.metric("countersign_connections").await, 1.0);
    assert_eq!(reached(&running, "connections").await, 1.0);
    held.release.notify_one();
    assert_eq!(first.answer().await.0.status, 200, "it has kept its place");
}

#[tokio::test]
async fn a_client_that_sends_everything_before_it_reads_still_gets_the_refusal() {
    let running = start().await;
    let (length, piece) = (50 * 1024 * 1024, vec![b'x'; 64 * 1024]);
    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
    for (host, status) in [("localhost", 413), ("evil.example", 403)] {
        for (framing, piece) in
            [(format!("content-length: {length}"), &piece), ("transfer-encoding: chunked".to_owned(), &chunk)]
        {
            let mut connection = running.proxy.connect().await;
            connection.write(format!("POST /x HTTP/1.1\r\nhost: {host}\r\n{framing}\r\n\r\n")).await;
            for at in 0..length / (64 * 1024) {
                assert!(connection.try_write(piece).await, "{status} {framing}: cut off at piece {at}");
            }
            let (head, body) = connection.answer().await;
            assert_eq!(head.status, status, "{framing}: {}", String::from_utf8_lossy(&body));
            assert_eq!(head.field("connection"), Some("close"));
        }
    }
    assert!(running.sandbox.requests().is_empty());
}

#[tokio::test]
async fn a_request_that_finds_no_place_keeps_its_connection() {
    let held = Held::start().await;
    let running = Setup::new()
        .upstream(held.upstream.url())
        .proxy(|settings| settings.proxy.limits.max_in_flight = 1)
        .start()
        .await;
    let mut first = running.proxy.connect().await;
    first.write(GET).await;
    held.arrived.notified().await;
    let mut second = running.proxy.connect().await;
    for request in [GET, "POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi", GET] {
        second.write(request).await;
        let (head, body) = second.answer().await;
        assert_eq!((head.status, code(&body).as_str(), head.field("connection")), (503, "overloaded", None));
    }
    held.release.notify_one();
    assert_eq!(first.answer().await.0.status, 200);
    second.write(GET).await;
    held.arrived.notified().await;
    held.release.notify_one();
    assert_eq!(second.answer().await.0.status, 200);
}

#[tokio::test]
async fn only_admitted_requests_get_100_continue() {
    let running = start().await;
    let head = |host: &str| {
        format!("POST /x HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    };
    let mut refused = running.proxy.connect().await;
    refused.write(head("evil.example")).await;
    assert_eq!(refused.answer().await.0.status, 403);
    let mut admitted = running.proxy.connect().await;
    admitted.write(head("localhost")).await;
    assert_eq!(admitted.head().await.status, 100);
    admitted.write("hi").await;
    assert_eq!(admitted.answer().await.0.status, 200);
    let requests = running.sandbox.requests();
    assert_eq!((requests.len(), requests[0].header("expect")), (1, None));
}

// Time passes at once where nothing is left to do: ten and thirty seconds are not waited for.

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_not_waited_for() {
    let running = Setup::new().in_one_runtime().start().await;
    let mut upload = begin_upload(&running, 10).await;
    upload.write("hello").await;
    tokio::time::pause();
    let (head, body) = upload.answer().await;
    assert_eq!((head.status, code(&body).as_str()), (408, "request-timeout"));
    assert_eq!(head.field("connection"), Some("close"));
    assert!(running.sandbox.requests().is_empty());
    tokio::time::resume();
    assert_eq!(reached(&running, "body-time").await, 1.0);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_not_waited_for() {
    const PIECES: usize = 1_000;
    let piece = vec![b'x'; 50_000];
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PIECES * piece.len());
    let upstream = Upstream::start(move |_, mut wire| {
        let (head, piece) = (head.clone(), piece.clone());
        async move {
            wire.request().await;
            wire.write(head).await;
            for _ in 0..PIECES {
                wire.write(&piece).await;
            }
        }
    })
    .await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.timeouts.idle = Duration::from_secs(1))
        .start()
        .await;
    let mut client = running.proxy.connect().await;
    client.write(GET).await;
    assert_eq!(client.head().await.status, 200);
    soon("the end of the connection", async { while reached(&running, "read-time").await < 1.0 {} }).await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_not_waited_for() {
    let running = Setup::new().in_one_runtime().start().await;
    for beginning in ["", "GET /x HTTP/1.1\r\nhost: loc"] {
        let mut connection = running.proxy.connect().await;
        connection.write(beginning).await;
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        let answer = connection.rest_within(Duration::from_secs(60)).await;
        let answer = answer.unwrap_or_else(|| panic!("{beginning:?}: still open after a minute"));
        let answer = String::from_utf8_lossy(&answer);
        // Who has not begun a request is not answered.
        assert!(beginning.is_empty() == answer.is_empty(), "{beginning:?}: {answer}");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(began.elapsed() <= Duration::from_secs(31), "{:?}", began.elapsed());
        tokio::time::resume();
    }
    assert!(running.sandbox.requests().is_empty());
    assert_eq!(reached(&running, "head-time").await, 1.0);
}

#[tokio::test]
async fn a_target_that_is_too_long_for_the_gateway_is_refused() {
    let running = start().await;
    let longest = format!("/{}", "x".repeat(10_240 - "/prod/".len()));
    assert_eq!(running.proxy.get(&longest).await.status, 200);
    let answer = running.proxy.get(&format!("{longest}x")).await;
    assert_eq!(answer.problem(), problem(414, "uri-too-long", "http_request_error"));
    assert_eq!(reached(&running, "head-size").await, 1.0);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let running = start().await;
    let many = |count| (0..count).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    let long = |count| format!("x-long: {}\r\n", "x".repeat(count));
    for fields in [many(100), many(1_000), long(65_536), long(1 << 20)] {
        let mut connection = running.proxy.connect().await;
        connection.write(format!("GET /x HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).await;
        let (head, body) = connection.answer().await;
        assert_eq!((head.status, code(&body).as_str()), (431, "head-too-large"), "{}", fields.len());
    }
    assert!(running.sandbox.requests().is_empty());
    for fields in [many(90), long(60_000)] {
        let mut connection = running.proxy.connect().await;
        connection.write(format!("GET /x HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).await;
        assert_eq!(connection.head().await.status, 200, "{}", fields.len());
    }
}
