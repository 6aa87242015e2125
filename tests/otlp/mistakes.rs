//! What the variables say, and what is said of those that are wrong.

use crate::{
    CALLER, TRACE, Traced,
    collector::{Collector, Manner},
    support::program::ask,
    upward,
};

#[tokio::test]
async fn a_mistake_is_a_warning_and_what_is_right_holds() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |command| {
        for (name, value) in [
            ("OTEL_SDK_DISABLED", "hush"),
            ("OTEL_TRACES_SAMPLER", "hush"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "hush"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hush,x-key=right,x y=hush"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_RESOURCE_ATTRIBUTES", "hush"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ] {
            command.env(name, value);
        }
    })
    .await;
    assert_eq!(ask(&traced.url, "/right").await.0.status, 200);
    collector.spans_at_least(1).await;
    assert!(collector.posts()[0].head.contains("\r\nx-key: right\r\n"));
    let log = traced.end().await;
    for warning in [
        "OTEL_SDK_DISABLED is neither true nor false; false is assumed",
        "OTEL_TRACES_SAMPLER is no sampler of this program; parentbased_always_on is used",
        "OTEL_EXPORTER_OTLP_TIMEOUT is not a number from 1 to 3600000; 10000 is used",
        "OTEL_EXPORTER_OTLP_HEADERS has no key=value in place 1; it is left out",
        "OTEL_EXPORTER_OTLP_HEADERS has a header that is none; it is left out",
        "OTEL_EXPORTER_OTLP_COMPRESSION is not none; spans are sent uncompressed",
        "OTEL_RESOURCE_ATTRIBUTES has no key=value in place 1; it is left out",
        "OTEL_BSP_MAX_QUEUE_SIZE is not a number from 1 to 100000; 2048 is used",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is not a number from 1 to 2048; 512 is used",
    ] {
        assert_eq!(log.matches(warning).count(), 1, "{warning}: {log}");
    }
    assert!(!log.contains("hush"), "{log}");
}

#[tokio::test]
async fn an_unusable_span_export_is_reported_once_and_costs_no_request() {
    let parent = format!("00-{TRACE}-{CALLER}-01");
    for (name, value, warning) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "lacks http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hush@localhost", "has a user name in it"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "is not http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "console", "is neither otlp nor none"),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/nowhere/ca.pem",
            "/nowhere/ca.pem cannot be used as trusted roots",
        ),
    ] {
        let traced = Traced::start("http://127.0.0.1:9", |command| {
            command.env(name, value);
        })
        .await;
        let fields = format!("traceparent: {parent}\r\n");
        assert_eq!(traced.send("GET /unexported", &fields).await.0.status, 200);
        assert_eq!(upward(&traced.sandbox, 0, "traceparent").as_ref(), Some(&parent));
        let log = traced.end().await;
        assert_eq!(log.matches(warning).count(), 1, "{warning}: {log}");
        assert!(log.contains("no spans are exported") && !log.contains("hush"), "{log}");
    }
}

#[tokio::test]
async fn nothing_is_exported_where_that_is_said() {
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let collector = Collector::start(Manner::Answers).await;
        let traced = Traced::start(&collector.url(), |command| {
            command.env(name, value);
        })
        .await;
        assert_eq!(ask(&traced.url, "/untraced").await.0.status, 200);
        assert_eq!(upward(&traced.sandbox, 0, "traceparent"), None);
        assert!(traced.line("/untraced").await["trace_id"].is_null());
        let log = traced.end().await;
        assert!(collector.posts().is_empty() && !log.contains("OTEL_"), "{log}");
    }
}

#[tokio::test]
async fn the_endpoint_for_traces_is_taken_as_it_stands() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start("http://127.0.0.1:9", |command| {
        command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/spans/", collector.url()));
    })
    .await;
    assert_eq!(ask(&traced.url, "/there").await.0.status, 200);
    collector.spans_at_least(1).await;
    assert!(collector.posts()[0].head.starts_with("post /spans/ http/1.1\r\n"));
}
