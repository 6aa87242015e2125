//! More bodies than there is memory for, at the built program, whose memory is its own.

use std::{fs, net::SocketAddr, sync::Arc};

use countersign::sandbox;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{
    program::{Program, serve},
    soon,
};

const MIB: usize = 1024 * 1024;

/// `body-memory`, in MiB.
const BUDGET: usize = 64;

/// What the process may need besides, in MiB.
const BESIDES: usize = 64;

/// The most memory that a process has had resident, in MiB.
fn peak(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

/// Starts the program against a sandbox that remembers next to nothing.
async fn start() -> (sandbox::Sandbox, tempfile::TempDir, Program, SocketAddr) {
    let settings = sandbox::Settings { recorded_requests: 1, ..sandbox::Settings::default() };
    let sandbox = sandbox::start(settings).await.expect("free ports");
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::start(serve(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
    (sandbox, folder, program, address)
}

/// Sends a request and reads at the same time, as a client must that may be refused; the status of the answer.
async fn upload(address: SocketAddr, head: String, piece: Arc<[u8]>, times: usize) -> Option<u16> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut reader, mut writer) = stream.into_split();
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        let mut taken = writer.write_all(head.as_bytes()).await.is_ok();
        for _ in 0..times {
            taken = taken && writer.write_all(&piece).await.is_ok();
        }
        if taken {
            // A closed half would end the request.
            std::future::pending::<()>().await;
        }
    });
    let mut answer = Vec::new();
    while answer.len() < 12 {
        let mut some = [0; 1024];
        match reader.read(&mut some).await {
            Ok(read @ 1..) => answer.extend_from_slice(&some[..read]),
            Ok(0) | Err(_) => return None,
        }
    }
    std::str::from_utf8(&answer[9..12]).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_large_uploads_stay_within_the_memory_for_bodies() {
    let (_sandbox, _folder, program, address) = start().await;
    let before = peak(program.id());
    let piece: Arc<[u8]> = vec![b'x'; 64 * 1024].into();
    let mut uploads = JoinSet::new();
    for number in 0..200 {
        let head =
            format!("POST /{number} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 10 * MIB);
        uploads.spawn(upload(address, head, Arc::clone(&piece), 10 * MIB / piece.len()));
    }
    let answers = soon("an end of each upload", uploads.join_all()).await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    let (fine, full, cut) = (count(Some(200)), count(Some(503)), count(None));
    let after = peak(program.id());
    println!(
        "200 uploads of 10 MiB: {fine} accepted, {full} told 503, {cut} cut; {before} MiB before, {after} MiB at most"
    );
    assert_eq!(fine + full + cut, 200, "{answers:?}");
    assert!(fine >= BUDGET / 10 && full > 0 && cut <= 10);
    assert!(after <= BUDGET + BESIDES, "{after} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_the_smallest_chunks_costs_what_it_holds() {
    let (_sandbox, _folder, program, address) = start().await;
    let before = peak(program.id());
    let piece: Arc<[u8]> = b"1\r\nx\r\n".repeat(1024).into();
    let mut uploads = JoinSet::new();
    for number in 0..8 {
        let head =
            format!("POST /{number} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
        uploads.spawn(upload(address, head, Arc::clone(&piece), 64));
    }
    // None of them ends: all that has come is held, until the client has been silent for too long.
    let answers = soon("an end of each upload", uploads.join_all()).await;
    let after = peak(program.id());
    println!("8 bodies of 64 Ki chunks of a byte: {before} MiB before, {after} MiB at most");
    assert_eq!(answers, [Some(408); 8]);
    assert!(after <= before + 24, "{before} MiB, {after} MiB");
}
