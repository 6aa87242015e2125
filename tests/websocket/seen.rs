//! What the log and the metrics say of a WebSocket.

use serde_json::{Value, json};

use crate::support::{
    Connection, Setup,
    program::{self, Program, address},
    soon,
    upstream::Upstream,
    websocket::{echo, frame, handshake, next_frame, next_frame_up, open, switching},
};

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

fn close(code: u16) -> Vec<u8> {
    frame(8, &code.to_be_bytes(), MASK)
}

/// A proxy in front of `upstream`, and a client behind a handshake with this id.
async fn tunnel(upstream: &Upstream, id: &str) -> (Program, Connection, impl Sized) {
    let (sandbox, folder) = (program::sandbox().await, program::folder());
    let mut command = program::serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    let program = Program::start(command);
    let mut client = Connection::open(address(&program.logged("ready", "url").await)).await;
    client.write(handshake("/live?token=hidden", &format!("x-request-id: {id}\r\n"))).await;
    assert_eq!(client.head().await.status, 101);
    (program, client, (sandbox, folder))
}

/// The line of this kind about the request, without its times.
async fn line(program: &Program, message: &str, id: &str) -> Value {
    let line = program.stderr_line(&format!("\"message\":\"{message}\",\"request.id\":\"{id}\"")).await;
    let mut line: Value = serde_json::from_str(&line).expect("JSON");
    let fields = line.as_object_mut().expect("an object");
    for varying in ["timestamp", "message", "head_ms", "total_ms"] {
        fields.remove(varying);
    }
    line
}

#[tokio::test]
async fn a_websocket_has_a_line_at_its_beginning_and_one_at_its_end() {
    let upstream = echo().await;
    let (program, mut client, _guard) = tunnel(&upstream, "chat").await;
    let begin = line(&program, "request", "chat").await;
    assert_eq!((&begin["status"], &begin["aborted"]), (&json!(101), &Value::Null));
    for (opcode, payload) in [(1, &b"hello"[..]), (2, &[0; 100]), (9, b"ping"), (1, b"")] {
        client.write(frame(opcode, payload, MASK)).await;
        assert_eq!(next_frame(&mut client).await.payload, payload);
    }
    client.write(close(1000)).await;
    assert_eq!(next_frame(&mut client).await.opcode, 8);
    drop(client);
    let expected = json!({
        "level": "INFO", "request.id": "chat", "request.path": "/live", "closed_by": "client", "code": 1000,
        "meaning": "normal", "up.messages": 3, "up.frames": 5, "up.bytes": 141, "up.largest_message": 100,
        "down.messages": 3, "down.frames": 5, "down.bytes": 121, "down.largest_message": 100,
    });
    assert_eq!(line(&program, "websocket closed", "chat").await, expected);
}

#[tokio::test]
async fn the_line_says_what_the_code_of_the_upstream_means_and_what_to_do() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            next_frame_up(&mut wire).await;
            let reason = [&1009_u16.to_be_bytes()[..], b"secret-canary"].concat();
            wire.write(frame(8, &reason, None)).await;
        }
    })
    .await;
    let (program, mut client, _guard) = tunnel(&upstream, "long").await;
    client.write(frame(1, b"too long", MASK)).await;
    assert_eq!(next_frame(&mut client).await.opcode, 8);
    drop(client);
    let line = line(&program, "websocket closed", "long").await;
    let said = ["closed_by", "code", "meaning", "cause", "cure"].map(|name| line[name].clone());
    let expected = json!([
        "upstream",
        1009,
        "message-too-big",
        "API Gateway takes messages of up to 128 KiB in frames of up to 32 KiB",
        "split the message"
    ]);
    assert_eq!(json!(said), expected);
    assert!(!line.to_string().contains("canary"), "a reason is content: {line}");
}

#[tokio::test]
async fn a_client_that_vanishes_has_closed_without_a_close_frame() {
    let upstream = echo().await;
    let (program, client, _guard) = tunnel(&upstream, "gone").await;
    drop(client);
    let line = line(&program, "websocket closed", "gone").await;
    let said = ["closed_by", "code", "meaning", "cause"].map(|name| line[name].clone());
    let cause = "the client closed the connection without a Close frame";
    assert_eq!(json!(said), json!(["client", null, "no-close-frame", cause]));
}

#[tokio::test]
async fn what_api_gateway_would_refuse_is_warned_of_with_its_limit() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            wire.echo().await;
        }
    })
    .await;
    let (program, mut client, _guard) = tunnel(&upstream, "large").await;
    let length = 128 * 1024 + 1_u64;
    let head = [&[0x82, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
    client.write(head).await;
    for (text, bytes, limit) in
        [("frame is longer than 32", length, 32), ("message is longer than 128", length, 128)]
    {
        let line = program.stderr_line(text).await;
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["level"], "WARN");
        assert_eq!((&line["request.id"], &line["direction"]), (&json!("large"), &json!("up")));
        assert_eq!((&line["bytes"], &line["limit"]), (&json!(bytes), &json!(limit * 1024)));
    }
}

#[tokio::test]
async fn a_tunnel_that_carries_something_else_passes_on_and_says_so() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            wire.echo().await;
        }
    })
    .await;
    let (program, mut client, _guard) = tunnel(&upstream, "odd").await;
    client.write(b"\x83\x00 no frames at all").await;
    assert_eq!(client.exactly(19).await, b"\x83\x00 no frames at all");
    drop(client);
    let line = line(&program, "websocket closed", "odd").await;
    let fault = "a frame has a reserved opcode";
    assert_eq!((&line["up.fault"], &line["down.fault"]), (&json!(fault), &json!(fault)));
    assert_eq!((&line["up.bytes"], &line["up.messages"]), (&json!(19), &json!(0)));
}

#[tokio::test]
async fn a_websocket_that_the_proxy_closes_at_its_end_says_so() {
    let upstream = echo().await;
    let (program, mut client, _guard) = tunnel(&upstream, "last").await;
    program.signal("TERM").await;
    assert_eq!(next_frame(&mut client).await.payload[..2], 1001_u16.to_be_bytes());
    client.write(close(1001)).await;
    let line = line(&program, "websocket closed", "last").await;
    let said = ["closed_by", "code", "meaning"].map(|name| line[name].clone());
    assert_eq!(json!(said), json!(["proxy", 1001, "shutdown"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_open_tunnels_and_their_bytes() {
    let upstream = echo().await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let (mut client, _) = open(&running.proxy, "/", "").await;
    client.write(frame(1, b"hello", MASK)).await;
    next_frame(&mut client).await;
    assert_eq!(running.proxy.metric("countersign_tunnels").await, 1.0);
    client.write(close(1000)).await;
    next_frame(&mut client).await;
    drop(client);
    soon("the end of the tunnel", async { while running.proxy.metric("countersign_tunnels").await > 0.0 {} })
        .await;
    for (name, value) in [
        ("countersign_tunnel_bytes_total{direction=\"up\"}", 19.0),
        ("countersign_tunnel_bytes_total{direction=\"down\"}", 11.0),
        ("countersign_tunnel_seconds_count", 1.0),
        ("countersign_http_requests_total{method=\"GET\",status=\"101\",origin=\"upstream\"}", 1.0),
    ] {
        assert_eq!(running.proxy.metric(name).await, value, "{name}");
    }
}
