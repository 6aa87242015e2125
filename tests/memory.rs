//! What a download costs in memory, measured in a process that does nothing else.
#![cfg(all(feature = "sandbox", target_os = "linux"))]

mod support;

use support::{Setup, upstream::Upstream};

const MIB: usize = 1 << 20;

/// The memory of this process, in bytes: proxy, sandbox and client together.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a proc file system");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_comes_down_in_flat_memory() {
    const LENGTH: usize = 1024 * MIB;
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
        let chunk = vec![b'x'; MIB];
        for _ in 0..LENGTH / MIB {
            wire.write(&chunk).await;
        }
        wire.until_client_is_gone().await;
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut connection = running.proxy.connect().await;
    connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let head = connection.head().await;
    assert_eq!(head.field("content-length"), Some(LENGTH.to_string().as_str()));
    let (before, mut most) = (resident(), 0);
    for _ in 0..LENGTH / MIB {
        connection.exactly(MIB).await;
        most = most.max(resident());
    }
    assert!(most < before + 64 * MIB, "{before} bytes became {most}");
}
