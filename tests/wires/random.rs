//! Thousands of requests through upstreams that end their connections whenever they like.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    support::{PATIENCE, Setup, tls::Authority},
    upstream::{CANCEL, Framing, HTTP1, HTTP2, NO_ERROR, REFUSED_STREAM, Request, Step, Upstream},
};

const BODY: &str = "0123456789";

/// What comes of a request, by chance.
const ENDS: [&[Step]; 8] = [
    &[Step::Close],
    &[Step::Cut],
    &[Step::Abort],
    &[Step::Head(Framing::Length(10)), Step::Data("01234"), Step::Cut],
    &[Step::Head(Framing::Stream), Step::Data(BODY), Step::Abort],
    &[Step::Head(Framing::Stream), Step::Data("01234"), Step::Close],
    &[Step::Head(Framing::Length(10)), Step::Data(BODY), Step::End, Step::Close],
    &[Step::Head(Framing::Stream), Step::Data(BODY), Step::End, Step::Abort],
];

/// What else may come of one over HTTP/2. No GOAWAY: it would say of later streams, which run beside this one, that they
/// were not begun.
const ENDS_OF_STREAMS: [&[Step]; 4] = [
    &[Step::Reset(NO_ERROR)],
    &[Step::Reset(CANCEL)],
    &[Step::Head(Framing::Stream), Step::Data("01234"), Step::Reset(NO_ERROR)],
    &[Step::Head(Framing::Length(10)), Step::Data("01234"), Step::Reset(REFUSED_STREAM)],
];

#[tokio::test]
async fn no_order_runs_twice_and_no_part_looks_whole_while_connections_end_at_random() {
    // Over HTTP/2 the end of a connection is that of all requests on it.
    let of_streams = [&ENDS[..], &ENDS_OF_STREAMS].concat();
    for (manner, ends, ends_in) in [(HTTP1, ENDS.to_vec(), 40), (HTTP2, of_streams, 200)] {
        let authority = Authority::new();
        let orders: Arc<Mutex<HashMap<Bytes, usize>>> = Arc::default();
        let ran = Arc::clone(&orders);
        let upstream = Upstream::start(&authority, manner, move |request: Request| {
            *ran.lock().expect("no panic").entry(request.body.clone()).or_default() += 1;
            let end = ends.get(rand::random_range(0..ends_in)).copied();
            async move {
                request.play(end.unwrap_or(&[Step::Head(Framing::Length(10)), Step::Data(BODY), Step::End]));
            }
        })
        .await;
        let running = Setup::new().upstream(upstream.url()).trusting(&authority).start().await;
        let running = Arc::new(running);
        let mut clients = JoinSet::new();
        for client in 0..20 {
            let running = Arc::clone(&running);
            clients.spawn(async move {
                let (mut whole, mut broken) = (0, 0);
                for order in 0..50 {
                    let id = format!("{client:02}-{order:03}");
                    let mut connection = running.proxy.connect().await;
                    connection
                        .write(format!(
                            "POST /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 6\r\n\r\n{id}"
                        ))
                        .await;
                    let bytes = connection.rest_within(PATIENCE).await.expect("an end");
                    match is_whole(&String::from_utf8_lossy(&bytes)) {
                        true => whole += 1,
                        false => broken += 1,
                    }
                }
                (whole, broken)
            });
        }
        let all = clients.join_all().await;
        let (whole, broken) = all.iter().fold((0, 0), |(w, b), (whole, broken)| (w + whole, b + broken));
        let orders = orders.lock().expect("no panic");
        let twice: Vec<_> = orders.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{:?}: {twice:?} ran more than once", manner.protocols);
        assert!(whole > 300 && broken > 20, "{:?}: {whole} whole, {broken} broken", manner.protocols);
    }
}

/// Whether an answer has come to its end; one that has is what the upstream said, or says that there is none.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let whole = match length {
        Some(length) => body.len().to_string() == length,
        None => body.ends_with("\r\n0\r\n\r\n"),
    };
    if whole && head.starts_with("HTTP/1.1 200") {
        assert!(body == BODY || body == "A\r\n0123456789\r\n0\r\n\r\n", "{text}");
    }
    whole && head.starts_with("HTTP/1.1 200")
}
