//! Thousands of requests of which most are malformed.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::{JoinSet, yield_now};

use crate::support::{Connection, Setup, soon};

/// All requests, over as many connections as it takes; HOSTILE_REQUESTS says otherwise.
const REQUESTS: usize = 10_000;

/// Connections at the same time.
const CLIENTS: usize = 64;

/// Hidden in bodies: nothing of it may reach the API.
const DECOY: &str = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Numbers that are the same in each run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits") % end
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Refused, and the connection goes on.
    Denied,
    /// Refused, and the connection ends.
    Refused,
    /// One of the above: it was changed at random.
    Open,
}

fn sound(id: &str, numbers: &mut Numbers) -> Vec<u8> {
    let method = numbers.of(&["POST", "PUT", "PATCH"]);
    let length = DECOY.len();
    let text = match numbers.below(6) {
        0 => format!("GET {id} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        1 => {
            format!("\r\nGET http://localhost{id}?a=%20&b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
        }
        2 => format!("{method} {id} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{DECOY}"),
        3 => format!(
            "{method} {id} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{DECOY}\r\n0\r\n\r\n"
        ),
        4 => format!(
            "{method} {id} HTTP/1.1\r\nhost: localhost\r\nTransfer-Encoding: Chunked\r\n\r\n{length:X};a=\"b\"\r\n{DECOY}\r\n00\r\nx-trailer: 1\r\n\r\n"
        ),
        _ => format!(
            "DELETE {id} HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, x-amz-date, host\r\nx_amz_date: 1\r\ncontent-length: 0\r\n\r\n"
        ),
    };
    text.into_bytes()
}

fn denied(id: &str, numbers: &mut Numbers) -> Vec<u8> {
    let fields = numbers.of(&[
        "host: evil.test",
        "host: 0.0.0.0",
        "host: localhost.evil.test",
        "host: localhost\r\norigin: null",
        "host: localhost\r\norigin: http://evil.test",
        "host: localhost\r\nsec-fetch-site: cross-site",
        "host: localhost\r\nreferer: http://evil.test/",
    ]);
    format!("GET {id} HTTP/1.1\r\n{fields}\r\n\r\n").into_bytes()
}

fn malformed(id: &str, numbers: &mut Numbers) -> Vec<u8> {
    let head = numbers.of(&[
        "POST ID HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 4",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ncontent-length: 4",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4, 4",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ncontent-length: +4",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\u{b}",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ncontent-length : 4",
        "POST ID HTTP/1.1\r\nhost: localhost\r\n content-length: 4",
        "POST ID HTTP/1.1\r\nhost: localhost\r\nx: y\r\n\tcontent-length: 4",
        "POST ID HTTP/1.1\r\nhost: localhost\ncontent-length: 4",
        "POST ID HTTP/1.1\r\nhost: localhost\rcontent-length: 4",
        "POST ID HTTP/1.1\r\nhost: localhost\r\nx: \0",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: xchunked",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked, identity",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\u{c}",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding:\u{b}chunked",
        "POST ID HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity",
        "POST ID HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked",
        "GET ID HTTP/1.1",
        "GET ID HTTP/1.1\r\nhost: localhost\r\nhost: localhost",
        "GET ID HTTP/1.1\r\nhost: a@localhost",
        "GET ID HTTP/1.1\r\nhost: localhost, localhost",
        "GET http://evil.testID HTTP/1.1\r\nhost: localhost",
        "GET ID#a HTTP/1.1\r\nhost: localhost",
        "GET ID%g0 HTTP/1.1\r\nhost: localhost",
        "GET ID\u{7f} HTTP/1.1\r\nhost: localhost",
        "GET ID HTTP/1.1 HTTP/1.1\r\nhost: localhost",
        "GET ID HTTP/2.0\r\nhost: localhost",
        "GET ID\r\nhost: localhost",
        "GET\tID HTTP/1.1\r\nhost: localhost",
        "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost",
        "TRACE ID HTTP/1.1\r\nhost: localhost",
        "GET ID HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade",
        "GET ID HTTP/1.1\r\nhost: localhost\r\nexpect: 200-ok",
        "GET ID HTTP/1.1\r\nhost: localhost\r\norigin: null\r\norigin: http://localhost",
    ]);
    format!("{}\r\n\r\n{DECOY}", head.replace("ID", id)).into_bytes()
}

/// A sound request with some of its bytes changed.
fn mutated(id: &str, numbers: &mut Numbers) -> Vec<u8> {
    // A body that is not framed any more is a request like any other.
    let mut bytes =
        String::from_utf8(sound(id, numbers)).expect("text").replace("/smuggled", "/released").into_bytes();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let until = (at + 1 + numbers.below(6)).min(bytes.len());
        match numbers.below(5) {
            0 => bytes[at] = u8::try_from(numbers.below(256)).expect("a byte"),
            1 => drop(bytes.drain(at..until)),
            2 => {
                let copy = bytes[at..until].to_vec();
                bytes.splice(at..at, copy);
            }
            3 => {
                let piece = numbers.of(&[
                    "\r\n",
                    "\n",
                    "\r",
                    "\0",
                    " ",
                    "\t",
                    ":",
                    "0\r\n\r\n",
                    "\r\n\r\n",
                    "chunked",
                    "%",
                    "#",
                    "content-length: 3\r\n",
                    "transfer-encoding: chunked\r\n",
                    "host: evil.test\r\n",
                    "connection: close\r\n",
                    "expect: 100-continue\r\n",
                    "\u{e4}",
                    "HTTP/1.1",
                    ";",
                    ",",
                ]);
                bytes.splice(at..at, piece.bytes());
            }
            _ => bytes[at] ^= 1 << numbers.below(8),
        }
        if bytes.is_empty() {
            bytes.push(b'x');
        }
    }
    bytes
}

