//! How many connections there are, how long they are kept, and what one request's trouble costs the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Barrier, Notify},
    task::JoinSet,
    time,
};

use crate::{
    support::{Answer, Running, Setup, http::get, soon, tls::Authority},
    upstream::{FINE, HTTP1, HTTP2, Manner, Request, Step, Upstream},
};

async fn in_front_of(upstream: &Upstream, authority: &Authority, response: Duration) -> Arc<Running> {
    let running = Setup::new()
        .in_one_runtime()
        .upstream(upstream.url())
        .trusting(authority)
        .proxy(move |settings| {
            settings.proxy.timeouts.response = response;
        })
        .start()
        .await;
    Arc::new(running)
}

const LONG: Duration = Duration::from_secs(60);

/// A response timeout that only [`at_the_timeout`] reaches.
const SHORT: Duration = Duration::from_secs(15);

/// An answer that is made when time is up; it is up at once.
async fn at_the_timeout(answer: impl Future<Output = Answer>) -> Answer {
    time::pause();
    let answer = answer.await;
    time::resume();
    answer
}

/// So many GETs at the same time.
async fn at_once(running: &Arc<Running>, count: usize) -> Vec<Answer> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let running = Arc::clone(running);
        requests.spawn(async move { running.proxy.send(get("/x")).await });
    }
    soon("all answers", requests.join_all()).await
}

fn all_fine(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.text(), "fine");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_under_many_requests_is_replaced_by_one_or_two() {
    let authority = Authority::new();
    let all = Arc::new(Barrier::new(90));
    let upstream = Upstream::start(&authority, HTTP2, move |request: Request| {
        let all = Arc::clone(&all);
        async move {
            if (1..=90).contains(&request.number) {
                all.wait().await;
                request.play(&[Step::Abort]);
            } else {
                request.play(FINE);
            }
        }
    })
    .await;
    let running = in_front_of(&upstream, &authority, LONG).await;
    all_fine(&at_once(&running, 1).await);
    all_fine(&at_once(&running, 90).await);
    assert!(upstream.connections() <= 3, "{} connections", upstream.connections());
}

#[tokio::test]
async fn as_many_streams_are_opened_as_the_upstream_allows() {
    let authority = Authority::new();
    let open: Arc<[AtomicUsize; 40]> = Arc::new([const { AtomicUsize::new(0) }; 40]);
    let manner = Manner { max_streams: Some(4), ..HTTP2 };
    let all = Arc::new(Barrier::new(40));
    let upstream = Upstream::start(&authority, manner, move |request: Request| {
        let (open, all) = (Arc::clone(&open), Arc::clone(&all));
        async move {
            let before = open[request.connection].fetch_add(1, Ordering::SeqCst);
            assert!(before < 4, "a fifth stream");
            all.wait().await;
            open[request.connection].fetch_sub(1, Ordering::SeqCst);
            request.play(FINE);
        }
    })
    .await;
    let running = in_front_of(&upstream, &authority, LONG).await;
    all_fine(&at_once(&running, 40).await);
    assert_eq!(upstream.requests(), 40, "none was refused and sent again");
    assert!(upstream.connections() <= 11, "{} connections", upstream.connections());
}

#[tokio::test]
async fn an_endpoint_that_times_out_costs_the_others_nothing() {
    let authority = Authority::new();
    let go_on = Arc::new(Notify::new());
    let theirs = Arc::clone(&go_on);
    let upstream = Upstream::start(&authority, HTTP2, move |request: Request| {
        let go_on = Arc::clone(&theirs);
        async move {
            match request.number {
                // Begins before the others time out, and ends after them.
                1 => {
                    request.play(&FINE[..1]);
                    go_on.notified().await;
                    request.play(&FINE[1..]);
                }
                2 | 4 | 6 => {}
                _ => request.play(FINE),
            }
        }
    })
    .await;
    let running = in_front_of(&upstream, &authority, SHORT).await;
    all_fine(&at_once(&running, 1).await);
    let mut streaming = running.proxy.connect().await;
    streaming.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let head = streaming.head().await;
    for _ in 0..3 {
        let answer = at_the_timeout(running.proxy.get("/slow")).await;
        assert_eq!(answer.problem().1, "upstream-timeout");
        all_fine(&at_once(&running, 1).await);
    }
    go_on.notify_one();
    assert_eq!(streaming.body(&head).await, b"fine");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_dead_network_path_costs_one_timeout_over_http_2() {
    let authority = Authority::new();
    let manner = Manner { is_deaf: true, ..HTTP2 };
    let upstream = Upstream::start(&authority, manner, |request: Request| async move {
        if request.connection > 0 || request.number == 0 {
            request.play(FINE);
        }
    })
    .await;
    let running = in_front_of(&upstream, &authority, SHORT).await;
    all_fine(&at_once(&running, 1).await);
    let answer = at_the_timeout(running.proxy.get("/dead")).await;
    assert_eq!(answer.problem().1, "upstream-timeout");
    all_fine(&at_once(&running, 10).await);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn idle_upstream_connections_are_closed_without_a_new_request() {
    for (manner, count) in [(HTTP1, 50), (HTTP2, 1)] {
        let authority = Authority::new();
        let all = Arc::new(Barrier::new(50));
        let upstream = Upstream::start(&authority, manner, move |request: Request| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                request.play(FINE);
            }
        })
        .await;
        let running = in_front_of(&upstream, &authority, LONG).await;
        all_fine(&at_once(&running, 50).await);
        assert_eq!(upstream.open(), count, "{:?}", manner.protocols);
        time::pause();
        time::advance(Duration::from_secs(25)).await;
        time::resume();
        upstream.all_closed().await;
    }
}

#[tokio::test]
async fn an_upstream_that_wants_http_1_1_gets_it_from_then_on() {
    let authority = Authority::new();
    let both = Manner { protocols: &["h2", "http/1.1"], ..HTTP2 };
    let upstream = Upstream::start(&authority, both, |request: Request| async move {
        if request.connection == 0 {
            request.play(&[Step::Reset(crate::upstream::HTTP_1_1_REQUIRED)]);
        } else {
            assert!(!request.is_http2(), "it has been told");
            request.play(FINE);
        }
    })
    .await;
    let running = in_front_of(&upstream, &authority, LONG).await;
    all_fine(&at_once(&running, 1).await);
    all_fine(&at_once(&running, 10).await);
    assert_eq!(upstream.requests(), 12, "only the first was refused");
}

#[tokio::test]
async fn an_upstream_that_wanted_http_1_1_is_offered_http_2_again_after_a_while() {
    let authority = Authority::new();
    let both = Manner { protocols: &["h2", "http/1.1"], ..HTTP2 };
    let shared = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&shared);
    let upstream = Upstream::start(&authority, both, move |request: Request| {
        if request.connection == 0 {
            request.play(&[Step::Reset(crate::upstream::HTTP_1_1_REQUIRED)]);
        } else {
            counted.fetch_add(usize::from(request.is_http2()), Ordering::SeqCst);
            request.play(FINE);
        }
        async {}
    })
    .await;
    let running = in_front_of(&upstream, &authority, LONG).await;
    running.proxy.ask_for_minutes(9).await;
    assert_eq!(shared.load(Ordering::SeqCst), 0, "it has been told");
    // Connections made meanwhile are used for up to twelve minutes.
    running.proxy.ask_for_minutes(14).await;
    assert!(shared.load(Ordering::SeqCst) > 0, "it speaks HTTP/1.1 for ever");
    let connections = upstream.connections();
    all_fine(&at_once(&running, 10).await);
    assert_eq!(upstream.connections(), connections, "requests share the connection again");
}
