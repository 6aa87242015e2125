//! `countersign ws`: a WebSocket from the command line.

#![cfg(feature = "sandbox")]

mod sandbox_client;
mod support;

use std::process::Stdio;

use bytes::Bytes;
use countersign::sandbox::{CONNECT, Fault, Sandbox};
use http::{Request, StatusCode};
use sandbox_client::{exchange, signed};
use serde_json::Value;
use support::{
    program::{self, Ended},
    soon,
    upstream::Upstream,
    websocket::switching_for,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

fn command(sandbox: &Sandbox, folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = program::signed_in(&[&["ws"], arguments].concat(), sandbox, folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the command with `input` as its whole input.
async fn talk(sandbox: &Sandbox, arguments: &[&str], input: &[u8]) -> Ended {
    let folder = program::folder();
    let mut child = command(sandbox, &folder, arguments).spawn().expect("a program");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writing = async {
        // The program may have ended before it has read everything.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let ending = async { soon("the program to end", child.wait_with_output()).await.expect("a program") };
    let ((), output) = tokio::join!(writing, ending);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended {
        code: output.status.code(),
        left_core: false,
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

#[tokio::test]
async fn lines_become_messages_and_messages_become_lines() {
    let sandbox = program::sandbox().await;
    let ended = talk(&sandbox, &[], b"hello\r\n\n  {\"a\": 1}\nlast").await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout, "hello\n\n  {\"a\": 1}\nlast\n");
}

#[tokio::test]
async fn path_query_headers_and_subprotocols_are_those_that_were_typed() {
    let sandbox = program::sandbox().await;
    let arguments =
        ["/chat?x=1", "--query", "y=a b", "-H", "x-custom: 1", "--protocol", "b", "--protocol", "a"];
    let ended = talk(&sandbox, &arguments, b"hello\n").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "hello\n"), "{}", ended.stderr);
    let requests = sandbox.requests();
    assert_eq!(requests[0].target, "/prod/chat?x=1&y=a%20b");
    assert_eq!(requests[0].header("x-custom"), Some("1"));
    let names = |name: &str| {
        let headers = requests[0].headers.iter().filter(|(known, _)| known == name);
        headers.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>().join(",")
    };
    assert_eq!(names("sec-websocket-protocol"), "b,a");
    assert_eq!(names("sec-websocket-extensions"), "");

    let url = format!("{}/x", sandbox.api_url().replacen("http", "ws", 1));
    assert_eq!(talk(&sandbox, &[&url], b"hello\n").await.stdout, "hello\n");
    for arguments in [&["wss://other.example/prod"][..], &["/", "--protocol", "a b"], &["/", "--wait", "5"]] {
        assert_eq!(talk(&sandbox, arguments, b"").await.code, Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn many_lines_come_back_in_their_order() {
    let sandbox = program::sandbox().await;
    let lines: String =
        (0..10_000).map(|number| format!("{number} {}\n", "x".repeat(number % 300))).collect();
    let ended = talk(&sandbox, &[], lines.as_bytes()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout == lines, "{} of {} bytes", ended.stdout.len(), lines.len());
}

#[tokio::test]
async fn a_line_goes_out_in_frames_that_api_gateway_takes() {
    let sandbox = program::sandbox().await;
    for length in [32 * 1024, 32 * 1024 + 1, 128 * 1024] {
        // Two bytes each, so that frames end inside a character.
        let line = format!("x{}\n", "\u{e4}".repeat(length / 2 - 1));
        let ended = talk(&sandbox, &[], line.as_bytes()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout == line, "{} of {} bytes", ended.stdout.len(), line.len());
    }
}

#[tokio::test]
async fn the_code_of_the_api_is_said_with_its_meaning_and_decides_the_exit_code() {
    let sandbox = program::sandbox().await;
    let close = |code: u16| format!("{{\"action\":\"close\",\"code\":{code},\"reason\":\"bye\"}}\n");
    for (code, exit_code, meaning) in [
        (1000, 0, "has done its work"),
        (1001, 0, "going away"),
        (1011, 1, "failed while it handled a message"),
        (4001, 1, "the application defines"),
    ] {
        let ended = talk(&sandbox, &["--wait", "1m"], close(code).as_bytes()).await;
        assert_eq!(ended.code, Some(exit_code), "{}", ended.stderr);
        let start = format!("countersign: the API closed the connection with {code} (\"bye\"): ");
        assert!(ended.stderr.starts_with(&start) && ended.stderr.contains(meaning), "{}", ended.stderr);
    }
    let too_long = talk(&sandbox, &["--wait", "1m"], &[b'x'; 128 * 1024 + 1]).await;
    assert_eq!(too_long.code, Some(1));
    assert!(
        too_long.stderr.contains("with 1009") && too_long.stderr.contains("tip: split the message"),
        "{}",
        too_long.stderr
    );
    sandbox.faults().next(CONNECT, 1, Fault::CloseAfter { messages: 1, code: 1006 });
    let lost = talk(&sandbox, &["--wait", "1m"], b"hello\n").await;
    assert_eq!((lost.code, lost.stdout.as_str()), (Some(1), "hello\n"));
    assert!(lost.stderr.contains("without a Close frame"), "{}", lost.stderr);
}

#[tokio::test]
async fn a_refused_handshake_prints_the_answer_and_its_meaning() {
    let sandbox = program::sandbox().await;
    sandbox.faults().next(CONNECT, 1, Fault::error("ForbiddenException", "Forbidden"));
    let refused = talk(&sandbox, &[], b"hello\n").await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(22), "{\"message\":\"Forbidden\"}"));
    assert!(refused.stderr.contains("answered 403 Forbidden and opened no WebSocket"), "{}", refused.stderr);
    assert!(refused.stderr.contains("tip: "), "{}", refused.stderr);
    sandbox.faults().next(CONNECT, 1, Fault::Status(500));
    let explained = talk(&sandbox, &["-v"], b"").await;
    assert_eq!(explained.code, Some(22));
    assert!(explained.stderr.contains("canonical request"), "{}", explained.stderr);
    assert!(!explained.stderr.contains("IQoJb3JpZ2lu"), "{}", explained.stderr);
}

#[tokio::test]
async fn a_101_for_another_key_is_refused() {
    let sandbox = program::sandbox().await;
    sandbox.faults().next(CONNECT, 1, Fault::WrongAccept);
    let wrong = talk(&sandbox, &[], b"hello\n").await;
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""));
    assert!(wrong.stderr.contains("Sec-WebSocket-Accept"), "{}", wrong.stderr);
}

#[tokio::test]
async fn frames_that_the_api_may_not_send_end_the_program_with_what_is_wrong() {
    let sandbox = program::sandbox().await;
    for (frame, wrong) in [
        (&b"\x81\x01\xFF"[..], "the API sent a text message that is not UTF-8"),
        (b"\xC1\x01x", "the API broke the WebSocket protocol: Reserved bits are non-zero"),
        (
            b"\x82\x7F\0\0\0\0\x06\x40\0\0",
            "the API sent a message or frame of 104857600 bytes; ws takes at most 16777216",
        ),
    ] {
        let upstream = Upstream::start(move |_, mut wire| async move {
            if let Some(request) = wire.request().await {
                wire.write([switching_for(&request).as_bytes(), frame].concat()).await;
                wire.until_client_is_gone().await;
            }
        })
        .await;
        let ended = talk(&sandbox, &["--upstream", &upstream.url(), "--wait", "1m"], b"").await;
        assert_eq!((ended.code, ended.stderr), (Some(1), format!("countersign: {wrong}\n")));
    }
}

#[tokio::test]
async fn an_api_that_stops_reading_ends_the_program() {
    let sandbox = program::sandbox().await;
    let upstream = Upstream::start(|_, mut wire| async move {
        if let Some(request) = wire.request().await {
            wire.write(switching_for(&request)).await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    // More than the kernel takes for a socket that nobody reads.
    let input = format!("{}\n", "x".repeat(1 << 20)).repeat(64);
    let arguments = ["--upstream", &upstream.url(), "--idle-timeout", "100ms"];
    let ended = talk(&sandbox, &arguments, input.as_bytes()).await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "countersign: the API took none of a message in time (idle-timeout)\n");
}

#[tokio::test]
async fn what_is_no_text_is_not_sent() {
    let sandbox = program::sandbox().await;
    let ended = talk(&sandbox, &[], b"\xFF\n").await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is not UTF-8"), "{}", ended.stderr);
}

#[tokio::test]
async fn messages_that_nobody_asked_for_are_printed_until_the_api_closes() {
    let sandbox = program::sandbox().await;
    let folder = program::folder();
    let mut child = command(&sandbox, &folder, &["--wait", "1m"]).spawn().expect("a program");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    stdin.write_all(b"{\"action\":\"event\"}\n").await.expect("a reader");
    let mut event = String::new();
    let id = soon("an event", async {
        loop {
            event.push_str(&lines.next_line().await.expect("text").expect("a line"));
            if let Ok(event) = serde_json::from_str::<Value>(&event) {
                break event["requestContext"]["connectionId"].as_str().expect("an id").replace('=', "%3D");
            }
        }
    })
    .await;
    drop(stdin);
    let manage = async |method: &str, body: &'static [u8]| {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/@connections/{id}", sandbox.api_url()))
            .body(Bytes::from_static(body))
            .expect("a request");
        let guest = sandbox.issue_credentials(std::time::Duration::from_secs(900));
        exchange(signed(&sandbox, &guest, request)).await.status
    };
    assert_eq!(manage("POST", b"pushed").await, StatusCode::OK);
    assert_eq!(lines.next_line().await.expect("text").as_deref(), Some("pushed"));
    assert_eq!(manage("POST", b"\xFF").await, StatusCode::OK);
    assert_eq!(lines.next_line().await.expect("text").as_deref(), Some("binary: /w=="));
    assert_eq!(manage("DELETE", b"").await, StatusCode::NO_CONTENT);
    assert_eq!(soon("the end", child.wait()).await.expect("a status").code(), Some(0));
}

#[tokio::test]
async fn a_signal_ends_the_program_with_its_code() {
    let sandbox = program::sandbox().await;
    let folder = program::folder();
    let mut child = command(&sandbox, &folder, &[]).spawn().expect("a program");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    stdin.write_all(b"hello\n").await.expect("a reader");
    assert_eq!(soon("an echo", lines.next_line()).await.expect("text").as_deref(), Some("hello"));
    let pid = child.id().expect("a running program").to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.expect("kill").success());
    assert_eq!(soon("the end", child.wait()).await.expect("a status").code(), Some(130));
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_program_without_a_complaint() {
    let sandbox = program::sandbox().await;
    let folder = program::folder();
    let command = command(&sandbox, &folder, &[]);
    let ended = program::run(program::through_shell(&command, "yes | \"$@\" | head -n 1")).await;
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "y\n", ""));
}
