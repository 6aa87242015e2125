//! What goes wrong: with collectors, which must cost nobody anything, and with requests.

use std::{sync::Arc, time::Duration};

use countersign::sandbox::{Fault, INVOKE};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{
    Traced,
    collector::{AWHILE, Collector, Manner},
    support::{
        Connection,
        program::{address, ask},
        soon,
        tls::Authority,
        upstream::Upstream,
    },
    took,
};

/// Far below every timeout of an export, far above what a request or an end takes.
const AT_ONCE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_collector_that_is_down_draws_one_warning_and_delays_no_request() {
    let nowhere =
        TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let traced = Traced::start(&format!("http://{nowhere}"), |_| {}).await;
    let begun = Instant::now();
    for number in 0..20 {
        assert_eq!(ask(&traced.url, &format!("/down/{number}")).await.0.status, 200);
    }
    traced.program.stderr_line("spans did not reach the collector").await;
    let log = traced.end().await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(log.matches("spans did not reach the collector").count(), 1, "{log}");
    assert!(log.contains(&format!("\"collector\":\"http://{nowhere}\"")), "{log}");
}

#[tokio::test]
async fn a_collector_that_hangs_delays_neither_requests_nor_the_end() {
    let collector = Collector::start(Manner::Hangs).await;
    let traced = Traced::start(&collector.url(), |command| {
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", "4").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2");
    })
    .await;
    let begun = Instant::now();
    for number in 0..20 {
        assert_eq!(ask(&traced.url, &format!("/hanging/{number}")).await.0.status, 200);
    }
    collector.spans_at_least(1).await;
    let log = traced.end().await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(log.contains("the last spans are lost"), "{log}");
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_the_last_spans() {
    let collector = Collector::start(Manner::Hangs).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    assert_eq!(ask(&traced.url, "/last").await.0.status, 200);
    collector.spans_at_least(1).await;
    let begun = Instant::now();
    traced.program.signal("TERM").await;
    traced.program.stderr_line("draining").await;
    traced.program.signal("INT").await;
    let ended = traced.program.ended().await;
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!ended.stderr.contains("internal error"), "{}", ended.stderr);
}

#[tokio::test]
async fn spans_that_a_collector_has_no_time_for_are_lost_and_counted() {
    let collector = Collector::start(Manner::Hangs).await;
    let traced = Traced::start(&collector.url(), |command| {
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", "4").env("OTEL_EXPORTER_OTLP_TIMEOUT", "200");
    })
    .await;
    assert_eq!(ask(&traced.url, "/taken").await.0.status, 200);
    collector.spans_at_least(1).await;
    for number in 0..20 {
        assert_eq!(ask(&traced.url, &format!("/many/{number}")).await.0.status, 200);
    }
    traced.program.stderr_line("spans were lost").await;
}

#[tokio::test]
async fn a_refusing_collector_is_reported_with_its_status() {
    let collector = Collector::start(Manner::Refuses).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    assert_eq!(ask(&traced.url, "/refused").await.0.status, 200);
    let line = traced.program.stderr_line("the collector refused spans").await;
    assert!(line.contains("\"status\":401"), "{line}");
}

#[tokio::test]
async fn a_partly_accepted_batch_is_reported_with_the_collectors_reason() {
    let collector = Collector::start(Manner::TakesPart).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    assert_eq!(ask(&traced.url, "/old").await.0.status, 200);
    let line = traced.program.stderr_line("the collector refused spans").await;
    assert!(line.contains("\"spans\":1") && line.contains("\"reason\":\"too old\""), "{line}");
}

#[tokio::test]
async fn a_connection_that_the_collector_has_closed_meanwhile_costs_no_span() {
    let collector = Collector::start(Manner::ClosesAfterEachAnswer).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    for number in 1..=5 {
        assert_eq!(ask(&traced.url, &format!("/rested/{number}")).await.0.status, 200);
        collector.spans_at_least(number).await;
        // By then the collector has closed the connection, however busy the machine is.
        sleep(2 * AWHILE).await;
    }
    let log = traced.end().await;
    assert_eq!(collector.spans().len(), 5);
    assert!(!log.contains("collector"), "{log}");
}

#[tokio::test]
async fn a_collector_behind_tls_is_trusted_by_the_file_that_is_named() {
    let authority = Authority::new();
    for protocols in [&["http/1.1"][..], &[]] {
        let collector = Collector::start_behind(Some(authority.acceptor(protocols)), Manner::Answers).await;
        let endpoint = format!("https://{}/somewhere/", collector.address());
        let traced = Traced::start(&endpoint, |command| {
            command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.file());
        })
        .await;
        assert_eq!(ask(&traced.url, "/secret").await.0.status, 200);
        collector.spans_at_least(1).await;
        let head = collector.posts().remove(0).head;
        assert!(head.starts_with("post /somewhere/v1/traces http/1.1\r\n"), "{head}");
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_an_error_in_the_span_of_its_time() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |command| {
        command.env("COUNTERSIGN_RESPONSE_TIMEOUT", "300ms");
    })
    .await;
    for (number, (fault, status, kind)) in
        [(Fault::Hang, 504, "upstream-timeout"), (Fault::Status(500), 500, "500")].into_iter().enumerate()
    {
        traced.sandbox.faults().next(INVOKE, 1, fault);
        assert_eq!(ask(&traced.url, "/failing").await.0.status, status);
        let span = collector.spans_at_least(number + 1).await.remove(number);
        assert_eq!(span.attributes["error.type"], json!(kind), "{span:?}");
        assert!(span.failed);
        if kind == "upstream-timeout" {
            assert!(took(&span) >= Duration::from_millis(300), "{span:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_span_without_an_answer() {
    let collector = Collector::start(Manner::Answers).await;
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let upstream = Upstream::start(move |_, mut wire| {
        let told = Arc::clone(&told);
        async move {
            wire.request().await;
            told.notify_one();
            wire.until_client_is_gone().await;
        }
    })
    .await;
    let traced = Traced::start(&collector.url(), |command| {
        command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    })
    .await;
    let mut connection = Connection::open(address(&traced.url)).await;
    connection.write("GET /gone HTTP/1.1\r\nhost: localhost\r\nx-request-id: gone\r\n\r\n").await;
    soon("the request to arrive", arrived.notified()).await;
    drop(connection);
    let span = collector.spans_at_least(1).await.remove(0);
    assert_eq!(
        span.attributes,
        json!({
            "http.request.method": "GET",
            "url.path": "/gone",
            "url.scheme": "http",
            "server.address": "127.0.0.1",
            "server.port": traced.port(),
            "error.type": "aborted",
            "countersign.request.id": "gone",
            "countersign.aborted": "client",
        })
    );
}
