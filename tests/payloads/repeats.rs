use countersign::{
    proxy::PayloadSigning::Unsigned,
    sandbox::{Fault, INVOKE},
};

use crate::support::{
    Setup,
    http::request,
    upstream::{FINE, Upstream},
};

const VEND: &str = "GetCredentialsForIdentity";

fn unsigned() -> Setup {
    Setup::new().proxy(|settings| settings.proxy.routes[0].payload = Unsigned)
}

/// An upstream that closes its first connection at the head of the second request, with nothing read of the body.
async fn closing_at_the_second_request() -> Upstream {
    Upstream::start(|number, mut wire| async move {
        wire.request().await;
        wire.write(FINE).await;
        if number == 0 {
            wire.head().await;
        } else if wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_stale_connection_is_replaced_while_nothing_of_the_body_has_been_taken() {
    let upstream = Upstream::start(|number, mut wire| async move {
        match number {
            0 => {
                wire.request().await;
                wire.write(FINE).await;
                wire.head().await;
                wire.close();
            }
            _ => {
                wire.request().await;
                wire.write(FINE).await;
                wire.until_client_is_gone().await;
            }
        }
    })
    .await;
    let running = unsigned().in_one_runtime().upstream(upstream.url()).start().await;
    assert_eq!(running.proxy.get("/x").await.text(), "fine");
    let mut client = running.proxy.connect().await;
    client.write("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n").await;
    upstream.connection_closed().await;
    client.write("hi").await;
    assert_eq!(client.answer().await.1, b"fine");
    let requests = upstream.requests();
    assert!(requests.len() == 2 && requests[1].ends_with("\r\n\r\nhi"), "{requests:?}");
    assert_eq!(
        running.proxy.metric("countersign_upstream_retries_total{reason=\"stale-connection\"}").await,
        1.0
    );
}

#[tokio::test]
async fn a_body_of_which_a_part_has_gone_is_not_sent_again() {
    let upstream = closing_at_the_second_request().await;
    let running = unsigned().in_one_runtime().upstream(upstream.url()).start().await;
    assert_eq!(running.proxy.get("/x").await.text(), "fine");
    let answer = running.proxy.send(request("PUT", "/x", "hi")).await;
    assert_eq!(answer.problem().1, "upstream-closed");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_connected_to_costs_no_byte_of_the_body() {
    let running = unsigned().upstream("http://127.0.0.1:9").start().await;
    let answer = running.proxy.send(request("PUT", "/x", "hi")).await;
    assert_eq!(answer.problem().1, "upstream-refused");
    assert_eq!(running.proxy.metric("countersign_upstream_retries_total{reason=\"connect\"}").await, 2.0);
}

#[tokio::test]
async fn refused_credentials_are_replaced_for_the_next_request_when_a_body_has_gone() {
    let running = unsigned().start().await;
    running.sandbox.faults().next(INVOKE, 1, Fault::expired_token());
    let calls = running.sandbox.calls().count(VEND);
    let answer = running.proxy.send(request("PUT", "/x", "hi")).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("x-amzn-errortype"), "ExpiredTokenException");
    assert_eq!(running.sandbox.calls().count(VEND), calls + 1, "the credentials are replaced");
    // The API of the sandbox is a gateway, which accepts no unsigned payload: the keys tell enough.
    running.proxy.send(request("PUT", "/x", "hi")).await;
    let keys: Vec<String> =
        running.sandbox.requests().iter().map(|request| key(request.header("authorization"))).collect();
    assert_eq!(keys.len(), 2, "a body that has gone is not sent again");
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn refused_credentials_cost_a_request_without_a_body_nothing() {
    let running = unsigned().start().await;
    running.sandbox.faults().next(INVOKE, 1, Fault::expired_token());
    running.proxy.get("/x").await;
    assert_eq!(running.sandbox.requests().len(), 2);
}

fn key(authorization: Option<&str>) -> String {
    let credential = authorization.and_then(|text| text.split_once("Credential=")).expect("a signature").1;
    credential.split('/').next().unwrap_or_default().to_owned()
}
