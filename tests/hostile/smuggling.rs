//! Requests inside of requests, and behind them.

use crate::support::{Connection, Running, start};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn say(running: &Running, text: impl AsRef<[u8]>) -> Connection {
    let mut connection = running.proxy.connect().await;
    connection.write(text).await;
    connection
}

fn targets(running: &Running) -> Vec<String> {
    running.sandbox.requests().into_iter().map(|request| request.target).collect()
}

#[tokio::test]
async fn nothing_behind_a_broken_chunked_body_is_a_request() {
    let running = start().await;
    for body in [
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\t\r\nabc\r\n0\r\n\r\n",
        "0000000000000003\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a=\0\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\r\n0\r\nx: y\n\r\n",
        "3\r\nabc\r\n0\r\nx: \u{1}\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        for path in ["/first", "/first?at=once"] {
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
            // A head that no parser may accept stands behind, where the library would see it first.
            let behind = format!(
                "{body}{SMUGGLED}GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n"
            );
            let mut connection =
                say(&running, head.clone() + if path == "/first" { "" } else { &behind }).await;
            if path == "/first" {
                connection.write(&behind).await;
            }
            let (answer, problem) = connection.answer().await;
            assert_eq!(answer.status, 400, "{body:?}");
            assert!(String::from_utf8_lossy(&problem).contains("\"bad-request\""));
            assert_eq!(answer.field("connection"), Some("close"));
            assert!(connection.rest().await.unwrap_or_default().is_empty(), "{body:?}");
        }
    }
    assert_eq!(targets(&running), [""; 0]);
}

#[tokio::test]
async fn extensions_and_trailers_of_chunks_go_nowhere() {
    let running = start().await;
    let body = format!(
        "3;a=\"{}\"\r\nabc\r\n0;last\r\ncontent-length: 99\r\nauthorization: a\r\nx-amz-date: 1\r\nhost: evil.test\r\n\r\n",
        SMUGGLED.trim().replace("\r\n", " ")
    );
    let text = format!("POST /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let mut connection = say(&running, text + "GET /b HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    for _ in 0..2 {
        assert_eq!(connection.answer().await.0.status, 200);
    }
    let requests = running.sandbox.requests();
    assert_eq!(targets(&running), ["/prod/a", "/prod/b"]);
    assert_eq!(requests[0].body, "abc");
    assert_eq!(requests[0].header("content-length"), Some("3"));
    assert_eq!(requests[0].header("trailer"), None);
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_not_parsed_as_a_request() {
    let running = start().await;
    let length = SMUGGLED.len();
    for (fields, body) in [
        (format!("host: evil.test\r\ncontent-length: {length}"), SMUGGLED.to_owned()),
        (
            format!("host: localhost\r\norigin: http://evil.test\r\ncontent-length: {length}"),
            SMUGGLED.to_owned(),
        ),
        (
            "host: evil.test\r\ntransfer-encoding: chunked".to_owned(),
            format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        ),
        (
            "host: localhost\r\nexpect: 100-continue, nothing\r\ncontent-length: 90000".to_owned(),
            SMUGGLED.to_owned(),
        ),
        ("host: localhost\r\ncontent-length: 99999999".to_owned(), SMUGGLED.to_owned()),
        ("host: localhost\r\nupgrade: websocket\r\nconnection: upgrade".to_owned(), SMUGGLED.to_owned()),
    ] {
        let mut connection = say(&running, format!("POST /x HTTP/1.1\r\n{fields}\r\n\r\n{body}")).await;
        let (head, _) = connection.answer().await;
        assert!(head.status >= 400, "{fields}");
        connection.finish_writing().await;
        let rest = connection.rest().await.unwrap_or_default();
        assert!(rest.is_empty(), "{fields}: {}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(targets(&running), [""; 0]);
}

#[tokio::test]
async fn a_refusal_in_a_pipeline_is_the_answer_to_its_own_request() {
    let running = start().await;
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\n{fields}\r\n\r\n");
    let pipeline = [
        get("/1", "host: localhost"),
        get("/2", "host: evil.test"),
        get(
            "/3",
            "host: localhost\r\nupgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AA",
        ),
        get("/4", "host: localhost\r\nsec-fetch-site: cross-site"),
        get("/5", "host: [::1]"),
        get("/6", "host: localhost\r\ncontent-length: 1\r\ncontent-length: 1"),
        get("/7", "host: localhost"),
    ];
    let mut connection = say(&running, pipeline.concat()).await;
    let mut answers = Vec::new();
    while let Some(head) = connection.try_head().await {
        connection.body(&head).await;
        answers.push(head.status);
    }
    assert_eq!(answers, [200, 403, 200, 403, 200, 400]);
    assert!(connection.rest().await.unwrap_or_default().is_empty());
    assert_eq!(targets(&running), ["/prod/1", "/prod/3", "/prod/5"]);
}

#[tokio::test]
async fn no_spelling_of_a_managed_header_reaches_the_api() {
    let running = start().await;
    let fields = "X-AMZ-DATE: 1\r\nx_amz_date: 2\r\nX_Amz-Security_Token: 3\r\nAUTHORIZATION: AWS4-HMAC-SHA256 x\r\n\
        authorization: Bearer x\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\nproxy-authorization: x\r\n\
        connection: close, host, x-amz-security-token, authorization, content-length, content-type\r\n\
        content-type: text/plain\r\nexpect: 100-continue";
    let mut connection = say(
        &running,
        format!("POST /x HTTP/1.1\r\nhost: localhost\r\n{fields}\r\ncontent-length: 2\r\n\r\nhi"),
    )
    .await;
    assert_eq!(connection.head().await.status, 100);
    assert_eq!(connection.answer().await.0.status, 200);
    let requests = running.sandbox.requests();
    assert_eq!(requests.len(), 1);
    let names = ["x_amz_date", "x_amz-security_token", "proxy-authorization", "expect"];
    for name in names {
        assert_eq!(requests[0].header(name), None, "{name}");
    }
    for name in ["host", "x-amz-date", "x-amz-security-token", "authorization"] {
        let values = requests[0].headers.iter().filter(|(known, _)| known == name).count();
        assert_eq!(values, 1, "{name}");
    }
    assert_eq!(requests[0].body, "hi");
}
