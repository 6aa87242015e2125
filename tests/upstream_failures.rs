//! What a client gets when the upstream does not answer, or answers wrongly.
#![cfg(feature = "sandbox")]

mod support;

use std::{sync::Arc, time::Duration};

use countersign::sandbox::{Fault, INVOKE};
use support::{
    Running, Setup,
    http::{get, problem, request},
    start,
    tls::{Authority, TlsUpstream},
    upstream::{FINE, Upstream},
};
use tokio::{net::TcpListener, sync::Barrier};

async fn in_front_of(upstream: &Upstream) -> Running {
    Setup::new().upstream(upstream.url()).start().await
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_tried_three_times() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let running = Setup::new().upstream(format!("http://{address}")).start().await;
    let answer = running.proxy.send(request("POST", "/x", "hi")).await;
    assert_eq!(answer.problem(), problem(502, "upstream-refused", "connection_refused"));
    assert_eq!(running.proxy.metric("countersign_upstream_retries_total{reason=\"connect\"}").await, 2.0);
}

#[tokio::test]
async fn an_upstream_that_comes_back_between_attempts_is_reached() {
    let running = start().await;
    running.sandbox.stop(countersign::sandbox::Service::Api).await;
    let (answer, restarted) = tokio::join!(
        running.proxy.send(request("POST", "/x", "hi")),
        running.sandbox.restart(countersign::sandbox::Service::Api)
    );
    restarted.expect("the same port");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn an_unknown_host_name_is_reported_as_such() {
    // Longer than a label may be, so that no name server is asked.
    let running = Setup::new().upstream(format!("http://{}.invalid", "x".repeat(64))).start().await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(502, "upstream-dns", "dns_error"));
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_and_nothing_is_sent() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let sandbox = start().await.sandbox;
    let upstream = TlsUpstream::start(&stranger, &["http/1.1"], &sandbox.api_url()).await;
    let running = Setup::new().upstream(upstream.url()).trusting(&authority).start().await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(502, "upstream-tls", "tls_certificate_error"));
    assert_eq!((upstream.connections(), upstream.requests()), (1, 0));
}

async fn over_tls(upstream: &Upstream, connect: Duration) -> (Running, Authority) {
    let authority = Authority::new();
    let running = Setup::new()
        .upstream(upstream.url().replace("http:", "https:"))
        .trusting(&authority)
        .proxy(move |settings| {
            settings.proxy.timeouts.connect = connect;
        })
        .start()
        .await;
    (running, authority)
}

#[tokio::test]
async fn an_upstream_without_tls_is_reported_as_a_tls_failure() {
    let upstream = Upstream::start(|_, mut wire| async move { wire.write("220 mail ready\r\n").await }).await;
    let (running, _authority) = over_tls(&upstream, Duration::from_secs(3)).await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(502, "upstream-tls", "tls_protocol_error"));
}

#[tokio::test]
async fn a_connection_that_is_not_ready_in_time_is_given_up() {
    let upstream = Upstream::start(|_, mut wire| async move { wire.until_client_is_gone().await }).await;
    let (running, _authority) = over_tls(&upstream, Duration::from_millis(200)).await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(504, "upstream-timeout", "connection_timeout"));
}

#[tokio::test]
async fn an_upstream_that_closes_before_its_answer_is_asked_once() {
    let upstream = Upstream::saying(b"").await;
    let running = in_front_of(&upstream).await;
    for method in ["GET", "POST"] {
        let answer = running.proxy.send(request(method, "/x", "")).await;
        assert_eq!(answer.problem(), problem(502, "upstream-closed", "connection_terminated"), "{method}");
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn answers_that_are_not_http_are_not_passed_on() {
    for bytes in [
        &b"220 mail ready\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\n folded: 2\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let upstream = Upstream::saying(bytes).await;
        let running = in_front_of(&upstream).await;
        let answer = running.proxy.get("/x").await;
        let expected = problem(502, "upstream-protocol", "http_protocol_error");
        assert_eq!(answer.problem(), expected, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_given_up() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.until_client_is_gone().await;
    })
    .await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.timeouts.response = Duration::from_millis(200))
        .start()
        .await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(504, "upstream-timeout", "http_response_timeout"));
    upstream.client_gone().await;
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_dead_network_path_costs_one_timeout_for_all_idle_connections() {
    let both = Arc::new(Barrier::new(2));
    let upstream = Upstream::start(move |number, mut wire| {
        let both = Arc::clone(&both);
        async move {
            wire.request().await;
            if number < 2 {
                both.wait().await;
                wire.write(FINE).await;
                wire.until_client_is_gone().await;
            } else {
                wire.write(FINE).await;
            }
        }
    })
    .await;
    let running = Setup::new()
        .in_one_runtime()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.timeouts.response = Duration::from_secs(20))
        .start()
        .await;
    let (one, other) = tokio::join!(running.proxy.get("/one"), running.proxy.get("/other"));
    assert!(one.status == 200 && other.status == 200);
    tokio::time::pause();
    let answer = running.proxy.get("/dead").await;
    tokio::time::resume();
    assert_eq!(answer.problem(), problem(504, "upstream-timeout", "http_response_timeout"));
    assert_eq!(running.proxy.get("/again").await.text(), "fine");
}

