//! How tunnels end: by silence, with the process, and when a side dies.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{
    echo,
    support::{
        Setup, soon,
        upstream::Upstream,
        websocket::{frame, is_going_away, next_frame, next_frame_up, open, switching},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_closes_both_sides_behind_the_current_frame() {
    let (tx, mut pieces) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |_, mut wire| {
        let tx = tx.clone();
        async move {
            if wire.request().await.is_some() {
                wire.write(switching("")).await;
                tx.send(wire.exactly(HALF).await).expect("heard");
                tx.send(wire.exactly(TEXT_FRAME - HALF).await).expect("heard");
                let close = next_frame_up(&mut wire).await;
                assert!(is_going_away(&close) && close.is_masked, "{close:?}");
                wire.write(frame(8, &1001_u16.to_be_bytes(), None)).await;
                tx.send(wire.rest().await.expect("a clean end")).expect("heard");
            }
        }
    })
    .await;
    let mut running = Setup::new().upstream(upstream.url()).start().await;
    let (mut client, _) = open(&running.proxy, "/", "").await;
    let text = frame(1, b"half and half", Some([1, 2, 3, 4]));
    client.write(&text[..HALF]).await;
    assert_eq!(soon("half a frame", pieces.recv()).await.as_deref(), Some(&text[..HALF]));
    running.proxy.begin_shutdown();
    let close = next_frame(&mut client).await;
    assert!(is_going_away(&close) && !close.is_masked, "{close:?}");
    // The frame that was under way goes up whole, and what follows it does not.
    client.write([&text[HALF..], &frame(1, b"dropped", Some([1, 2, 3, 4]))].concat()).await;
    assert_eq!(soon("the other half", pieces.recv()).await.as_deref(), Some(&text[HALF..]));
    client.write(frame(8, &1001_u16.to_be_bytes(), Some([1, 2, 3, 4]))).await;
    assert!(client.is_closed().await);
    assert_eq!(soon("the end", pieces.recv()).await.as_deref(), Some(&b""[..]));
    running.proxy.ended().await;
}

/// An upstream that answers the handshake and nothing after it.
async fn silent() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            wire.until_client_is_gone().await;
        }
    })
    .await
}

/// The length of a masked frame of 13 bytes of text, and of a part of it.
const TEXT_FRAME: usize = 2 + 4 + 13;
const HALF: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sides_that_do_not_answer_a_close_are_cut_off_when_drain_timeout_elapses() {
    let upstream = silent().await;
    let mut running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.timeouts.drain = Duration::from_millis(10))
        .start()
        .await;
    let (mut client, _) = open(&running.proxy, "/", "").await;
    running.proxy.begin_shutdown();
    running.proxy.ended().await;
    assert!(is_going_away(&next_frame(&mut client).await));
    upstream.client_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_during_a_handshake_lets_it_end_and_closes_the_tunnel() {
    let (asked, mut asking) = mpsc::unbounded_channel();
    let (go, gone) = tokio::sync::watch::channel(false);
    let upstream = Upstream::start(move |_, mut wire| {
        let (asked, mut gone) = (asked.clone(), gone.clone());
        async move {
            if wire.request().await.is_some() {
                asked.send(()).expect("heard");
                gone.wait_for(|gone| *gone).await.expect("told");
                wire.write(switching("")).await;
                wire.until_client_is_gone().await;
            }
        }
    })
    .await;
    let mut running = Setup::new().upstream(upstream.url()).start().await;
    let mut client = running.proxy.connect().await;
    client.write(crate::support::websocket::handshake("/", "")).await;
    soon("the handshake", asking.recv()).await;
    running.proxy.begin_shutdown();
    go.send(true).expect("heard");
    let head = client.head().await;
    assert_eq!((head.status, head.field("connection")), (101, Some("Upgrade")));
    assert!(is_going_away(&next_frame(&mut client).await));
    client.finish_writing().await;
    running.proxy.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_tunnel_is_closed() {
    let upstream = echo().await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.timeouts.websocket_idle = Duration::from_millis(10))
        .start()
        .await;
    let (mut client, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    assert!(is_going_away(&next_frame(&mut client).await));
    client.write(frame(8, &1001_u16.to_be_bytes(), Some([0; 4]))).await;
    client.finish_writing().await;
    assert!(client.rest().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dies_ends_the_connection_to_the_upstream() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            // Does not close in answer to the end of its input.
            wire.rest().await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.limits.max_tunnels = 1)
        .start()
        .await;
    let (client, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    drop(client);
    // The only place is free once the tunnel has ended.
    while open(&running.proxy, "/", "").await.1.status != 101 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_its_handshake_ends_it_at_the_upstream() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.until_client_is_gone().await;
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let mut client = running.proxy.connect().await;
    client.write(crate::support::websocket::handshake("/", "")).await;
    while upstream.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(client);
    upstream.client_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closes_at_the_moment_of_101_closes_the_client() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("") + "bye").await;
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    for _ in 0..50 {
        let (mut client, head) = open(&running.proxy, "/", "").await;
        assert_eq!((head.status, client.exactly(3).await.as_slice()), (101, &b"bye"[..]));
        client.finish_writing().await;
        assert!(client.is_closed().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_is_not_evicted_for_a_new_connection() {
    let upstream = echo().await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.limits.max_connections = 1)
        .start()
        .await;
    let (mut client, _) = open(&running.proxy, "/", "").await;
    let mut second = running.proxy.connect().await;
    assert_eq!(second.head().await.status, 503);
    client.write("still here").await;
    assert_eq!(client.exactly(10).await, b"still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_does_not_wait_for_sides_that_do_not_close() {
    let upstream = silent().await;
    let mut running = Setup::new()
        .upstream(upstream.url())
        // Longer than a test waits.
        .proxy(|settings| settings.proxy.timeouts.drain = Duration::from_secs(3600))
        .start()
        .await;
    let (_client, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    running.proxy.begin_interactive_shutdown();
    running.proxy.ended().await;
}
