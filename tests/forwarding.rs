//! What reaches the upstream: the request as it was, signed.
#![cfg(feature = "sandbox")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use countersign::{
    proxy::{PayloadSigning, RouteSettings, WebsocketSigning},
    sandbox::{Received, Sandbox, Verdict},
};
use http::{HeaderName, HeaderValue, Method};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use support::{
    Setup,
    http::{get, request},
    start,
    upstream::{FINE, Upstream},
};

const TOKEN: &str = "a-token-that-only-clients-know";

fn verified(sandbox: &Sandbox) -> Received {
    let received = sandbox.requests().pop().expect("a request at the API");
    assert!(matches!(received.verdict, Verdict::Verified { .. }), "{received:?}");
    received
}

fn route(path: &str, upstream: &str) -> RouteSettings {
    RouteSettings {
        path: path.to_owned(),
        upstream: upstream.parse().expect("a URL"),
        region: "eu-west-1".into(),
        service: "execute-api".to_owned(),
        sign_host: None,
        strip_prefix: None,
        set_headers: Vec::new(),
        payload: PayloadSigning::Hashed,
        websocket_signing: WebsocketSigning::Headers,
    }
}

#[tokio::test]
async fn requests_of_every_method_arrive_signed_with_path_query_headers_and_body() {
    let running = start().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let body = if matches!(method, "POST" | "PUT" | "PATCH") { "{\"a\":1}" } else { "" };
        let mut request = request(method, "/orders/7?open=yes&sort=a%20b", body);
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        request.headers_mut().insert("x-tenant", HeaderValue::from_static("blue"));
        let answer = running.proxy.send(request).await;
        let received = verified(&running.sandbox);
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(received.method, method);
        assert_eq!(received.target, "/prod/orders/7?open=yes&sort=a%20b");
        assert_eq!(received.body, body);
        assert_eq!(received.header("content-type"), Some("application/json"));
        assert_eq!(received.header("x-tenant"), Some("blue"));
    }
}

#[tokio::test]
async fn the_signer_is_the_signed_in_user() {
    let running = start().await;
    let event = running.proxy.get("/whoami").await.json();
    let identity = &event["requestContext"]["identity"];
    let known = running.proxy.credentials.state().issued.expect("credentials");
    assert_eq!(identity["cognitoIdentityId"].as_str(), known.identity.identity_id.as_deref());
    assert_eq!(known.identity.username.as_deref(), Some("demo"));
}

#[tokio::test]
async fn requests_without_a_body_declare_a_length_where_one_is_expected() {
    let running = start().await;
    for (method, expected) in [("POST", Some("0")), ("PUT", Some("0")), ("PATCH", Some("0")), ("GET", None)] {
        running.proxy.send(request(method, "/x", "")).await;
        assert_eq!(verified(&running.sandbox).header("content-length"), expected, "{method}");
    }
    let mut typed = request("DELETE", "/x", "");
    typed.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    running.proxy.send(typed).await;
    assert_eq!(
        verified(&running.sandbox).header("content-length"),
        Some("0"),
        "the type says that a body is meant"
    );
}