/// Answers one request on its first connection and closes on the second; other connections stay good.
async fn closing_when_reused() -> Upstream {
    Upstream::start(|number, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
            if number == 0 {
                wire.request().await;
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_stale_connection_costs_an_idempotent_request_nothing() {
    for method in ["GET", "PUT", "DELETE"] {
        let upstream = closing_when_reused().await;
        let running = in_front_of(&upstream).await;
        assert_eq!(running.proxy.get("/first").await.status, 200);
        let answer = running.proxy.send(request(method, "/second", "")).await;
        assert_eq!(answer.text(), "fine", "{method}");
        assert_eq!((upstream.requests().len(), upstream.connections()), (3, 2), "{method}");
    }
}

#[tokio::test]
async fn a_stale_connection_is_replaced_by_a_new_one_though_others_rest() {
    let both = Arc::new(Barrier::new(2));
    let upstream = Upstream::start(move |number, mut wire| {
        let both = Arc::clone(&both);
        async move {
            wire.request().await;
            if number < 2 {
                both.wait().await;
            }
            wire.write(FINE).await;
            // The next request ends the connection.
            wire.request().await;
        }
    })
    .await;
    let running = in_front_of(&upstream).await;
    tokio::join!(running.proxy.get("/x"), running.proxy.get("/x"));
    assert_eq!(upstream.connections(), 2);
    let answer = running.proxy.get("/x").await;
    assert_eq!((answer.text().as_str(), upstream.connections()), ("fine", 3));
}

#[tokio::test]
async fn a_request_that_may_have_run_is_not_sent_twice() {
    for method in ["POST", "PATCH"] {
        let upstream = closing_when_reused().await;
        let running = in_front_of(&upstream).await;
        assert_eq!(running.proxy.get("/first").await.status, 200);
        let answer = running.proxy.send(request(method, "/second", "once")).await;
        assert_eq!(answer.problem(), problem(502, "upstream-closed", "connection_terminated"), "{method}");
        assert_eq!(upstream.requests().len(), 2, "{method}");
        assert_eq!(running.proxy.get("/third").await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_at_rest_is_not_used() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.write(FINE).await;
        wire.close();
    })
    .await;
    let running = in_front_of(&upstream).await;
    for _ in 0..10 {
        let answer = running.proxy.send(request("POST", "/x", "hi")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        upstream.connection_closed().await;
    }
    assert_eq!(upstream.requests().len(), 10);
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await;
    let running = in_front_of(&upstream).await;
    for _ in 0..10 {
        assert_eq!(running.proxy.get("/x").await.text(), "fine");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn errors_of_the_upstream_are_its_own_byte_for_byte() {
    for status in [400, 404, 409, 429, 500, 502, 503, 504] {
        let running = start().await;
        let answer = running.proxy.get(&format!("/status/{status}")).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json(), serde_json::json!({ "status": status }));
        assert_eq!(answer.header("proxy-status"), "");
        assert_eq!(running.sandbox.calls().count(INVOKE), 1, "{status}");
    }
}

#[tokio::test]
async fn a_throttled_request_is_not_repeated() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\nx-amzn-errortype: TooManyRequestsException\r\n\
          x-amzn-requestid: 1\r\ncontent-length: 27\r\n\r\n{\"message\":\"Rate exceeded\"}",
    )
    .await;
    let running = in_front_of(&upstream).await;
    let answer = running.proxy.get("/x").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "7"));
    assert_eq!(answer.text(), "{\"message\":\"Rate exceeded\"}");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_never_ends_cleanly() {
    for (broken, framed) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"[..], "content-length"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "transfer-encoding"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", "transfer-encoding"),
    ] {
        let upstream = Upstream::saying(broken).await;
        let running = in_front_of(&upstream).await;
        let mut connection = running.proxy.connect().await;
        connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let head = connection.head().await;
        assert!(head.status == 200 && head.field(framed).is_some(), "{head:?}");
        let rest = connection.rest().await.unwrap_or_default();
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains("\r\n0\r\n") && rest.matches("hello").count() <= 1, "{rest:?}");
        assert!(rest.len() < 20, "{rest:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_breaks_off_while_it_is_looked_into_never_ends_cleanly() {
    let refusal = "HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: 1\r\nx-amzn-errortype: InvalidSignatureException\r\n\
        transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let upstream = Upstream::saying(refusal.as_bytes()).await;
    let running = in_front_of(&upstream).await;
    let mut connection = running.proxy.connect().await;
    connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    // The cut may overtake the head: what must not come is an end.
    let rest = connection.rest().await.unwrap_or_default();
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
}

#[tokio::test]
async fn a_refusal_that_is_longer_than_any_gateways_goes_down_as_it_comes() {
    const FIRST: usize = 80 << 10;
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        let head =
            "HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: 1\r\nx-amzn-errortype: ExpiredTokenException\r\n";
        wire.write(format!("{head}content-length: {}\r\n\r\n{}", FIRST + 4, "a".repeat(FIRST))).await;
        // The rest never comes.
        wire.until_client_is_gone().await;
    })
    .await;
    let running = in_front_of(&upstream).await;
    let mut connection = running.proxy.connect().await;
    connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let head = connection.head().await;
    assert_eq!((head.status, head.field("content-length")), (403, Some("81924")));
    assert!(connection.exactly(FIRST).await.iter().all(|&byte| byte == b'a'));
}

