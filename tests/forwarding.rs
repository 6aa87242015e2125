//! What reaches the upstream: the request as it was, signed.
#![cfg(feature = "sandbox")]

mod support;

#[tokio::test]
async fn an_unsigned_request_arrives_signed() {
    let running = support::start().await;
    let answer = running.proxy.get("/orders/7?open=yes").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["path"], "/orders/7");
}
