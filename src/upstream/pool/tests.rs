use tokio::{
    io::{DuplexStream, duplex},
    time::{advance, sleep},
};

use super::*;
use crate::upstream::connection::Alert;

const MOMENT: Duration = Duration::from_millis(1);

/// An idle connection, and its other end.
async fn http1(tasks: &Tasks) -> (Http1, DuplexStream) {
    let (io, other_end) = duplex(1024);
    let handshake = http1::Builder::new().handshake(TokioIo::new(io)).await;
    let (sender, driver) = handshake.expect("nothing is sent yet");
    let driver = tasks.spawn(async move { log_end(driver.await) });
    let expires = Instant::now() + Duration::from_secs(600);
    (Http1 { sender, driver, alert: Alert::default(), expires }, other_end)
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_was_given_back_last_is_used_first_within_twenty_seconds() {
    let (tasks, mut connections) = (Tasks::default(), Connections::default());
    let ((one, _one), (two, _two)) = (http1(&tasks).await, http1(&tasks).await);
    let newest = two.driver.id();
    for http1 in [one, two] {
        connections.put_back(http1, Instant::now());
    }
    advance(MAX_IDLE).await;
    let Some(Sender::Http1(used)) = connections.take(None) else {
        panic!("they have not rested for too long")
    };
    assert_eq!(used.driver.id(), newest);
    assert!(connections.take(Some(1)).is_none(), "it may have been closed together with the one that failed");
    advance(MOMENT).await;
    assert!(connections.take(None).is_none() && connections.http1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_connection_is_closed_after_twenty_seconds_of_rest() {
    let (tasks, mut connections) = (Tasks::default(), Connections::default());
    let start = Instant::now();
    let mut other_ends = Vec::new();
    for pause in [0, 5_000, 100] {
        advance(Duration::from_millis(pause)).await;
        let (http1, other_end) = http1(&tasks).await;
        connections.put_back(http1, Instant::now());
        other_ends.push(other_end);
    }
    for (now, left, next) in [
        (12_000, 3, Some(20_000)),
        (19_999, 3, Some(20_999)),
        (20_000, 2, Some(25_000)),
        // Not again for the sake of a tenth of a second.
        (25_000, 1, Some(26_000)),
        (26_000, 0, None),
    ] {
        let now = Duration::from_millis(now);
        let next = next.map(|next| start + Duration::from_millis(next));
        assert_eq!(connections.close_idle(start + now), next, "{now:?}");
        assert_eq!(connections.http1.len(), left, "{now:?}");
    }
}

/// A connection that others may share, and its other end.
async fn http2(tasks: &Tasks, number: u64) -> (Http2, DuplexStream) {
    let (io, other_end) = duplex(64 << 10);
    let connection = http2::Connection::handshake(io, tasks, Arc::default()).await;
    let expires = Instant::now() + Duration::from_secs(600);
    let connection = connection.expect("room for the preface");
    (Http2 { connection, alert: Alert::default(), number, expires }, other_end)
}

#[tokio::test]
async fn a_connection_that_has_failed_or_refused_a_request_is_passed_over_and_no_other() {
    let pool = Pool::default();
    let mut other_ends = Vec::new();
    for number in [1, 2] {
        let (http2, other_end) = http2(&pool.0.tasks, number).await;
        pool.lock().http2.push(http2);
        other_ends.push(other_end);
    }
    let numbers = || pool.lock().http2.iter().map(|http2| http2.number).collect::<Vec<_>>();
    assert!(pool.lock().reserve_stream(2).is_none(), "both may have failed");
    let (stream, alert) = pool.lock().reserve_stream(1).expect("the second has not failed");
    let lease = Lease::new(Sender::Http2(stream, alert), true, pool.clone());
    assert_eq!(numbers(), [1, 2]);
    pool.retire(&lease);
    assert_eq!(numbers(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_is_closed_when_it_has_rested_and_not_while_it_is_used() {
    let (tasks, mut connections) = (Tasks::default(), Connections::default());
    let (http2, _other_end) = http2(&tasks, 1).await;
    connections.http2.push(http2);
    let stream = connections.reserve_stream(0).expect("it is new");
    advance(2 * MAX_IDLE).await;
    assert!(connections.close_idle(Instant::now()).is_some(), "it is used");
    drop(stream);
    assert_eq!(connections.close_idle(Instant::now()), Some(Instant::now() + MAX_IDLE));
    advance(MAX_IDLE).await;
    assert_eq!(connections.close_idle(Instant::now()), None);
    assert!(connections.http2.is_empty());
}

#[tokio::test(start_paused = true)]
async fn connections_are_looked_through_as_long_as_there_are_any() {
    let pool = Pool::default();
    let mut other_ends = Vec::new();
    for (pause, left_before) in [(0, 0), (10, 1), (21, 0), (300, 0), (25, 0)] {
        sleep(Duration::from_secs(pause)).await;
        assert_eq!(pool.lock().http1.len(), left_before, "{pause} s later");
        let (http1, other_end) = http1(&pool.0.tasks).await;
        Lease::new(Sender::Http1(http1), false, pool.clone()).give_back();
        other_ends.push(other_end);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_casts_doubt_on_what_has_answered_nothing_since() {
    let pool = Pool::default();
    let mut other_ends = Vec::new();
    for _ in 0..2 {
        advance(Duration::from_secs(5)).await;
        let (http1, other_end) = http1(&pool.0.tasks).await;
        pool.lock().put_back(http1, Instant::now());
        other_ends.push(other_end);
    }
    let (silent, _other_end) = http1(&pool.0.tasks).await;
    let lease = Lease::new(Sender::Http1(silent), true, pool.clone());
    pool.suspect(&lease, Duration::from_secs(4));
    assert_eq!(pool.lock().http1.len(), 1);
}
