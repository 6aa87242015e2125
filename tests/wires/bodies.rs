//! Bodies that come down, and what is said of those that do not come whole.

use serde_json::Value;
use tokio::process::Command;

use crate::{
    support::{
        Connection, Setup,
        program::{self, Program, address},
        tls::Authority,
    },
    upstream::{FINE, Framing, HTTP1, HTTP2, Manner, Request, Step, Upstream},
};

const TRAILERS: &[Step] = &[Step::Head(Framing::Stream), Step::Data("fine"), Step::Trailers];

#[tokio::test]
async fn an_answer_with_trailers_costs_neither_of_its_connections() {
    for manner in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let upstream =
            Upstream::start(&authority, manner, |request: Request| async move { request.play(TRAILERS) })
                .await;
        let running = Setup::new().upstream(upstream.url()).trusting(&authority).start().await;
        let mut client = running.proxy.connect().await;
        for accepted in ["te: trailers\r\nconnection: te\r\n", ""] {
            for _ in 0..2 {
                client.write(format!("GET /x HTTP/1.1\r\nhost: localhost\r\n{accepted}\r\n")).await;
                let (head, body) = client.answer().await;
                assert_eq!((head.status, body.as_slice()), (200, &b"fine"[..]));
            }
        }
        assert_eq!(upstream.connections(), 1, "{:?}", manner.protocols);
    }
}

/// Answers without a body whose stream ends in a frame of its own.
#[tokio::test]
async fn an_answer_to_head_over_http_2_is_whole_whenever_its_stream_ends() {
    let program = Running::start(HTTP2, |request: Request| async move {
        request.play(&[Step::Head(Framing::Length(4)), Step::End]);
    })
    .await;
    let mut client = program.connect().await;
    for id in ["first", "second"] {
        client.write(format!("HEAD /x HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\n\r\n")).await;
        assert_eq!(client.head().await.field("content-length"), Some("4"));
        assert_eq!(program.aborted(id).await, Value::Null);
    }
}

#[tokio::test]
async fn a_refused_head_request_is_not_logged_as_aborted() {
    let program = Running::start(HTTP1, |request: Request| async move { request.play(FINE) }).await;
    let mut client = program.connect().await;
    client.write("HEAD /x HTTP/1.1\r\nhost: elsewhere\r\nx-request-id: refused\r\n\r\n").await;
    assert_eq!(client.head().await.status, 403);
    assert_eq!(program.aborted("refused").await, Value::Null);
}

/// A program in front of an upstream.
struct Running {
    program: Program,
    upstream: Upstream,
    _kept: (Authority, tempfile::TempDir, countersign::sandbox::Sandbox),
}

impl Running {
    async fn start<F, S>(manner: Manner, script: F) -> Self
    where
        F: Fn(Request) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::start_with(manner, script, |_| {}).await
    }

    async fn start_with<F, S>(manner: Manner, script: F, change: impl FnOnce(&mut Command)) -> Self
    where
        F: Fn(Request) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let authority = Authority::new();
        let upstream = Upstream::start(&authority, manner, script).await;
        let (sandbox, folder) = (program::sandbox().await, program::folder());
        let mut command = program::serve(&sandbox, folder.path());
        command.env("COUNTERSIGN_UPSTREAM", upstream.url()).env("COUNTERSIGN_CA_FILE", authority.file());
        change(&mut command);
        Self { program: Program::start(command), upstream, _kept: (authority, folder, sandbox) }
    }

    async fn connect(&self) -> Connection {
        Connection::open(address(&self.program.logged("ready", "url").await)).await
    }

    /// What the line of this request says of its end.
    async fn aborted(&self, id: &str) -> Value {
        let line =
            self.program.stderr_line(&format!("\"message\":\"request\",\"request.id\":\"{id}\"")).await;
        serde_json::from_str::<Value>(&line).expect("JSON")["aborted"].take()
    }
}

const ENDLESS: &[Step] = &[Step::Head(Framing::Stream), Step::Data("and so on")];

#[tokio::test]
async fn a_client_that_leaves_in_mid_response_is_logged_as_client() {
    for manner in [HTTP1, HTTP2] {
        let program = Running::start(manner, |request: Request| async move { request.play(ENDLESS) }).await;
        let mut client = program.connect().await;
        client.write("GET /x HTTP/1.1\r\nhost: localhost\r\nx-request-id: left\r\n\r\n").await;
        assert_eq!(client.head().await.status, 200);
        drop(client);
        assert_eq!(program.aborted("left").await, "client");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_logged_as_limit() {
    const MUCH: &str =
        concat!("0123456789abcdef", "0123456789abcdef", "0123456789abcdef", "0123456789abcdef");
    let program = Running::start_with(
        HTTP1,
        |request: Request| async move {
            request.play(&[Step::Head(Framing::Length(1 << 30))]);
            // More than the kernel takes for a client.
            for _ in 0..(16 << 20) / MUCH.len() {
                request.play(&[Step::Raw(MUCH.as_bytes())]);
            }
        },
        |command| {
            command.env("COUNTERSIGN_IDLE_TIMEOUT", "500ms");
        },
    )
    .await;
    let mut client = program.connect().await;
    client.write("GET /x HTTP/1.1\r\nhost: localhost\r\nx-request-id: stalled\r\n\r\n").await;
    assert_eq!(program.aborted("stalled").await, "limit");
}

#[tokio::test]
async fn responses_cut_by_shutdown_are_logged_as_shutdown() {
    let program = Running::start_with(
        HTTP1,
        |request: Request| async move {
            if request.number == 0 {
                request.play(ENDLESS);
            }
        },
        |command| {
            command.env("COUNTERSIGN_DRAIN_TIMEOUT", "100ms");
        },
    )
    .await;
    let mut streaming = program.connect().await;
    streaming.write("GET /x HTTP/1.1\r\nhost: localhost\r\nx-request-id: streaming\r\n\r\n").await;
    assert_eq!(streaming.head().await.status, 200);
    let mut waiting = program.connect().await;
    waiting.write("GET /x HTTP/1.1\r\nhost: localhost\r\nx-request-id: waiting\r\n\r\n").await;
    program.upstream.has_had(2).await;
    program.program.signal("TERM").await;
    assert_eq!(program.aborted("streaming").await, "shutdown");
    assert_eq!(program.aborted("waiting").await, "shutdown");
}
