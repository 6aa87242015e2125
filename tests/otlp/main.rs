//! Spans of requests: what a collector gets, what the API hears of the trace, and what neither costs.
#![cfg(all(feature = "otlp", feature = "sandbox"))]

mod collector;
mod mistakes;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use std::time::Duration;

use collector::{Collector, Manner, Span};
use countersign::{clock::Clock, sandbox::Sandbox};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use support::{
    Connection,
    http::Head,
    program::{Program, address, ask, folder, sandbox, serve},
    upstream::Upstream,
    websocket::{frame, handshake, next_frame, next_frame_up, switching},
};
use tempfile::TempDir;
use tokio::process::Command;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The program in front of a sandbox, exporting to a collector.
struct Traced {
    program: Program,
    url: String,
    sandbox: Sandbox,
    _folder: TempDir,
}

/// `serve` with spans for the collector at `endpoint`, in batches that do not wait long.
fn traced(sandbox: &Sandbox, folder: &TempDir, endpoint: &str) -> Command {
    let mut command = serve(sandbox, folder.path());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_BSP_SCHEDULE_DELAY", "50");
    command
}

impl Traced {
    async fn start(endpoint: &str, change: impl FnOnce(&mut Command)) -> Self {
        let (sandbox, folder) = (sandbox().await, folder());
        let mut command = traced(&sandbox, &folder, endpoint);
        change(&mut command);
        let program = Program::start(command);
        let url = program.logged("ready", "url").await;
        Self { program, url, sandbox, _folder: folder }
    }

