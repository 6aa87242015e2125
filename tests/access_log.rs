//! The line that every request has in the log, however it ended.
#![cfg(feature = "sandbox")]

mod support;

use serde_json::{Value, json};
use support::{
    Connection,
    program::{self, Program, address},
    upstream::Upstream,
};

/// A proxy in front of an upstream that answers no request to `/never`.
async fn start() -> (Program, Upstream, tempfile::TempDir, impl Sized) {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            if request.starts_with("GET /never") {
                return wire.until_client_is_gone().await;
            }
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let (sandbox, folder) = (program::sandbox().await, program::folder());
    let mut command = program::serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    (Program::start(command), upstream, folder, sandbox)
}

async fn connect(program: &Program) -> Connection {
    Connection::open(address(&program.logged("ready", "url").await)).await
}

/// The one line of the request with this id, without its times.
async fn line(program: &Program, id: &str) -> Value {
    let line = program.stderr_line(&format!("\"message\":\"request\",\"request.id\":\"{id}\"")).await;
    let mut line: Value = serde_json::from_str(&line).expect("JSON");
    let fields = line.as_object_mut().expect("an object");
    for varying in ["timestamp", "level", "message", "head_ms", "total_ms"] {
        fields.remove(varying);
    }
    line
}

#[tokio::test]
async fn a_request_whose_client_left_before_its_answer_has_a_line_without_status() {
    let (program, upstream, _folder, _sandbox) = start().await;
    let mut client = connect(&program).await;
    client.write("GET /never?q HTTP/1.1\r\nhost: localhost\r\nx-request-id: left\r\n\r\n").await;
    while upstream.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(client);
    let expected = json!({"request.id": "left", "request.method": "GET", "request.path": "/never", "origin": "proxy",
        "bytes": 0, "aborted": "client"});
    assert_eq!(line(&program, "left").await, expected);
    let metrics = program::ask(&program.logged("ready", "admin").await, "/metrics").await.1;
    let sample = "countersign_http_requests_total{method=\"GET\",status=\"\",origin=\"proxy\"} 1";
    assert!(metrics.contains(sample), "{metrics}");
}

#[tokio::test]
async fn a_refused_head_has_the_method_the_path_and_the_id_that_it_had() {
    let (program, _upstream, _folder, _sandbox) = start().await;
    for (head, id, method, path) in [
        ("PUT /a%zz?secret HTTP/1.1\r\nhost: localhost\r\nX-Request-Id: one\r\n\r\n", "one", "PUT", "/a%zz"),
        ("POST /b HTTP/1.1\r\nx-request-id:two\r\nhost: a\r\nhost: b\r\n\r\n", "two", "POST", "/b"),
        ("POST /c HTTP/3\r\nx-request-id: three\r\n\r\n", "three", "POST", "/c"),
    ] {
        let mut client = connect(&program).await;
        client.write(head).await;
        assert_eq!(client.answer().await.0.status, 400);
        let expected = json!({"request.id": id, "request.method": method, "request.path": path, "status": 400,
            "origin": "proxy", "error": "bad-request", "attempts": 0});
        let mut line = line(&program, id).await;
        line.as_object_mut().expect("an object").remove("bytes");
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn a_tls_handshake_is_logged_as_such() {
    let (program, _upstream, _folder, _sandbox) = start().await;
    let mut client = connect(&program).await;
    client.write(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03").await;
    assert_eq!(client.answer().await.0.status, 400);
    let warning = program.stderr_line("\"reason\":\"tls\"").await;
    assert!(warning.contains("TLS handshake") && warning.contains("WARN"), "{warning}");
}
