//! The handshake: what goes up, what comes down, and what is refused.

use crate::support::{
    Setup,
    upstream::Upstream,
    websocket::{ACCEPT, KEY, open, switching},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_goes_up_signed_with_what_makes_it_one_unsigned() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            let agreed = "sec-websocket-protocol: mqtt\r\nsec-websocket-extensions: permessage-deflate\r\n";
            wire.write(switching(agreed)).await;
            wire.until_client_is_gone().await;
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url() + "/prod").start().await;
    let offered = "sec-websocket-protocol: chat, mqtt\r\nsec-websocket-extensions: permessage-deflate\r\n\
                   origin: http://localhost\r\ncookie: a=1\r\n";
    let (_client, head) = open(&running.proxy, "/live?a=1", offered).await;
    assert_eq!(head.status, 101);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "mqtt"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ] {
        assert_eq!(head.field(name), Some(value), "{name}");
    }
    let [request] = upstream.requests().try_into().expect("one request");
    assert!(request.starts_with("GET /prod/live?a=1 HTTP/1.1\r\n"), "{request}");
    for line in [
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        &format!("sec-websocket-key: {KEY}"),
        "sec-websocket-protocol: chat, mqtt",
        "sec-websocket-extensions: permessage-deflate",
        "cookie: a=1",
    ] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}: {request}");
    }
    let signed = request.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next());
    assert_eq!(signed, Some("host;x-amz-date;x-amz-security-token"));
    assert!(!request.to_ascii_lowercase().contains("content-length"), "{request}");
}
