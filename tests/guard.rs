//! Who may ask, through the socket.
#![cfg(feature = "sandbox")]

mod support;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use support::{Answer, Running, Setup, http::get, start, upstream::Upstream};

const PAGE: &str = "http://localhost:5173";

fn problem(status: u16, code: &str) -> (u16, String, String) {
    let error = if status == 400 { "http_request_error" } else { "http_request_denied" };
    (status, code.to_owned(), error.to_owned())
}

fn with(pairs: &[(&'static str, &str)]) -> Request<Bytes> {
    let mut request = get("/x");
    for (name, value) in pairs {
        let value = HeaderValue::from_str(value).expect("a value");
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    request
}

async fn for_page() -> Running {
    Setup::new().proxy(|settings| settings.proxy.guard.allowed_origins = vec![PAGE.to_owned()]).start().await
}

fn nothing_went_up(running: &Running) {
    assert!(running.sandbox.requests().is_empty(), "{:?}", running.sandbox.requests());
}

#[tokio::test]
async fn only_names_of_this_machine_are_answered_to() {
    let running = start().await;
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example"] {
        let answer = running.proxy.send(with(&[("host", host)])).await;
        assert_eq!(answer.problem(), problem(403, "host-not-allowed"), "{host}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("allow-host"), "{detail}");
    }
    nothing_went_up(&running);
    for host in ["localhost", "localhost:8181", "app.localhost", "127.0.0.1", "[::1]:80", "LOCALHOST"] {
        assert_eq!(running.proxy.send(with(&[("host", host)])).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn further_names_are_answered_to_when_they_are_allowed() {
    let running = Setup::new()
        .proxy(|settings| settings.proxy.guard.allowed_hosts = vec!["proxy".to_owned()])
        .start()
        .await;
    assert_eq!(running.proxy.send(with(&[("host", "proxy:8181")])).await.status, 200);
    assert_eq!(running.proxy.send(with(&[("host", "proxy2")])).await.status, 403);
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let running = start().await;
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("referer", "https://evil.example/page")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", PAGE)],
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        &[("sec-fetch-site", "unheard-of")],
    ] {
        let answer = running.proxy.send(with(headers)).await;
        assert_eq!(answer.problem(), problem(403, "cross-site"), "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    nothing_went_up(&running);
    assert_eq!(running.proxy.metric("countersign_guard_rejections_total{reason=\"cross-site\"}").await, 7.0);
}

#[tokio::test]
async fn the_proxys_own_pages_and_programs_may_ask() {
    let running = start().await;
    let own = format!("http://{}", running.proxy.address);
    for headers in [
        &[][..],
        &[("origin", own.as_str())],
        &[("referer", &format!("{own}/page"))],
        &[("sec-fetch-site", "same-origin"), ("origin", &own)],
        &[("sec-fetch-site", "none")],
    ] {
        assert_eq!(running.proxy.send(with(headers)).await.status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn preflights_of_allowed_origins_are_answered_here() {
    let running = for_page().await;
    let mut request = with(&[
        ("origin", PAGE),
        ("access-control-request-method", "DELETE"),
        ("access-control-request-headers", "x-tenant, content-type"),
        ("sec-fetch-site", "same-site"),
    ]);
    *request.method_mut() = http::Method::OPTIONS;
    let answer = running.proxy.send(request.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert_eq!(answer.header("access-control-allow-methods"), "DELETE");
    assert_eq!(answer.header("access-control-allow-headers"), "x-tenant, content-type");
    assert!(answer.headers("vary").contains(&"Origin"));
    request.headers_mut().insert("origin", HeaderValue::from_static("http://localhost:9999"));
    assert_eq!(running.proxy.send(request).await.problem(), problem(403, "cross-site"));
    nothing_went_up(&running);
}

#[tokio::test]
async fn preflights_need_no_client_token() {
    let running = Setup::new()
        .proxy(|settings| {
            settings.proxy.guard.allowed_origins = vec![PAGE.to_owned()];
            settings.proxy.guard.bearer_token = Some("only-clients-know".into());
        })
        .start()
        .await;
    let mut request = with(&[("origin", PAGE), ("access-control-request-method", "PUT")]);
    *request.method_mut() = http::Method::OPTIONS;
    assert_eq!(running.proxy.send(request).await.status, 204);
    let answer = running.proxy.send(with(&[("origin", PAGE)])).await;
    assert_eq!(answer.problem(), problem(401, "token-required"));
}

#[tokio::test]
async fn answers_for_allowed_origins_may_be_read_by_them_alone() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n\
          vary: Accept\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(|settings| settings.proxy.guard.allowed_origins = vec![PAGE.to_owned()])
        .start()
        .await;
    let answer = running.proxy.send(with(&[("origin", PAGE), ("sec-fetch-site", "same-site")])).await;
    assert_eq!(answer.headers("access-control-allow-origin"), [PAGE]);
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert_eq!(answer.headers("vary"), ["Accept", "Origin"]);
    let exposed = answer.header("access-control-expose-headers");
    for name in ["x-amzn-requestid", "x-amzn-errortype", "x-amz-apigw-id", "proxy-status", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
}

#[tokio::test]
async fn problems_can_be_read_by_allowed_origins() {
    let running = for_page().await;
    running.sandbox.stop(countersign::sandbox::Service::Api).await;
    let answer = running.proxy.send(with(&[("origin", PAGE)])).await;
    assert_eq!(answer.problem().1, "upstream-refused");
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
}

#[tokio::test]
async fn images_of_allowed_pages_are_known_by_their_referrer() {
    let running = for_page().await;
    let image = |page: &str| {
        let referrer = format!("{page}/gallery");
        with(&[("sec-fetch-site", "same-site"), ("sec-fetch-dest", "image"), ("referer", &referrer)])
    };
    let answer = running.proxy.send(image(PAGE)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("cross-origin-resource-policy")),
        (200, "cross-origin")
    );
    assert_eq!(running.proxy.send(image("http://localhost:9999")).await.status, 403);
}

fn protections(answer: &Answer) -> [String; 3] {
    let names = ["cross-origin-resource-policy", "x-content-type-options", "content-security-policy"];
    names.map(|name| answer.header(name).to_owned())
}

#[tokio::test]
async fn answers_are_of_no_use_to_other_sites_and_run_no_scripts() {
    let running = start().await;
    let document =
        [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(protections(&running.proxy.get("/x").await), ["same-origin", "nosniff", ""]);
    let refused = running.proxy.send(with(&[("host", "evil.example")])).await;
    assert_eq!(protections(&refused), ["same-origin", "nosniff", "default-src 'none'"]);
    let page = running.proxy.send(with(&document)).await;
    assert_eq!(protections(&page), ["same-origin", "nosniff", "sandbox"]);
    let trusting = Setup::new().proxy(|settings| settings.proxy.guard.trust_documents = true).start().await;
    let page = trusting.proxy.send(with(&document)).await;
    assert_eq!(protections(&page), ["same-origin", "nosniff", ""]);
}

#[tokio::test]
async fn the_token_is_asked_of_everybody() {
    let running = Setup::new()
        .proxy(|settings| settings.proxy.guard.bearer_token = Some("only-clients-know".into()))
        .start()
        .await;
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Bearer only-clients-kno")],
        &[("authorization", "only-clients-know")],
        &[("x-countersign-token", "wrong")],
    ] {
        let answer = running.proxy.send(with(headers)).await;
        assert_eq!(answer.problem(), problem(401, "token-required"), "{headers:?}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    nothing_went_up(&running);
}

#[tokio::test]
async fn requests_that_two_parsers_could_read_differently_are_refused() {
    let running = start().await;
    let (host, chunked) = ("host: localhost\r\n", "transfer-encoding: chunked\r\n");
    let [bad, coding] = ["bad-request", "unsupported-transfer-coding"];
    for (bytes, status, code) in [
        ("GET /x HTTP/1.1\r\n\r\n".to_owned(), 400, bad),
        (format!("GET /x HTTP/1.1\r\n{host}{host}\r\n"), 400, bad),
        ("GET /x HTTP/1.1\r\nhost: local host\r\n\r\n".to_owned(), 400, bad),
        ("GET /x HTTP/1.1\r\nhost: a@localhost\r\n\r\n".to_owned(), 400, bad),
        (format!("GET http://user@localhost/x HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("GET http://127.0.0.1/x HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("GET x HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("GET /x#y HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("GET /x%zz HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("GET /x?a=% HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("GET /\x7f HTTP/1.1\r\n{host}\r\n"), 400, bad),
        (format!("POST /x HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 1\r\n\r\nx"), 400, bad),
        (format!("POST /x HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 2\r\n\r\nx"), 400, bad),
        (format!("POST /x HTTP/1.1\r\n{host}content-length: +1\r\n\r\nx"), 400, bad),
        (format!("POST /x HTTP/1.1\r\n{host}content-length: 1, 1\r\n\r\nx"), 400, bad),
        (format!("POST /x HTTP/1.1\r\n{host}content-length: 5\r\n{chunked}\r\n0\r\n\r\n"), 400, bad),
        (format!("POST /x HTTP/1.0\r\n{host}{chunked}\r\n0\r\n\r\n"), 400, bad),
        (format!("POST /x HTTP/1.1\r\n{host}{chunked}{chunked}\r\n0\r\n\r\n"), 501, coding),
        (format!("POST /x HTTP/1.1\r\n{host}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501, coding),
        (format!("POST /x HTTP/1.1\r\n{host}transfer-encoding: identity\r\n\r\n"), 501, coding),
        (
            format!("GET /x HTTP/1.1\r\n{host}connection: upgrade\r\nupgrade: websocket\r\n\r\n"),
            501,
            "upgrade-not-supported",
        ),
        (format!("GET /x HTTP/1.1\r\n{host}expect: miracles\r\n\r\n"), 417, "expectation-failed"),
        (format!("TRACE /x HTTP/1.1\r\n{host}\r\n"), 405, "method-not-allowed"),
        (format!("CONNECT localhost:443 HTTP/1.1\r\n{host}\r\n"), 405, "method-not-allowed"),
        (format!("GET /x HTTP/1.1\r\n{host}bad header: 1\r\n\r\n"), 400, bad),
        (format!("GET /x HTTP/1.1\r\n{host}x-a: 1\r\n folded\r\n\r\n"), 400, bad),
        (format!("GET /x HTTP/1.1\n{}\n", host.replace('\r', "")), 400, bad),
        ("\x16\x03\x01\x02\r\n\r\n".to_owned(), 400, bad),
        ("\x05\x01\x00".to_owned(), 400, bad),
        (
            format!("GET /x HTTP/1.1\r\n{host}connection: upgrade\r\nupgrade: h2c, WebSocket/13\r\n\r\n"),
            501,
            "upgrade-not-supported",
        ),
    ] {
        let mut connection = running.proxy.connect().await;
        // What follows must be read neither as a request nor as a body.
        connection.write(format!("{bytes}GET /smuggled HTTP/1.1\r\n{host}\r\n")).await;
        let (head, body) = connection.answer().await;
        assert_eq!(head.status, status, "{bytes:?}");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
        assert_eq!(problem["code"], code, "{bytes:?}");
        assert_eq!(head.field("connection"), Some("close"), "{bytes:?}");
        assert!(connection.is_closed().await, "one answer to {bytes:?}");
        nothing_went_up(&running);
    }
}

#[tokio::test]
async fn offers_of_other_protocols_are_ignored() {
    let running = start().await;
    for offer in ["TLS/1.2", "TLS/1.0", "h2c", "HTTP/2.0, SHTTP/1.3, IRC/6.9, RTA/x11", "websocket2", ""] {
        let mut request = with(&[("connection", "upgrade"), ("upgrade", offer)]);
        if offer == "h2c" {
            request.headers_mut().insert("http2-settings", HeaderValue::from_static("AAMAAABkAAQAAP__"));
        }
        assert_eq!(running.proxy.send(request).await.status, 200, "{offer}");
    }
    for request in running.sandbox.requests() {
        assert_eq!((request.header("upgrade"), request.header("http2-settings")), (None, None));
    }
}

#[tokio::test]
async fn a_tls_handshake_is_told_to_come_without_tls_at_once() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    // No line end, and nothing behind it: a client of TLS waits for the server now.
    connection.write(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03").await;
    let (head, body) = connection.answer().await;
    let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
    assert_eq!((head.status, problem["code"].as_str()), (400, Some("bad-request")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("http://")), "{problem}");
    assert_eq!(running.proxy.metric("countersign_guard_rejections_total{reason=\"tls\"}").await, 1.0);
}

#[tokio::test]
async fn a_chunked_body_of_any_method_goes_up_with_its_length() {
    let running = start().await;
    for (method, body, length) in [
        ("GET", "5\r\nhello\r\n0\r\n\r\n", Some("5")),
        ("HEAD", "0\r\n\r\n", None),
        ("DELETE", "1\r\nx\r\n0\r\n\r\n", Some("1")),
    ] {
        let mut connection = running.proxy.connect().await;
        let head = format!("{method} /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
        connection.write(format!("{head}{body}")).await;
        assert_eq!(connection.head().await.status, 200, "{method}");
        let requests = running.sandbox.requests();
        let request = requests.last().expect("it went up");
        let framing = (request.header("content-length"), request.header("transfer-encoding"));
        assert_eq!(framing, (length, None), "{method}");
    }
}

#[tokio::test]
async fn bytes_that_no_target_may_have_go_up_percent_encoded_and_signed() {
    let running = start().await;
    for (target, expected) in [
        ("/q?query=up{job=\"x\"}", "/prod/q?query=up%7Bjob=%22x%22%7D"),
        ("/caf\u{e9}?q=\u{e9}", "/prod/caf%C3%A9?q=%C3%A9"),
        ("/<a>`b`^|\\", "/prod/%3Ca%3E%60b%60%5E%7C%5C"),
    ] {
        let mut connection = running.proxy.connect().await;
        connection.write(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let (head, body) = connection.answer().await;
        assert_eq!(head.status, 200, "{target}: {}", String::from_utf8_lossy(&body));
        let requests = running.sandbox.requests();
        assert_eq!(requests.last().map(|request| request.target.as_str()), Some(expected), "{target}");
    }
}
