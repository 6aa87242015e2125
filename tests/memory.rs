//! What a download costs in memory, measured in a process that does nothing else.
#![cfg(all(feature = "sandbox", target_os = "linux"))]

mod support;

use countersign::sandbox::pattern;
use support::start;

const MIB: u64 = 1 << 20;

/// The memory of this process, in bytes: proxy, sandbox and client together.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a proc file system");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_comes_down_in_flat_memory() {
    let running = start().await;
    let length = 1024 * MIB;
    let mut connection = running.proxy.connect().await;
    connection.write(format!("GET /bytes/{length} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    let head = connection.head().await;
    assert_eq!(head.field("content-length"), Some(length.to_string().as_str()));
    let (mut left, mut most) = (length, 0);
    let before = resident();
    while left > 0 {
        let step = left.min(MIB);
        let bytes = connection.exactly(step as usize).await;
        if left % (128 * MIB) == 0 {
            assert!(bytes == pattern(length - left, step));
        }
        most = most.max(resident());
        left -= step;
    }
    assert!(most < before + 64 * MIB, "{before} bytes became {most}");
}
