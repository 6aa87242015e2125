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

/// The header names that pages of allowed origins may always read.
const OWN_NAMES: &str = "x-amzn-requestid, x-amzn-errortype, x-amz-apigw-id, proxy-status, retry-after";

/// A proxy that lets a page in, before an upstream at `/prod` whose every answer is this one.
async fn answering(bytes: &'static [u8]) -> (Running, Upstream) {
    let upstream = Upstream::saying(bytes).await;
    let url = format!("{}/prod", upstream.url());
    let running = Setup::new()
        .upstream(url)
        .proxy(|settings| settings.proxy.guard.allowed_origins = vec![PAGE.to_owned()])
        .start()
        .await;
    (running, upstream)
}

fn nothing_went_up(running: &Running) {
    assert!(running.sandbox.requests().is_empty(), "{:?}", running.sandbox.requests());
}

#[tokio::test]
async fn only_names_of_this_machine_are_answered_to() {
    let running = start().await;
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "127.0.0.1.evil.example",
        "localhost.",
        "0.0.0.0",
        "2130706433",
        "[::ffff:127.0.0.1]:8181",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::]",
    ] {
        for answer in [
            running.proxy.send(with(&[("host", host)])).await,
            running.proxy.ask_admin(with(&[("host", host)])).await,
        ] {
            assert_eq!(answer.problem(), problem(403, "host-not-allowed"), "{host}");
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("allow-host"), "{detail}");
        }
    }
    nothing_went_up(&running);
    for host in
        ["localhost", "localhost:8181", "app.localhost", "127.0.0.1", "[::1]:80", "LOCALHOST", "127.8.9.1"]
    {
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
        &[("sec-fetch-site", "none"), ("origin", "https://evil.example")],
        &[("sec-fetch-site", "none"), ("referer", "https://evil.example/page")],
        &[("sec-fetch-site", "none"), ("sec-purpose", "prefetch")],
        &[("sec-fetch-site", "none"), ("sec-purpose", "prefetch;prerender")],
        &[("sec-fetch-site", "none"), ("purpose", "prefetch")],
        &[("x-moz", "prefetch")],
    ] {
        let answer = running.proxy.send(with(headers)).await;
        assert_eq!(answer.problem(), problem(403, "cross-site"), "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    nothing_went_up(&running);
    let refused = running.proxy.metric("countersign_guard_rejections_total{reason=\"cross-site\"}").await;
    assert_eq!(refused, 13.0);
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
        &[("sec-fetch-site", "same-origin"), ("sec-purpose", "prefetch;prerender")],
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
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert!(answer.headers("vary").contains(&"Origin"));
    let counted = "countersign_http_requests_total{method=\"OPTIONS\",status=\"204\",origin=\"proxy\"}";
    assert_eq!(running.proxy.metric(counted).await, 1.0);
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
    let (running, _upstream) = answering(
        b"HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\naccess-control-allow-credentials: false\r\n\
          access-control-max-age: 9\r\nvary: Accept\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let answer = running.proxy.send(with(&[("origin", PAGE), ("sec-fetch-site", "same-site")])).await;
    assert_eq!(answer.headers("access-control-allow-origin"), [PAGE]);
    assert_eq!(answer.headers("access-control-allow-credentials"), ["true"]);
    assert_eq!(answer.header("access-control-max-age"), "");
    assert_eq!(answer.headers("vary"), ["Accept", "Origin"]);
    assert_eq!(answer.headers("access-control-expose-headers"), [OWN_NAMES]);
    assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
}

#[tokio::test]
async fn the_names_that_the_api_exposes_are_joined_with_the_proxys() {
    for (answer, expected) in [
        (
            &b"HTTP/1.1 200 OK\r\naccess-control-expose-headers: X-Total, retry-after\r\n\
               access-control-expose-headers: etag,, x-total, no name\r\ncontent-length: 0\r\n\r\n"[..],
            "x-total, etag",
        ),
        (
            b"HTTP/1.1 200 OK\r\naccess-control-expose-headers: *\r\nx-total: 1\r\nset-cookie: a=1\r\n\
              content-length: 0\r\n\r\n",
            "x-total, content-length",
        ),
    ] {
        let (running, _upstream) = answering(answer).await;
        let answer = running.proxy.send(with(&[("origin", PAGE)])).await;
        let exposed = answer.header("access-control-expose-headers");
        let (own, apis) = exposed.split_at(OWN_NAMES.len());
        assert_eq!(own, OWN_NAMES);
        let mut apis: Vec<&str> = apis.split(", ").filter(|name| !name.is_empty()).collect();
        let mut expected: Vec<&str> = expected.split(", ").collect();
        // The protections that every answer carries may be read as well.
        apis.retain(|name| {
            !["cross-origin-resource-policy", "x-content-type-options", "date", "content-security-policy"]
                .contains(name)
        });
        apis.sort_unstable();
        expected.sort_unstable();
        assert_eq!(apis, expected, "{exposed}");
    }
}

#[tokio::test]
async fn caches_learn_that_answers_differ_by_origin() {
    let (running, _upstream) =
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nvary: ORIGIN\r\n\r\n").await;
    let answer = running.proxy.send(with(&[("origin", PAGE)])).await;
    assert_eq!(answer.headers("vary"), ["ORIGIN"]);
    let running = for_page().await;
    for headers in [&[][..], &[("sec-fetch-site", "none")], &[("origin", "https://evil.example")]] {
        let answer = running.proxy.send(with(headers)).await;
        assert!(answer.headers("vary").contains(&"Origin"), "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{headers:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{headers:?}");
    }
    let closed = start().await;
    assert_eq!(closed.proxy.get("/x").await.header("vary"), "");
}

#[tokio::test]
async fn problems_can_be_read_by_allowed_origins() {
    let running = for_page().await;
    running.sandbox.stop(countersign::sandbox::Service::Api).await;
    let answer = running.proxy.send(with(&[("origin", PAGE)])).await;
    assert_eq!(answer.problem().1, "upstream-refused");
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-expose-headers"), OWN_NAMES);
}

#[tokio::test]
async fn refusals_can_be_read_by_allowed_origins() {
    let running = Setup::new()
        .proxy(|settings| {
            settings.proxy.guard.allowed_origins = vec![PAGE.to_owned()];
            settings.proxy.guard.bearer_token = Some("only-clients-know".into());
        })
        .start()
        .await;
    let answer = running.proxy.send(with(&[("origin", PAGE)])).await;
    assert_eq!(answer.problem(), problem(401, "token-required"));
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    for origin in ["null", "http://localhost:5174", "http://localhost:5173/"] {
        let answer = running.proxy.send(with(&[("origin", origin)])).await;
        assert_eq!(answer.problem(), problem(403, "cross-site"), "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
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
async fn markup_runs_no_scripts_where_no_browser_says_what_it_is_for() {
    for (answer, policy) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n"[..], "sandbox"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: Image/SVG+xml;a=b\r\ncontent-length: 0\r\n\r\n", "sandbox"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: 0\r\n\r\n", "sandbox"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "sandbox"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-type: text/html\r\n\
              content-length: 0\r\n\r\n",
            "sandbox",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n", ""),
    ] {
        let (running, _upstream) = answering(answer).await;
        for headers in [&[][..], &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "empty")]] {
            let answer = running.proxy.send(with(headers)).await;
            assert_eq!(answer.header("content-security-policy"), policy, "{:?}", answer.headers);
        }
    }
}

#[tokio::test]
async fn redirects_of_a_hostile_upstream_stay_at_the_proxy_or_are_its_own() {
    for (answer, expected) in [
        (
            &b"HTTP/1.1 302 Found\r\nlocation: /prod//evil.test/\r\ncontent-length: 0\r\n\r\n"[..],
            "//evil.test/",
        ),
        (b"HTTP/1.1 302 Found\r\nlocation: /prod/\\evil.test/\r\ncontent-length: 0\r\n\r\n", "/\\evil.test/"),
        (
            b"HTTP/1.1 302 Found\r\nlocation: /prod/\t/evil.test/\r\ncontent-length: 0\r\n\r\n",
            "/\t/evil.test/",
        ),
    ] {
        let (running, _upstream) = answering(answer).await;
        let answer = running.proxy.get("/x").await;
        assert_eq!(answer.header("location"), format!("http://{}{expected}", running.proxy.address));
        // Without a Host there is no origin to put in front.
        let mut connection = running.proxy.connect().await;
        connection.write("GET /x HTTP/1.0\r\n\r\n").await;
        let (head, _) = connection.answer().await;
        let location = format!("/prod{expected}");
        assert_eq!(head.field("location"), Some(location.as_str()));
    }
}

#[tokio::test]
async fn each_of_several_redirects_leads_to_the_proxy() {
    let (running, _upstream) = answering(
        b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nlocation: /prod/a\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(running.proxy.get("/x").await.headers("location"), ["/elsewhere", "/a"]);
}

#[tokio::test]
async fn cookies_of_the_upstream_are_the_proxys_in_domain_and_path() {
    let (running, _upstream) = answering(
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Domain=\"127.0.0.1\"; Path=/prod; Secure\r\n\
          set-cookie: b=2; Path=/prod/x; Domain=other.example\r\nset-cookie: c=3;path=/production\r\n\
          content-length: 0\r\n\r\n",
    )
    .await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(
        answer.headers("set-cookie"),
        ["a=1; Path=/; Secure", "b=2; Path=/x; Domain=other.example", "c=3;path=/production"]
    );
}

#[tokio::test]
async fn no_upstream_speaks_in_the_proxys_name() {
    let (running, _upstream) = answering(
        b"HTTP/1.1 503 Service Unavailable\r\nproxy-status: countersign; error=proxy_internal_error\r\n\
          proxy-status: cdn; details=\"a, countersign; error=x\", \"countersign\"; error=dns_error\r\n\
          trailer: proxy-status, x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
          0\r\nproxy-status: countersign; error=http_protocol_error\r\nx-sum: 1\r\n\r\n",
    )
    .await;
    let mut connection = running.proxy.connect().await;
    connection
        .write("GET /x HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\nconnection: te, close\r\n\r\n")
        .await;
    let answer = connection.rest().await.expect("an answer");
    let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let marks: Vec<&str> = text.lines().filter(|line| line.starts_with("proxy-status")).collect();
    assert_eq!(marks, ["proxy-status: cdn; details=\"a, countersign; error=x\""], "{text}");
    assert!(text.contains("x-sum: 1"), "{text}");
}

#[tokio::test]
async fn every_client_needs_the_token() {
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
            426,
            "websocket-version",
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
            400,
            bad,
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
async fn a_tls_handshake_is_answered_at_once_in_plain_http() {
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