    /// Sends a request with these fields, each ended by a line's end.
    async fn send(&self, line: &str, fields: &str) -> (Head, Vec<u8>) {
        let mut connection = Connection::open(address(&self.url)).await;
        connection.write(format!("{line} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).await;
        connection.answer().await
    }

    /// The line in the log of the request for `path`.
    async fn line(&self, path: &str) -> Value {
        let line = self.program.stderr_line(&format!("\"request.path\":\"{path}\"")).await;
        serde_json::from_str(&line).expect("JSON")
    }

    fn port(&self) -> u16 {
        address(&self.url).port()
    }

    /// Ends it, and gives its log.
    async fn end(self) -> String {
        self.program.signal("TERM").await;
        let ended = self.program.ended().await;
        assert_eq!(ended.code, Some(143), "{ended:?}");
        ended.stderr
    }
}

/// The one header of this name that the API got.
fn upward(sandbox: &Sandbox, number: usize, name: &str) -> Option<String> {
    let received = &sandbox.requests()[number];
    let values: Vec<_> = received.headers.iter().filter(|(known, _)| known == name).collect();
    assert!(values.len() <= 1, "{name}: {values:?}");
    values.first().map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

#[tokio::test]
async fn a_request_is_a_span_between_its_callers_and_the_upstreams() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |command| {
        command.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=no");
        command.env("OTEL_SERVICE_NAME", "orders-proxy");
    })
    .await;
    let clock = Clock::system();
    let before = clock.local();
    let fields = format!(
        "traceparent: 00-{TRACE}-{CALLER}-03\r\ntracestate: a=1, b=2\r\ntracestate: c=3\r\nx-request-id: mine\r\n"
    );
    let (head, body) = traced.send("GET /orders/7?q=hush", &fields).await;
    assert_eq!(head.status, 200);
    let span = collector.spans_at_least(1).await.remove(0);
    assert_eq!(
        (span.name.as_str(), span.kind, span.trace_id.as_str(), span.parent_id.as_str(), span.state.as_str()),
        ("GET", SpanKind::Server as i32, TRACE, CALLER, "a=1,b=2,c=3")
    );
    assert!(before <= span.start && span.start < span.end && span.end <= clock.local(), "{span:?}");
    let line = traced.line("/orders/7").await;
    assert_eq!(
        span.attributes,
        json!({
            "http.request.method": "GET",
            "url.path": "/orders/7",
            "url.scheme": "http",
            "http.response.status_code": 200,
            "http.response.body.size": body.len(),
            "server.address": "127.0.0.1",
            "server.port": traced.port(),
            "countersign.request.id": "mine",
            "countersign.origin": "upstream",
            "countersign.attempts": 1,
            "countersign.upstream.status_code": 200,
            "aws.request_id": line["upstream.request_id"],
        })
    );
    assert!(!span.failed);
    assert_eq!(line["trace_id"], TRACE);
    let expected = format!("00-{TRACE}-{}-03", span.span_id);
    assert_eq!(upward(&traced.sandbox, 0, "traceparent"), Some(expected));
    let states = traced.sandbox.requests().remove(0).headers;
    let states: Vec<_> = states.iter().filter(|(name, _)| name == "tracestate").collect();
    assert_eq!(states.len(), 2, "the state passes on as it came");
    let resource = collector.posts()[0].resource();
    assert_eq!(
        (&resource["service.name"], &resource["deployment.environment.name"], &resource["service.version"]),
        (&json!("orders-proxy"), &json!("test"), &json!(env!("CARGO_PKG_VERSION")))
    );
}

#[tokio::test]
async fn a_websocket_is_a_span_below_that_of_its_handshake_which_lasts_as_long() {
    let collector = Collector::start(Manner::Answers).await;
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            next_frame_up(&mut wire).await;
            wire.write(frame(8, &1011_u16.to_be_bytes(), None)).await;
        }
    })
    .await;
    let traced = Traced::start(&collector.url(), |command| {
        command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    })
    .await;
    let mut client = Connection::open(address(&traced.url)).await;
    let fields = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\nx-request-id: live\r\n");
    client.write(handshake("/live?q=hush", &fields)).await;
    assert_eq!(client.head().await.status, 101);
    let request = collector.spans_at_least(1).await.remove(0);
    assert_eq!(request.attributes["http.response.status_code"], 101);
    client.write(frame(1, b"hello", Some([1, 2, 3, 4]))).await;
    assert_eq!(next_frame(&mut client).await.opcode, 8);
    drop(client);
    let spans = collector.spans_at_least(2).await;
    let tunnel = spans.iter().find(|span| span.name == "websocket").expect("a span of the tunnel");
    assert_eq!((tunnel.trace_id.as_str(), &tunnel.parent_id), (TRACE, &request.span_id));
    assert!(tunnel.end > request.end && tunnel.start >= request.start, "{tunnel:?} {request:?}");
    assert_eq!(
        tunnel.attributes,
        json!({
            "url.path": "/live",
            "url.scheme": "http",
            "network.protocol.name": "websocket",
            "server.address": "127.0.0.1",
            "server.port": traced.port(),
            "countersign.request.id": "live",
            "countersign.websocket.closed_by": "upstream",
            "countersign.websocket.close_code": 1011,
            "countersign.websocket.meaning": "internal-error",
            "countersign.websocket.up.messages": 1,
            "countersign.websocket.up.bytes": 11,
            "countersign.websocket.down.messages": 0,
            "countersign.websocket.down.bytes": 4,
            "error.type": "internal-error",
        })
    );
}

#[tokio::test]
async fn a_request_from_no_trace_begins_one() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    for (number, fields) in ["", "traceparent: 00-broken\r\ntracestate: a=1\r\n"].into_iter().enumerate() {
        let path = format!("/first/{number}");
        assert_eq!(traced.send(&format!("GET {path}"), fields).await.0.status, 200);
        let span = collector.spans_at_least(number + 1).await.remove(number);
        assert_eq!((span.parent_id.as_str(), span.state.as_str()), ("", ""));
        let expected = format!("00-{}-{}-01", span.trace_id, span.span_id);
        assert_eq!(upward(&traced.sandbox, number, "traceparent"), Some(expected));
        assert_eq!(upward(&traced.sandbox, number, "tracestate"), None);
        assert_eq!(traced.line(&path).await["trace_id"], span.trace_id);
    }
    let spans = collector.spans();
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
}

#[tokio::test]
async fn a_request_of_an_unsampled_trace_passes_as_it_came() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    let parent = format!("00-{TRACE}-{CALLER}-00");
    let fields = format!("traceparent: {parent}\r\ntracestate: a=1\r\n");
    assert_eq!(traced.send("GET /unsampled", &fields).await.0.status, 200);
    assert_eq!(upward(&traced.sandbox, 0, "traceparent"), Some(parent));
    assert_eq!(upward(&traced.sandbox, 0, "tracestate"), Some("a=1".to_owned()));
    assert_eq!(traced.line("/unsampled").await["trace_id"], TRACE);
    traced.end().await;
    assert!(collector.posts().is_empty(), "{:?}", collector.spans());
}

