//! What a download and an upload cost in memory, measured in a process that does nothing else.
#![cfg(all(feature = "sandbox", target_os = "linux"))]

mod support;

use countersign::proxy::PayloadSigning;
use support::{Setup, sink::Sink, tls::Authority, upstream::Upstream};
use tokio::sync::Mutex;

/// Held while memory is measured, by one test at a time.
static MEASURING: Mutex<()> = Mutex::const_new(());

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
    let _measuring = MEASURING.lock().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_body_goes_up_in_flat_memory() {
    // More than any buffer on the way, and little enough for TLS in a debug build.
    const LENGTH: usize = 256 * MIB;
    let _measuring = MEASURING.lock().await;
    for protocol in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = Setup::new()
            .upstream(sink.url())
            .trusting(&authority)
            .proxy(|settings| {
                settings.proxy.routes[0].payload = PayloadSigning::Unsigned;
                settings.proxy.limits.max_body = LENGTH as u64;
            })
            .start()
            .await;
        let mut client = running.proxy.connect().await;
        client.write(format!("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
        // Writes as fast as it may: whatever the upstream has not read stands in buffers on the way.
        let writing = async {
            let chunk = vec![b'x'; MIB];
            for _ in 0..LENGTH / MIB {
                client.write(&chunk).await;
            }
            client.answer().await.1
        };
        let reading = async {
            let mut arrival = sink.arrival().await;
            let (before, mut most, mut received, mut measured) = (resident(), 0, 0, 0);
            while let Some(data) = arrival.data().await {
                received += data.expect("a sound body").len();
                if received >= measured + MIB {
                    (most, measured) = (most.max(resident()), received);
                }
            }
            assert_eq!(received, LENGTH, "{protocol}");
            arrival.answer(200, "fine");
            (before, most)
        };
        let (answer, (before, most)) = tokio::join!(writing, reading);
        assert_eq!(answer, b"fine", "{protocol}");
        assert!(most < before + 32 * MIB, "{protocol}: {before} bytes became {most}");
    }
}
