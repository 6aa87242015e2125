//! Request bodies that take their time.

use std::time::Duration;

use tokio::time::{self, Instant};

use crate::{
    support::{Running, Setup, http::request, soon, tls::Authority},
    upstream::{FINE, Framing, HTTP1, HTTP2, Manner, Request, Step, Upstream},
};

/// More than the kernel takes before anybody reads it.
const BODY: usize = 10 << 20;

async fn in_front_of(
    upstream: &Upstream,
    authority: &Authority,
    response: Duration,
    idle: Duration,
) -> Running {
    Setup::new()
        .in_one_runtime()
        .upstream(upstream.url())
        .trusting(authority)
        .proxy(move |settings| {
            settings.proxy.timeouts.response = response;
            settings.proxy.timeouts.idle = idle;
        })
        .start()
        .await
}

#[tokio::test]
async fn the_response_has_its_time_from_the_end_of_an_upload_that_takes_longer() {
    for (manner, response) in [(HTTP1, Duration::from_secs(1)), (HTTP2, Duration::from_millis(500))] {
        let authority = Authority::new();
        let slow = Manner { reads_every: Some(Duration::from_millis(12)), ..manner };
        let upstream =
            Upstream::start(&authority, slow, |request: Request| async move { request.play(FINE) }).await;
        let running = in_front_of(&upstream, &authority, response, Duration::from_secs(20)).await;
        time::pause();
        let start = Instant::now();
        let answer = running.proxy.send(request("POST", "/x", vec![b'x'; BODY])).await;
        assert_eq!(answer.text(), "fine", "{:?}", manner.protocols);
        assert!(start.elapsed() > response, "{:?} took {:?}", manner.protocols, start.elapsed());
        assert_eq!(upstream.requests(), 1);
        time::resume();
    }
}

#[tokio::test]
async fn an_upstream_that_stops_reading_is_given_up_after_the_idle_timeout() {
    for manner in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let stuck = Manner { reads_every: Some(Duration::from_secs(3600)), ..manner };
        let upstream =
            Upstream::start(&authority, stuck, |request: Request| async move { request.play(FINE) }).await;
        let idle = Duration::from_millis(300);
        let running = in_front_of(&upstream, &authority, Duration::from_millis(200), idle).await;
        let answer = soon("an answer", running.proxy.send(request("PUT", "/x", vec![b'x'; BODY]))).await;
        assert_eq!(answer.problem().1, "upstream-timeout", "{:?}", manner.protocols);
        assert!(answer.text().contains("idle-timeout"), "{}", answer.text());
        assert_eq!(upstream.connections(), 1, "a request that may have run is not sent again");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_a_whole_upload_is_given_up_after_the_response_timeout() {
    for manner in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let upstream = Upstream::start(&authority, manner, |_| async {}).await;
        let response = Duration::from_millis(300);
        let running = in_front_of(&upstream, &authority, response, Duration::from_secs(3600)).await;
        let answer = soon("an answer", running.proxy.send(request("POST", "/x", vec![b'x'; 1 << 20]))).await;
        assert_eq!(answer.problem().1, "upstream-timeout", "{:?}", manner.protocols);
        assert!(answer.text().contains("response-timeout"), "{}", answer.text());
        assert_eq!(upstream.requests(), 1, "{:?}", manner.protocols);
    }
}

#[tokio::test]
async fn an_answer_in_the_middle_of_an_upload_is_taken_and_ends_the_upload() {
    for manner in [HTTP1, HTTP2] {
        let authority = Authority::new();
        let early = Manner { answers_early: Some(EARLY), ..manner };
        let upstream =
            Upstream::start(&authority, early, |request: Request| async move { request.play(FINE) }).await;
        let running =
            in_front_of(&upstream, &authority, Duration::from_secs(20), Duration::from_secs(20)).await;
        for _ in 0..3 {
            let answer = running.proxy.send(request("POST", "/x", vec![b'x'; BODY])).await;
            assert_eq!(answer.text(), "early", "{:?}", manner.protocols);
        }
        soon("the memory of the bodies to be free", async {
            while running.proxy.metric("countersign_body_memory_bytes").await > 0.0 {}
        })
        .await;
    }
}

const EARLY: &[Step] = &[Step::Head(Framing::Length(5)), Step::Data("early"), Step::End];
