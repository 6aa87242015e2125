//! Bytes behind a 101.

use crate::{
    echo,
    support::{
        Setup, soon,
        upstream::Upstream,
        websocket::{handshake, open, switching},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_pass_both_ways() {
    let upstream = echo().await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let (mut client, head) = open(&running.proxy, "/live?a=1", "").await;
    assert_eq!(head.status, 101);
    for length in [1, 125, 65_536, 1 << 20] {
        let sent: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut received = Vec::new();
        for part in sent.chunks(32 << 10) {
            client.write(part).await;
            received.extend(client.exactly(part.len()).await);
        }
        assert!(received == sent, "{length}");
    }
    client.finish_writing().await;
    assert!(client.is_closed().await, "the upstream closes after the client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_handshake_is_held_until_the_answer_and_goes_into_the_tunnel() {
    let upstream = echo().await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut client = running.proxy.connect().await;
    let early = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write(handshake("/live", "") + early).await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.exactly(early.len()).await, early.as_bytes());
    assert_eq!(upstream.requests().len(), 1, "nothing behind a handshake is a request");
    client.write("GET /also HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.exactly(22).await, b"GET /also HTTP/1.1\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_sends_behind_its_answer_arrives() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("") + "hello").await;
            wire.echo().await;
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let (mut client, head) = open(&running.proxy, "/", "").await;
    assert_eq!((head.status, client.exactly(5).await.as_slice()), (101, &b"hello"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_clients_input_passes_and_the_other_direction_goes_on() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            let all = wire.rest().await.expect("a clean end");
            wire.write([b"read to the end: ", all.as_slice()].concat()).await;
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let (mut client, _) = open(&running.proxy, "/", "").await;
    client.write("all").await;
    client.finish_writing().await;
    assert_eq!(client.rest().await.expect("a clean end"), b"read to the end: all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_upstreams_input_passes_and_the_other_direction_goes_on() {
    let (told, mut said) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::start(move |_, mut wire| {
        let told = told.clone();
        async move {
            if wire.request().await.is_some() {
                wire.write(switching("") + "last words").await;
                wire.finish_writing().await;
                told.send(wire.rest().await).expect("heard");
            }
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let (mut client, _) = open(&running.proxy, "/", "").await;
    assert_eq!(client.rest().await.expect("a clean end"), b"last words");
    client.write("heard").await;
    client.finish_writing().await;
    assert_eq!(soon("what was said", said.recv()).await.flatten().as_deref(), Some(&b"heard"[..]));
}
