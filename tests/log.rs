//! The log of the built program, when nobody reads it: it stops no request, keeps no memory and does not keep the
//! process from ending.
#![cfg(all(target_os = "linux", feature = "sandbox"))]

mod support;

use std::{path::Path, time::Duration};

use countersign::sandbox::Sandbox;
use support::{
    Connection,
    program::{Program, address, ask, ask_over, folder, sandbox, serve},
    upstream::{FINE, Upstream},
};
use tokio::{process::Command, time::Instant};

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
async fn a_log_that_nobody_reads_stops_neither_requests_nor_the_end() {
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
async fn lines_that_nobody_reads_are_bounded_and_their_loss_is_told_later() {
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
