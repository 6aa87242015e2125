//! Bytes around a handshake that two parsers might read differently.

use crate::support::{
    Setup,
    upstream::Upstream,
    websocket::{frame, handshake, switching_for},
};

/// Pseudo-random numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A handshake, some of whose bytes may be changed.
fn mutated(numbers: &mut Numbers) -> Vec<u8> {
    let fields = [
        "",
        "content-length: 0\r\n",
        "content-length: 44\r\n",
        "transfer-encoding: chunked\r\n",
        "te: trailers\r\n",
        "expect: 100-continue\r\n",
        "upgrade: h2c\r\n",
        "connection: close\r\n",
        "connection: sec-websocket-key\r\n",
    ];
    let mut bytes = handshake("/ws", fields[numbers.below(fields.len())]).into_bytes();
    let words: [&[u8]; 8] =
        [b"\r\n", b"\n", b",", b" ", b"websocket", b"Upgrade", b"\r\nhost: localhost", b"HTTP/1.0"];
    for _ in 0..numbers.below(4) {
        let at = numbers.below(bytes.len());
        let until = (at + 1 + numbers.below(12)).min(bytes.len());
        match numbers.below(4) {
            0 => drop(bytes.drain(at..until)),
            1 => bytes[at] = b' ' + u8::try_from(numbers.below(94)).expect("a byte"),
            2 => {
                let word = words[numbers.below(words.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                let copy = bytes[at..until].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

/// Each connection of the upstream sees one request: either a handshake, behind which everything is the tunnel's, or a
/// request that is no handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_handshake_is_never_a_request() {
    for agrees in [true, false] {
        let upstream = Upstream::start(move |_, mut wire| async move {
            while let Some(request) = wire.request().await {
                if !request.to_ascii_lowercase().contains("upgrade: websocket") {
                    wire.write(crate::support::upstream::FINE).await;
                } else if agrees {
                    wire.write(switching_for(&request)).await;
                    wire.echo().await;
                    return;
                } else {
                    wire.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
                }
            }
        })
        .await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        let mut numbers = Numbers(7);
        let mut tunnels = 0;
        for _ in 0..200 {
            let bytes = mutated(&mut numbers);
            let before = upstream.requests().len();
            let behind = [frame(1, b"text", Some([1, 2, 3, 4])), SMUGGLED.as_bytes().to_vec()].concat();
            let mut client = running.proxy.connect().await;
            client.try_write([bytes.as_slice(), &behind].concat()).await;
            client.try_finish_writing().await;
            let answer = client.rest().await.unwrap_or_default();
            let text = String::from_utf8_lossy(&answer).into_owned();
            let sent = String::from_utf8_lossy(&bytes).into_owned();
            let seen = upstream.requests().split_off(before);
            let is_tunnel = text.starts_with("HTTP/1.1 101 ");
            tunnels += usize::from(is_tunnel);
            let asked_for_one =
                seen.iter().any(|request| request.to_ascii_lowercase().contains("upgrade: websocket"));
            assert_eq!(is_tunnel, agrees && asked_for_one, "{sent:?}: {text:?}");
            let ends_connection =
                text.split("\r\n\r\n").next().is_some_and(|head| head.contains("connection: close"));
            if asked_for_one || ends_connection {
                let smuggled = seen.iter().filter(|request| request.contains("/smuggled")).count();
                assert_eq!(smuggled, 0, "{sent:?}: {text:?}");
            }
            if is_tunnel {
                assert_eq!(seen.len(), 1, "{sent:?}");
                assert!(answer.ends_with(&behind), "{sent:?}: {text:?}");
            }
        }
        assert!(!agrees || tunnels > 20, "{tunnels} of 200 are handshakes");
    }
}
