//! The log of the built program. At a terminal it is for a person. When nobody reads it, it stops no request, keeps no
//! memory and does not keep the process from ending.
#![cfg(all(target_os = "linux", feature = "sandbox"))]

mod support;

use std::{path::Path, process::Stdio, time::Duration};

use countersign::sandbox::Sandbox;
use support::{
    Connection,
    program::{Program, address, ask, ask_over, folder, sandbox, serve},
    soon,
    upstream::{FINE, Upstream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStdout, Command},
    time::Instant,
};

/// The last line before the log is not read any more.
const READY: &str = "\"message\":\"ready\"";

/// More than a process has after its last second, on a machine with other things to do.
const AT_ONCE: Duration = Duration::from_secs(20);

/// `serve`, whose requests `upstream` answers.
fn serve_to(upstream: &Upstream, sandbox: &Sandbox, folder: &Path) -> Command {
    let mut command = serve(sandbox, folder);
    command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    command
}

async fn answering() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await
}

/// Sends requests whose lines have nine kilobytes each.
async fn send(url: &str, count: usize) {
    let mut connection = Connection::open(address(url)).await;
    let path = format!("/{}", "x".repeat(9_000));
    for _ in 0..count {
        assert_eq!(ask_over(&mut connection, &path).await.0.status, 200);
    }
}

/// What the process has in memory.
fn resident(program: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[tokio::test]
async fn an_unread_log_blocks_neither_requests_nor_shutdown() {
    let (upstream, sandbox, folder) = (answering().await, sandbox().await, folder());
    for signals in [&["TERM"][..], &["TERM", "TERM"], &["TERM", "INT"]] {
        let program = Program::start_unread_after(serve_to(&upstream, &sandbox, folder.path()), READY);
        let url = program.logged("ready", "url").await;
        send(&url, 60).await;
        let start = Instant::now();
        for signal in signals {
            program.signal(signal).await;
        }
        let ended = program.ended().await;
        assert_eq!(ended.code, Some(143), "{signals:?}");
        assert!(start.elapsed() < AT_ONCE, "{signals:?} took {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn unread_log_lines_are_bounded_and_their_loss_is_reported_later() {
    let (upstream, sandbox, folder) = (answering().await, sandbox().await, folder());
    let program = Program::start_unread_after(serve_to(&upstream, &sandbox, folder.path()), READY);
    let url = program.logged("ready", "url").await;
    send(&url, 10).await;
    let before = resident(&program);
    send(&url, 500).await;
    let grown = resident(&program).saturating_sub(before);
    assert!(grown < 8 << 20, "{} KiB", grown >> 10);
    program.read_on();
    let line = program.stderr_line("log lines were dropped").await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert!(line["lines"].as_u64().is_some_and(|lines| lines > 50), "{line}");
    assert_eq!(ask(&url, "/heard-again").await.0.status, 200);
    program.stderr_line("\"request.path\":\"/heard-again\"").await;
    program.signal("TERM").await;
    assert_eq!(program.ended().await.code, Some(143));
}

/// The same command in a terminal of 100 columns, which `script` of util-linux provides.
fn at_a_terminal(command: &Command) -> Command {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().expect("text"))).collect();
    let line = format!("stty cols 100; exec {}", line.join(" "));
    let mut terminal = Command::new("env");
    // Ctrl-C ends the program even where the tests run with SIGINT ignored.
    terminal.args(["--default-signal=INT", "script", "--quiet", "--return", "--command", &line, "/dev/null"]);
    terminal.env_clear().env("PATH", "/usr/bin:/bin");
    terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    terminal.env("COUNTERSIGN_LOG_FORMAT", "auto").env("NO_COLOR", "1");
    terminal.current_dir(command.get_current_dir().expect("a folder"));
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    terminal
}

/// Reads the screen until `words` stand on it.
async fn see(screen: &mut ChildStdout, shown: &mut String, words: &str) {
    while !shown.contains(words) {
        let mut bytes = [0; 4096];
        let read = soon(words, screen.read(&mut bytes)).await.expect("a screen");
        assert_ne!(read, 0, "no {words:?} on the screen: {shown}");
        shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
}

#[tokio::test]
async fn at_a_terminal_no_line_is_wider_than_100_columns() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            if request.starts_with("GET /stage/hangs") {
                return wire.until_client_is_gone().await;
            }
            wire.write(FINE).await;
        }
    })
    .await;
    let (sandbox, folder) = (sandbox().await, folder());
    let mut command = serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", format!("{}/stage", upstream.url()));
    let mut terminal = at_a_terminal(&command).spawn().expect("script");
    let mut keyboard = terminal.stdin.take().expect("piped");
    let mut screen = terminal.stdout.take().expect("piped");
    let mut shown = String::new();
    see(&mut screen, &mut shown, "admin      http://").await;
    see(&mut screen, &mut shown, "\r\n").await;
    let url =
        shown.split_whitespace().skip_while(|word| *word != "listening").nth(1).expect("a URL").to_owned();
    for _ in 0..12 {
        ask(&url, "/hello?secret").await;
    }
    ask(&url, &format!("/{}", "x".repeat(300))).await;
    let mut client = Connection::open(address(&url)).await;
    for origin in ["http://evil.example", "http://evil.example"] {
        client.write(format!("GET / HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\n\r\n")).await;
        assert_eq!(client.answer().await.0.status, 403);
    }
    see(&mut screen, &mut shown, "GET / 403 cross-site").await;
    see(&mut screen, &mut shown, " ×").await;
    client.write("GET /hangs HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    while !upstream.requests().iter().any(|request| request.starts_with("GET /stage/hangs")) {
        tokio::task::yield_now().await;
    }
    for message in ["Waiting for 1 request (up to 25 s). Ctrl-C again to quit now.", "ended at once"] {
        keyboard.write_all(b"\x03").await.expect("a keyboard");
        see(&mut screen, &mut shown, message).await;
    }
    let ended = soon("the end", terminal.wait()).await.expect("a status");
    assert_eq!(ended.code(), Some(130));
    for line in shown.lines() {
        assert!(line.trim_end().chars().count() <= 100, "{line}");
    }
    let count = |words: &str| shown.matches(words).count();
    assert_eq!(count("warning: request refused: Pages of http://evil.example"), 1, "{shown}");
    assert!(count("GET /hello 200 4 B") < 12 && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_refusal_is_logged_once_for_its_cause_with_the_names_that_explain_it() {
    let (upstream, sandbox, folder) = (answering().await, sandbox().await, folder());
    let program = Program::start(serve_to(&upstream, &sandbox, folder.path()));
    let mut client = Connection::open(address(&program.logged("ready", "url").await)).await;
    for _ in 0..3 {
        client.write("GET / HTTP/1.1\r\nhost: localhost:1\r\norigin: http://evil.example\r\n\r\n").await;
        assert_eq!(client.answer().await.0.status, 403);
    }
    let line = program.stderr_line("\"message\":\"request refused\"").await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let fields = ["level", "reason", "origin", "host"].map(|name| line[name].as_str().expect("text"));
    assert_eq!(fields, ["WARN", "cross-site", "http://evil.example", "localhost:1"], "{line}");
    assert!(line["detail"].as_str().is_some_and(|detail| detail.contains("--allow-origin")), "{line}");
    program.signal("TERM").await;
    assert_eq!(program.ended().await.stderr.matches("request refused").count(), 1);
}