#[tokio::test]
async fn an_upstream_that_falls_silent_in_a_body_is_given_up() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        wire.until_client_is_gone().await;
    })
    .await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.timeouts.idle = Duration::from_millis(200))
        .start()
        .await;
    let mut connection = running.proxy.connect().await;
    connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(connection.chunk().await.as_deref(), Some(&b"hello"[..]));
    assert_eq!(connection.chunk().await, None);
    upstream.client_gone().await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_ends_is_passed_on() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.head().await;
        wire.write("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 4\r\n\r\nmuch")
            .await;
        wire.until_client_is_gone().await;
    })
    .await;
    let running = in_front_of(&upstream).await;
    let answer = running.proxy.send(request("POST", "/x", vec![b'x'; 5 << 20])).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (413, "much"));
    assert_eq!(answer.header("proxy-status"), "");
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_whole() {
    for head in ["HTTP/1.0 200 OK", "HTTP/1.1 200 OK\r\nconnection: close"] {
        let upstream = Upstream::start(move |_, mut wire| async move {
            wire.request().await;
            wire.write(format!("{head}\r\n\r\nto the end")).await;
        })
        .await;
        let running = in_front_of(&upstream).await;
        assert_eq!(running.proxy.get("/x").await.text(), "to the end", "{head}");
    }
}

#[tokio::test]
async fn a_problem_in_answer_to_head_has_no_body() {
    let upstream = Upstream::saying(b"").await;
    let running = in_front_of(&upstream).await;
    let mut connection = running.proxy.connect().await;
    for _ in 0..2 {
        connection.write("HEAD /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(connection.head().await.status, 502);
    }
}

#[tokio::test]
async fn problems_carry_the_clients_own_request_id() {
    let upstream = Upstream::saying(b"").await;
    let running = in_front_of(&upstream).await;
    let mut request = get("/x");
    request.headers_mut().insert("x-request-id", "7f-of-the-client".parse().expect("a value"));
    assert_eq!(running.proxy.send(request).await.json()["request_id"], "7f-of-the-client");
    let [one, two] = [running.proxy.get("/x").await, running.proxy.get("/x").await];
    assert_ne!(one.json()["request_id"], two.json()["request_id"]);
}

#[tokio::test]
async fn a_credentials_outage_ends_with_its_cause() {
    let running = start().await;
    running.sandbox.faults().next(INVOKE, 1, Fault::Status(500));
    assert_eq!(running.proxy.send(get("/x")).await.status, 500);
    assert_eq!(running.proxy.send(get("/x")).await.status, 200);
}
