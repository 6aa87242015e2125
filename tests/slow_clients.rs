//! Clients that hold connections and do next to nothing with them.
#![cfg(feature = "sandbox")]

mod support;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, pause, resume, sleep, timeout},
};

use support::{
    Proxy, Setup, soon,
    upstream::{FINE, Upstream},
};

/// So many of each kind; HOSTILE_SLOW says otherwise.
const EACH: usize = 100;

/// The timeout for readers, which is 310 s by default.
const IDLE: Duration = Duration::from_secs(15);

/// The longest of the timeouts is 30 s, for a head; the clock is paused by then, so that the machine's speed has no say.
const ALL_OVER: Duration = Duration::from_secs(120);

/// The answer that slow readers ask for, in bytes.
const LONG: usize = 50_000_000;

static PIECE: &[u8] = &[b'x'; 50_000];

/// What a slow reader's socket takes before it is full, in bytes. The kernel would let it grow to megabytes.
const RECEIVE_BUFFER: u32 = 16 * 1024;

#[derive(Clone, Copy, Debug)]
enum Kind {
    ConnectsOnly,
    OneByte,
    PartOfAHead,
    DrippingHead,
    StalledBody,
    SlowReader,
}

const KINDS: [Kind; 6] = [
    Kind::ConnectsOnly,
    Kind::OneByte,
    Kind::PartOfAHead,
    Kind::DrippingHead,
    Kind::StalledBody,
    Kind::SlowReader,
];

impl Kind {
    fn opening(self) -> &'static str {
        match self {
            Self::ConnectsOnly => "",
            Self::OneByte => "P",
            Self::PartOfAHead | Self::DrippingHead => "GET /x HTTP/1.1\r\nhost: loc",
            Self::StalledBody => "POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf",
            Self::SlowReader => "GET /long HTTP/1.1\r\nhost: localhost\r\n\r\n",
        }
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a buffer");
    socket.connect(address).await.expect("a connection")
}

/// An upstream whose long answer costs it nothing to make: what is measured is the proxy.
async fn upstream() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            if request.starts_with("GET /long ") {
                wire.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n")).await;
                for _ in 0..LONG / PIECE.len() {
                    wire.write(PIECE).await;
                }
            } else {
                wire.write(FINE).await;
            }
        }
    })
    .await
}

/// Holds a connection until the proxy ends it; how long that took.
async fn hold(address: SocketAddr, kind: Kind) -> (Kind, Duration) {
    let began = Instant::now();
    let mut stream = connect(address).await;
    stream.write_all(kind.opening().as_bytes()).await.expect("an open connection");
    let mut byte = [0; 1];
    match kind {
        Kind::DrippingHead => {
            while stream.write_all(b"a").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        }
        // Reads nothing until the proxy has given up, and sees then that the rest is missing.
        Kind::SlowReader => {
            stream.ready(Interest::ERROR).await.expect("an open socket");
            let mut read = Vec::new();
            let _ = stream.read_to_end(&mut read).await;
            assert!(read.len() < LONG, "the whole answer came");
        }
        _ => while matches!(stream.read(&mut byte).await, Ok(1)) {},
    }
    (kind, began.elapsed())
}

/// The median and the 95th percentile of an ordinary client's waiting.
async fn latency(proxy: &Proxy, requests: usize) -> (Duration, Duration) {
    let mut waits = Vec::new();
    for _ in 0..requests {
        let began = Instant::now();
        assert_eq!(proxy.get("/ordinary").await.status, 200);
        waits.push(began.elapsed());
    }
    waits.sort();
    (waits[requests / 2], waits[requests * 95 / 100])
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the number of clients is a knob of this test alone")]
async fn slow_clients_are_cut_off_and_delay_no_other_client() {
    let each = std::env::var("HOSTILE_SLOW").map_or(EACH, |each| each.parse().expect("a number"));
    let upstream = upstream().await;
    let running = Setup::new()
        .in_one_runtime()
        .upstream(upstream.url())
        .proxy(move |settings| {
            settings.proxy.timeouts.idle = IDLE;
            settings.proxy.limits.max_connections = 1024.max(each * KINDS.len() + 10);
            settings.proxy.limits.max_in_flight = 256.max(each + 10);
        })
        .start()
        .await;
    latency(&running.proxy, 50).await;
    let (before, before_95) = latency(&running.proxy, 300).await;
    let mut clients = JoinSet::new();
    for kind in KINDS {
        (0..each).for_each(|_| drop(clients.spawn(hold(running.proxy.address, kind))));
    }
    let all = clients.len();
    soon("all connections", async {
        while running.proxy.metric("countersign_connections").await < all as f64 {}
    })
    .await;
    let (during, during_95) = latency(&running.proxy, 50).await;
    assert!(clients.try_join_next().is_none(), "who waited for a slow client had to wait for its end");
    let ratio = during.as_secs_f64() / before.as_secs_f64();
    println!(
        "{} slow clients; median {before:?} before, {during:?} among them ({ratio:.2} times); 95 % {before_95:?}, {during_95:?}",
        clients.len()
    );
    let mut ends = Vec::new();
    pause();
    let cut_off = timeout(ALL_OVER, async {
        while let Some(end) = clients.join_next().await {
            ends.push(end.expect("no panic"));
        }
    });
    let in_time = cut_off.await.is_ok();
    resume();
    for kind in KINDS {
        let times = ends.iter().filter(|(known, _)| *known as u8 == kind as u8).map(|(_, time)| *time);
        let (count, first, last) = times
            .fold((0, Duration::MAX, Duration::ZERO), |(count, first, last), time| {
                (count + 1, first.min(time), last.max(time))
            });
        println!("{kind:?}: {count} cut off after {first:.1?} to {last:.1?}");
    }
    assert!(in_time, "{} of {all} are cut off", ends.len());
    for (limit, kinds) in [("head-time", 3), ("body-time", 1), ("read-time", 1)] {
        let name = format!("countersign_limits_reached_total{{limit=\"{limit}\"}}");
        assert_eq!(running.proxy.metric(&name).await, (each * kinds) as f64, "{limit}");
    }
    assert_eq!(running.proxy.metric("countersign_in_flight_requests").await, 0.0);
}