#[tokio::test]
async fn chunked_uploads_arrive_with_a_length() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    connection
        .write("POST /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n")
        .await;
    connection.write("5\r\nhello\r\n6;extension=1\r\n world\r\n0\r\nx-sum: 1\r\n\r\n").await;
    assert_eq!(connection.answer().await.0.status, 200);
    let received = verified(&running.sandbox);
    assert_eq!(received.body, "hello world");
    assert_eq!(received.header("content-length"), Some("11"));
    for name in ["transfer-encoding", "trailer", "x-sum"] {
        assert_eq!(received.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_clients_own_signature_is_replaced() {
    let running = start().await;
    let mut request = get("/x");
    let own = [
        ("authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/x, SignedHeaders=host, Signature=00"),
        ("x-amz-date", "20150830T123600Z"),
        ("x-amz-security-token", "of-the-client"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x_amz_security_token", "of-the-client"),
    ];
    for (name, value) in own {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    assert_eq!(running.proxy.send(request).await.status, 200);
    let received = verified(&running.sandbox);
    for (name, value) in own {
        assert_ne!(received.header(name), Some(value), "{name}");
    }
    assert_eq!(received.headers.iter().filter(|(name, _)| name == "authorization").count(), 1);
}

#[tokio::test]
async fn presigned_queries_are_refused() {
    let running = start().await;
    for query in ["X-Amz-Signature=00", "a=1&x-amz-algorithm=AWS4-HMAC-SHA256", "X-Amz-%53ignature=00"] {
        let answer = running.proxy.get(&format!("/x?{query}")).await;
        let expected = (400, "bad-request".to_owned(), "http_request_error".to_owned());
        assert_eq!(answer.problem(), expected, "{query}");
    }
    assert!(running.sandbox.requests().is_empty());
}

#[tokio::test]
async fn the_client_token_opens_the_proxy_and_goes_no_further() {
    let running =
        Setup::new().proxy(|settings| settings.proxy.guard.bearer_token = Some(TOKEN.into())).start().await;
    let basic = "Basic dXNlcjphLXRva2VuLXRoYXQtb25seS1jbGllbnRzLWtub3c=";
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("authorization", basic.to_owned()),
        ("x-countersign-token", TOKEN.to_owned()),
    ] {
        let mut request = get("/x");
        request.headers_mut().insert(name, value.parse().expect("a value"));
        assert_eq!(running.proxy.send(request).await.status, 200, "{value}");
        let received = verified(&running.sandbox);
        let carries = |value: &[u8]| {
            let value = String::from_utf8_lossy(value);
            value.contains(TOKEN) || value.contains(&basic[6..])
        };
        assert!(!received.headers.iter().any(|(_, value)| carries(value)), "{received:?}");
        assert_eq!(received.header("x-countersign-token"), None);
    }
}

#[tokio::test]
async fn only_host_content_type_and_amz_headers_are_signed() {
    let running = start().await;
    let mut request = request("POST", "/x", "a=1");
    for (name, value) in [
        ("content-type", "text/plain"),
        ("x-amz-meta-colour", "red"),
        ("x-forwarded-for", "10.0.0.1"),
        ("cookie", "a=1"),
        ("user-agent", "test"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    running.proxy.send(request).await;
    let received = verified(&running.sandbox);
    let authorization = received.header("authorization").expect("a signature");
    let signed = authorization.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next());
    let names: Vec<_> = signed.expect("signed headers").split(';').collect();
    let expected = ["content-type", "host", "x-amz-date", "x-amz-meta-colour", "x-amz-security-token"];
    let known: Vec<_> = names.iter().filter(|name| **name != "x-amz-content-sha256").copied().collect();
    assert_eq!(known, expected);
    for name in ["x-forwarded-for", "cookie", "user-agent", "x-amz-meta-colour"] {
        assert!(received.header(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn hop_by_hop_headers_end_at_the_proxy() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    connection
        .write(
            "GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, x-private\r\nx-private: 1\r\n\
             keep-alive: timeout=5\r\nproxy-authorization: Basic eDp5\r\nproxy-connection: close\r\n\
             te: gzip\r\nx-public: 1\r\n\r\n",
        )
        .await;
    assert_eq!(connection.answer().await.0.status, 200);
    let received = verified(&running.sandbox);
    for name in ["connection", "x-private", "keep-alive", "proxy-authorization", "proxy-connection", "te"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    assert_eq!(received.header("x-public"), Some("1"));
}

#[tokio::test]
async fn paths_go_up_byte_for_byte() {
    let running = start().await;
    for path in [
        "/",
        "/a%2Fb",
        "/a%2fb/c%3a",
        "/a:b@c*d~e",
        "/100%25",
        "/caf%C3%A9/%FF",
        "//double//slashes/",
        "/./a/../b",
        "/a%20b/c+d",
        "/a,b;c=d!$&'()",
    ] {
        let mut connection = running.proxy.connect().await;
        connection.write(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(connection.answer().await.0.status, 200, "{path}");
        assert_eq!(verified(&running.sandbox).target, format!("/prod{path}"));
    }
}

#[tokio::test]
async fn ambiguous_bytes_are_encoded_on_the_wire() {
    let running = start().await;
    for (sent, arrived) in [
        ("/x?a=1+2", "/prod/x?a=1%202"),
        ("/x?a=1;b=2", "/prod/x?a=1%3Bb=2"),
        ("/x?filter={a|b}", "/prod/x?filter=%7Ba%7Cb%7D"),
        ("/x{y}", "/prod/x%7By%7D"),
        ("/x?b=2&a=1&b=1&=&c", "/prod/x?b=2&a=1&b=1&=&c"),
        ("/x?", "/prod/x?"),
        ("/x?a=%e9&b=a/b?c:@", "/prod/x?a=%e9&b=a/b?c:@"),
    ] {
        let mut connection = running.proxy.connect().await;
        connection.write(format!("GET {sent} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(connection.answer().await.0.status, 200, "{sent}");
        assert_eq!(verified(&running.sandbox).target, arrived);
    }
}

#[tokio::test]
async fn header_values_need_not_be_text() {
    let running = start().await;
    let mut request = get("/x");
    let latin1 = HeaderValue::from_bytes(b"caf\xe9").expect("a value");
    request.headers_mut().insert("x-place", latin1.clone());
    request.headers_mut().append("x-twice", HeaderValue::from_static("1"));
    request.headers_mut().append("x-twice", HeaderValue::from_static("2"));
    assert_eq!(running.proxy.send(request).await.status, 200);
    let received = verified(&running.sandbox);
    let values = |wanted: &str| -> Vec<Bytes> {
        let fields = received.headers.iter().filter(|(name, _)| name == wanted);
        fields.map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(values("x-place"), [latin1.as_bytes()]);
    assert_eq!(values("x-twice"), ["1", "2"]);
}

#[tokio::test]
async fn only_the_configured_upstream_is_asked() {
    let other = Upstream::saying(FINE).await;
    let running = start().await;
    let host = other.url().replace("http://", "");
    let mut connection = running.proxy.connect().await;
    connection.write(format!("GET http://{host}/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
    // Another port of loopback is a host that may be named; it is not where the request goes.
    assert_eq!(connection.answer().await.0.status, 200);
    assert_eq!(verified(&running.sandbox).target, "/prod/x");
    let target = format!("/redirect?to={}/y", other.url());
    assert_eq!(running.proxy.get(&target).await.status, 302);
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_url_without_a_path_in_place_of_the_target_means_the_root() {
    let running = start().await;
    let host = running.proxy.address;
    let mut connection = running.proxy.connect().await;
    for (query, expected) in [("?a=/b", "/prod/?a=/b"), ("", "/prod/")] {
        connection.write(format!("GET http://{host}{query} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(connection.answer().await.0.status, 200, "{query}");
        assert_eq!(verified(&running.sandbox).target, expected);
    }
}

#[tokio::test]
async fn options_for_the_server_as_a_whole_is_refused_with_the_way_out() {
    let running = start().await;
    let host = running.proxy.address;
    for target in ["*".to_owned(), format!("http://{host}")] {
        let mut connection = running.proxy.connect().await;
        connection.write(format!("OPTIONS {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        let (head, body) = connection.answer().await;
        assert_eq!(head.status, 400, "{target}");
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("an API answers for its paths only; send a path"), "{target}: {body}");
    }
    assert!(running.sandbox.requests().is_empty());
}

#[tokio::test]
async fn an_upstream_clears_nothing_that_other_apps_of_localhost_have_stored() {
    let answer = b"HTTP/1.1 200 OK\r\nClear-Site-Data: \"cookies\", \"storage\"\r\nclear-site-data: *\r\nx-kept: 1\r\n\
        content-length: 0\r\n\r\n";
    let upstream = Upstream::saying(answer).await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let answer = running.proxy.get("/x").await;
    assert_eq!((answer.headers("clear-site-data"), answer.header("x-kept")), (Vec::new(), "1"));
}

#[tokio::test]
async fn the_longest_matching_route_wins_at_segment_borders() {
    let [orders, archive] = [Upstream::saying(FINE).await, Upstream::saying(FINE).await];
    let (one, two) = (format!("{}/v1", orders.url()), format!("{}/v2", archive.url()));
    let running = Setup::new()
        .proxy(move |settings| {
            let mut first = route("/orders", &one);
            first.strip_prefix = Some("/orders".to_owned());
            let key = HeaderValue::from_static("k1");
            first.set_headers = vec![(HeaderName::from_static("x-api-key"), key)];
            settings.proxy.routes = vec![first, route("/orders/archive", &two)];
        })
        .start()
        .await;
    assert_eq!(running.proxy.get("/orders/7").await.status, 200);
    assert_eq!(running.proxy.get("/orders/archive/7").await.status, 200);
    let expected = (404, "no-route".to_owned(), "destination_not_found".to_owned());
    assert_eq!(running.proxy.get("/ordersx").await.problem(), expected);
    assert_eq!(running.proxy.get("/").await.problem(), expected);
    let request = orders.requests().remove(0);
    assert!(request.starts_with("GET /v1/7 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-api-key: k1\r\n"), "{request}");
    let request = archive.requests().remove(0);
    assert!(request.starts_with("GET /v2/orders/archive/7 HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn another_host_can_be_signed_and_sent() {
    let running = Setup::new()
        .proxy(|settings| settings.proxy.routes[0].sign_host = Some("private.example.com".to_owned()))
        .start()
        .await;
    assert_eq!(running.proxy.get("/x").await.status, 200);
    assert_eq!(verified(&running.sandbox).header("host"), Some("private.example.com"));
}

#[tokio::test]
async fn headers_are_set_and_stripped_on_the_way_up() {
    let running = Setup::new()
        .proxy(|settings| {
            settings.proxy.strip_headers = vec![http::header::COOKIE];
            settings.proxy.routes[0].set_headers =
                vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static("ours"))];
        })
        .start()
        .await;
    let mut request = get("/x");
    for (name, value) in [("cookie", "a=1"), ("x-api-key", "theirs"), ("connection", "x-api-key")] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    assert_eq!(running.proxy.send(request).await.status, 200);
    let received = verified(&running.sandbox);
    assert_eq!((received.header("cookie"), received.header("x-api-key")), (None, Some("ours")));
}

#[tokio::test]
async fn clients_of_http_1_0_are_served() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    connection.write("GET /chunked/10 HTTP/1.0\r\n\r\n").await;
    let (head, body) = connection.answer().await;
    assert_eq!((head.status, body.len()), (200, 10));
    assert_eq!(head.field("transfer-encoding"), None);
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let running = start().await;
    let mut connection = running.proxy.connect().await;
    let pipeline: String =
        (0..5).map(|number| format!("GET /{number} HTTP/1.1\r\nhost: localhost\r\n\r\n")).collect();
    connection.write(pipeline).await;
    for number in 0..5 {
        let (_, body) = connection.answer().await;
        let event: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(event["path"], format!("/{number}"));
    }
}

#[derive(Clone, Debug)]
struct Generated {
    method: &'static str,
    path: String,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn generated() -> impl Strategy<Value = Generated> {
    let method = select(vec!["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]);
    let escaped = (any::<u8>(), any::<bool>())
        .prop_map(|(byte, upper)| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") });
    let plain = |legal: &'static str| select(legal.chars().collect::<Vec<_>>()).prop_map(String::from);
    let text = |legal: &'static str| {
        let atom = prop_oneof![4 => plain(legal), 1 => escaped.clone()];
        vec(atom, 0..8).prop_map(|atoms| atoms.concat())
    };
    let segment = prop_oneof![
        8 => text("azAZ09-._~!$&'()*+,;=:@"),
        1 => Just(".".to_owned()),
        1 => Just("..".to_owned()),
    ];
    let path = vec(segment, 1..6).prop_map(|segments| format!("/{}", segments.join("/")));
    let pair = (text("azAZ09-._~!$'()*+,:@/?"), text("azAZ09-._~!$'()*+,:@/?="), any::<bool>());
    let pair =
        pair.prop_map(|(key, value, has_value)| if has_value { format!("{key}={value}") } else { key });
    let query = proptest::option::of(vec(pair, 0..5).prop_map(|pairs| pairs.join("&")));
    let name = vec(select(('a'..='z').collect::<Vec<_>>()), 1..8);
    let name = (select(vec!["x-", "x-amz-", "x-a_"]), name)
        .prop_map(|(prefix, letters)| format!("{prefix}q{}", String::from_iter(letters)));
    let byte = prop_oneof![8 => 0x21..=0x7e_u8, 1 => 0x80..=0xff_u8];
    let value = vec(byte, 1..20);
    let headers = vec((name, value), 0..8);
    let body = vec(any::<u8>(), 0..2_000);
    (method, path, query, headers, body).prop_map(|(method, path, query, headers, body)| Generated {
        method,
        path,
        query,
        headers,
        body,
    })
}

fn pairs(query: Option<&str>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let parts = query.unwrap_or_default().split('&');
    let pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(&after[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            rest = &after[2..];
        } else {
            bytes.push(if byte == b'+' { b' ' } else { byte });
            rest = after;
        }
    }
    bytes
}

fn lines_of<'a>(name: &str, lines: impl Iterator<Item = (&'a String, &'a [u8])>) -> Vec<Vec<u8>> {
    lines.filter(|(known, _)| *known == name).map(|(_, value)| value.to_vec()).collect()
}

async fn arrives_unchanged(running: &support::Running, case: Generated) -> Result<(), TestCaseError> {
    let target = match &case.query {
        Some(query) => format!("{}?{query}", case.path),
        None => case.path.clone(),
    };
    let mut message = format!("{} {target} HTTP/1.1\r\nhost: localhost\r\n", case.method).into_bytes();
    for (name, value) in &case.headers {
        message.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    message.extend(format!("content-length: {}\r\n\r\n", case.body.len()).into_bytes());
    message.extend(&case.body);
    let mut connection = running.proxy.connect().await;
    connection.write(message).await;
    let head = connection.head().await;
    let received = running.sandbox.requests().pop();
    running.sandbox.clear_requests();
    let Some(received) = received else {
        return Err(TestCaseError::fail(format!("nothing arrived: {}", head.status)));
    };
    let same = |what: &str, holds: bool| {
        if holds { Ok(()) } else { Err(TestCaseError::fail(format!("{what}: {received:?}"))) }
    };
    same("verdict", matches!(received.verdict, Verdict::Verified { .. }))?;
    same("status", head.status == 200)?;
    same("method", received.method == case.method)?;
    same("path", received.path() == format!("/prod{}", case.path))?;
    same("query", pairs(received.query()) == pairs(case.query.as_deref()))?;
    same("body", received.body == case.body)?;
    for (name, _) in &case.headers {
        let sent = lines_of(name, case.headers.iter().map(|(name, value)| (name, &value[..])));
        let arrived = lines_of(name, received.headers.iter().map(|(name, value)| (name, &value[..])));
        same(name, sent == arrived)?;
    }
    Ok(())
}

#[test]
fn any_request_arrives_unchanged_and_verified() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let running = runtime.block_on(start());
    let cases = AtomicUsize::new(0);
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&generated(), |case| {
        cases.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(arrives_unchanged(&running, case))
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(cases.load(Ordering::Relaxed) >= 150);
}

#[tokio::test]
async fn unknown_methods_arrive_too() {
    let running = start().await;
    let method = Method::from_bytes(b"PURGE").expect("a method");
    let mut request = get("/x");
    *request.method_mut() = method;
    let answer = running.proxy.send(request).await;
    assert_eq!((answer.status.as_u16(), verified(&running.sandbox).method.as_str()), (200, "PURGE"));
}

#[tokio::test]
async fn the_trace_that_a_request_belongs_to_passes_on() {
    let running = start().await;
    let headers = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        ("baggage", "tenant=blue"),
    ];
    let mut request = get("/x");
    for (name, value) in headers {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    assert_eq!(running.proxy.send(request).await.status, 200);
    let received = verified(&running.sandbox);
    for (name, value) in headers {
        assert_eq!(received.header(name), Some(value));
    }
}