#[tokio::test]
async fn a_trace_that_the_sampler_does_not_take_is_begun_as_unsampled() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |command| {
        command.env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0");
    })
    .await;
    assert_eq!(ask(&traced.url, "/none").await.0.status, 200);
    let sent = upward(&traced.sandbox, 0, "traceparent").expect("a traceparent");
    let line = traced.line("/none").await;
    assert_eq!(sent.split('-').nth(1), line["trace_id"].as_str());
    assert!(sent.ends_with("-00"), "{sent}");
    let sampled = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
    assert_eq!(traced.send("GET /taken", &sampled).await.0.status, 200);
    traced.end().await;
    let paths: Vec<_> =
        collector.spans().into_iter().map(|span| span.attributes["url.path"].clone()).collect();
    assert_eq!(paths, ["/taken"], "what still waits is sent in the end");
}

#[tokio::test]
async fn a_refused_request_has_a_span_with_the_code() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    let (head, body) = traced.send("BREW /refused?q=hush", "origin: https://evil.example\r\n").await;
    assert_eq!(head.status, 403);
    let problem: Value = serde_json::from_slice(&body).expect("a problem");
    let span = collector.spans_at_least(1).await.remove(0);
    assert_eq!(
        (span.name.as_str(), span.failed, &span.attributes),
        (
            "HTTP",
            false,
            &json!({
                "http.request.method": "_OTHER",
                "url.path": "/refused",
                "url.scheme": "http",
                "http.response.status_code": 403,
                "http.response.body.size": body.len(),
                "server.address": "127.0.0.1",
                "server.port": traced.port(),
                "error.type": "cross-site",
                "countersign.request.id": problem["request_id"],
                "countersign.origin": "proxy",
                "countersign.attempts": 0,
            })
        )
    );
}

#[tokio::test]
async fn no_secret_and_no_query_is_exported() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |command| {
        command
            .env("COUNTERSIGN_BEARER_TOKEN", "client-token-hush")
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=ex%20port");
    })
    .await;
    let fields = "authorization: Bearer client-token-hush\r\ncookie: session=hush\r\nuser-agent: hush\r\n";
    assert_eq!(traced.send("GET /kept?token=hush", fields).await.0.status, 200);
    collector.spans_at_least(1).await;
    let signature = upward(&traced.sandbox, 0, "authorization").expect("a signature");
    let (key, token) =
        (&signature[..40], upward(&traced.sandbox, 0, "x-amz-security-token").expect("a token"));
    let log = traced.end().await;
    assert!(!log.contains("ex port") && !log.contains("ex%20port"), "{log}");
    for post in collector.posts() {
        assert!(post.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", post.head);
        assert!(post.head.contains("\r\nx-key: ex port\r\n"), "{}", post.head);
        assert!(post.head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{}", post.head);
        let exported = String::from_utf8_lossy(&post.body).into_owned();
        for secret in ["hush", "ex port", "Sandbox-password-1", "AWS4-HMAC", key, &token] {
            assert!(!exported.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn long_client_values_are_cut_in_spans() {
    let collector = Collector::start(Manner::Answers).await;
    let traced = Traced::start(&collector.url(), |_| {}).await;
    let (path, state) =
        (format!("/{}", "long".repeat(1_000)), format!("a={0},b={0},c={0},d={0},e={0}", "long".repeat(60)));
    let fields = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: {state}\r\n");
    assert_eq!(traced.send(&format!("GET {path}"), &fields).await.0.status, 200);
    assert_eq!(upward(&traced.sandbox, 0, "tracestate"), Some(state));
    let span = collector.spans_at_least(1).await.remove(0);
    assert_eq!((&span.attributes["url.path"], span.state.as_str()), (&json!(path[..1_024]), ""));
}

/// How long a span took, which a test compares with what it planned.
fn took(span: &Span) -> Duration {
    span.end.duration_since(span.start).expect("an end after the start")
}