/// What one connection says: anything but the last request has a fate that is known.
fn script(connection: usize) -> (Vec<u8>, Vec<(String, Fate)>) {
    let mut numbers = Numbers::new(connection as u64 + 1);
    let (mut bytes, mut fates) = (Vec::new(), Vec::new());
    let last = numbers.below(5);
    for place in 0..=last {
        let id = format!("/h/{connection}-{place}");
        let (request, fate) = match numbers.below(10) {
            0..=4 if place == last => (mutated(&id, &mut numbers), Fate::Open),
            0..=4 => (malformed(&id, &mut numbers), Fate::Refused),
            5 | 6 => (denied(&id, &mut numbers), Fate::Denied),
            _ => (sound(&id, &mut numbers), Fate::Answered),
        };
        bytes.extend(request);
        fates.push((id, fate));
        if matches!(fate, Fate::Refused | Fate::Open) {
            break;
        }
    }
    (bytes, fates)
}

/// The paths that the API says it was asked for, in the order of the answers.
async fn play(address: std::net::SocketAddr, connection: usize) -> Vec<String> {
    let (bytes, fates) = script(connection);
    let mut numbers = Numbers::new(connection as u64 + 1_000_000);
    let mut client = Connection::open(address).await;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((1 + numbers.below(400)).min(rest.len()));
        if !client.try_write(piece).await {
            break;
        }
        rest = behind;
    }
    let mut answered = Vec::new();
    for (id, fate) in &fates {
        match fate {
            Fate::Open => answered.extend(whatever_comes(&mut client).await),
            Fate::Answered => {
                let (head, body) = client.answer().await;
                assert_eq!(head.status, 200, "{id}: {}", String::from_utf8_lossy(&bytes));
                let path = path_of(&body);
                assert_eq!(path, *id, "the answer to another request");
                answered.push(path);
            }
            Fate::Denied | Fate::Refused => {
                let (head, _) = client.answer().await;
                let expected = if *fate == Fate::Denied { 403..=403 } else { 400..=501 };
                assert!(
                    expected.contains(&head.status),
                    "{id}: {head:?}\n{}",
                    String::from_utf8_lossy(&bytes)
                );
                assert!(
                    head.field("proxy-status").is_some_and(|status| status.contains("error=")),
                    "{head:?}"
                );
                if *fate == Fate::Refused {
                    assert_eq!(head.field("connection"), Some("close"), "{head:?}");
                    assert!(client.rest().await.unwrap_or_default().is_empty());
                }
            }
        }
    }
    answered
}

/// Answers to what was changed at random; one connection may have become several requests, or none.
async fn whatever_comes(client: &mut Connection) -> Vec<String> {
    // A request that has become incomplete would be waited for.
    client.try_finish_writing().await;
    let mut answered = Vec::new();
    loop {
        let Some(head) = client.try_head().await else { return answered };
        if head.status == 100 {
            continue;
        }
        let body = client.body(&head).await;
        if head.status == 200 && head.field("proxy-status").is_none() {
            answered.push(path_of(&body));
        }
    }
}

fn path_of(event: &[u8]) -> String {
    let event: serde_json::Value = serde_json::from_slice(event).expect("the API's echo");
    event["path"].as_str().expect("a path").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
async fn malformed_and_mutated_requests_are_refused_or_forwarded_unambiguously() {
    let wanted = std::env::var("HOSTILE_REQUESTS").map_or(REQUESTS, |count| count.parse().expect("a number"));
    let running =
        Arc::new(Setup::new().sandbox(|settings| settings.recorded_requests = 2 * wanted).start().await);
    let (mut clients, mut next, mut sent) = (JoinSet::new(), 0, 0);
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    while sent < wanted || !clients.is_empty() {
        while sent < wanted && clients.len() < CLIENTS {
            sent += script(next).1.len();
            clients.spawn(play(running.proxy.address, next));
            next += 1;
        }
        let paths = clients.join_next().await.expect("a client").expect("no client fails");
        paths.into_iter().for_each(|path| *answered.entry(path).or_default() += 1);
    }
    soon("the last request", async {
        while running.proxy.metric("countersign_in_flight_requests").await > 0.0 {
            yield_now().await;
        }
    })
    .await;
    let mut received: BTreeMap<String, usize> = BTreeMap::new();
    for request in running.sandbox.requests() {
        let path = request.path().strip_prefix("/prod").expect("the stage").to_owned();
        *received.entry(path).or_default() += 1;
    }
    println!("{sent} requests on {next} connections, {} admitted", received.len());
    let smuggled = received.keys().filter(|path| path.contains("smuggled")).count();
    assert_eq!(smuggled, 0);
    assert!(received.len() > wanted / 10, "{}", received.len());
    // A client that gave up on a request may have left it without an answer; nothing else differs.
    let mut unanswered = 0;
    for (path, count) in &received {
        let known = answered.get(path).copied().unwrap_or_default();
        unanswered +=
            count.checked_sub(known).unwrap_or_else(|| panic!("more answers than requests: {path}"));
    }
    assert!(unanswered <= wanted / 20, "{unanswered} requests went up and were not answered");
    assert!(answered.keys().all(|path| received.contains_key(path)), "an answer to no request");
    assert_eq!(running.proxy.get("/after").await.status, 200);
}
