//! Refusals of a handshake that the proxy cures by itself, and those that it explains.

use std::time::Duration;

use countersign::clock::Clock;

use crate::support::{
    Setup, WrongClock,
    upstream::Upstream,
    websocket::{open, switching},
};

/// An API that refuses the first handshake with `refusal` and agrees to the next.
async fn refusing_once(refusal: String) -> Upstream {
    Upstream::start(move |number, mut wire| {
        let refusal = refusal.clone();
        async move {
            if wire.request().await.is_some() {
                wire.write(if number == 0 { refusal } else { switching("") }).await;
                wire.until_client_is_gone().await;
            }
        }
    })
    .await
}

fn refusal(error_type: &str, fields: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: 1\r\nx-amzn-errortype: {error_type}\r\n{fields}\
         content-length: {}\r\n\r\n{text}",
        text.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_credentials_cost_one_hidden_handshake() {
    let text = "The security token included in the request is expired";
    let upstream = refusing_once(refusal("ExpiredTokenException", "", text)).await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let (_client, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    let [first, second] = upstream.requests().try_into().expect("two handshakes");
    let token = |request: &str| {
        request.lines().find(|line| line.starts_with("x-amz-security-token")).map(str::to_owned)
    };
    assert_ne!(token(&first), token(&second));
    assert_eq!(running.proxy.metric("countersign_upstream_retries_total{reason=\"credentials\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_costs_one_hidden_handshake() {
    let date = httpdate::fmt_http_date(Clock::system().local());
    let text = "Signature not yet current: x is still later than y";
    let upstream =
        refusing_once(refusal("InvalidSignatureException", &format!("date: {date}\r\n"), text)).await;
    let clock = WrongClock::default();
    let running = Setup::new().clock(clock.clock()).upstream(upstream.url()).start().await;
    clock.set(900);
    let (_client, head) = open(&running.proxy, "/", "").await;
    assert_eq!((head.status, upstream.requests().len()), (101, 2));
    let offset = running.proxy.metric("countersign_clock_offset_seconds").await;
    assert!((offset + 900.0).abs() < 60.0, "{offset}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_refused_is_tried_again_and_nothing_that_was_sent_is() {
    let upstream = Upstream::saying(b"").await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.timeouts.response = Duration::from_secs(5))
        .start()
        .await;
    let (_client, head) = open(&running.proxy, "/", "").await;
    assert_eq!((head.status, upstream.connections()), (502, 1));
}
