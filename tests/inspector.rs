//! The inspector: what it keeps of requests, what it never keeps, and who may see it.
#![cfg(feature = "sandbox")]

mod support;

use bytes::Bytes;
use countersign::{
    downstream::listener::Listen,
    inspector::{self, MAX_BODY, MAX_EXCHANGES, Mode},
};
use http::{HeaderValue, Request};
use serde_json::{Value, json};
use support::{
    Answer, Connection, Proxy, Running, Setup,
    http::{get, request},
    program::{self, Program},
    soon,
    upstream::{FINE, Upstream},
    websocket::{self, frame, handshake, next_frame, switching},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

fn recording(mode: Mode) -> Setup {
    Setup::new().proxy(move |settings| {
        settings.inspector =
            inspector::Settings { mode: Some(mode), redact: vec!["x-house-number".to_owned()] };
    })
}

async fn token(proxy: &Proxy) -> String {
    let answer = proxy.ask_admin(request("POST", "/inspect/token", "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().expect("a token").to_owned()
}

fn bearing(token: &str, mut request: Request<Bytes>) -> Request<Bytes> {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a value");
    request.headers_mut().insert("authorization", value);
    request
}

/// The inspector of a proxy, with its token.
struct Viewer<'a> {
    proxy: &'a Proxy,
    token: String,
}

impl<'a> Viewer<'a> {
    async fn of(proxy: &'a Proxy) -> Self {
        Self { proxy, token: token(proxy).await }
    }

    async fn get(&self, path: &str) -> Answer {
        self.proxy.ask_admin(bearing(&self.token, get(path))).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let mut request = bearing(&self.token, request("POST", path, body.to_string()));
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        self.proxy.ask_admin(request).await
    }

    async fn feed(&self) -> FeedReader {
        let mut connection = Connection::open(self.proxy.admin).await;
        let head = format!(
            "GET /inspect/feed HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
            self.token
        );
        connection.write(head).await;
        let head = connection.head().await;
        assert_eq!((head.status, head.field("content-type")), (200, Some("application/x-ndjson")));
        let mut feed = FeedReader { connection, text: Vec::new() };
        assert_eq!(feed.event().await["type"], "hello");
        feed
    }

    /// The exchange that satisfies `wanted`, with everything that is kept of it.
    async fn exchange(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let exchange = self.feed().await.until(wanted).await;
        self.detail(&exchange).await
    }

    async fn detail(&self, exchange: &Value) -> Value {
        let id = exchange["id"].as_str().expect("an id");
        self.get(&format!("/inspect/exchanges/{id}")).await.json()
    }
}

struct FeedReader {
    connection: Connection,
    text: Vec<u8>,
}

impl FeedReader {
    async fn event(&mut self) -> Value {
        loop {
            if let Some(end) = self.text.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                if line.len() > 1 {
                    return serde_json::from_slice(&line).expect("JSON");
                }
                continue;
            }
            let chunk = self.connection.chunk().await.expect("more of the feed");
            assert!(!chunk.is_empty(), "the feed has ended");
            self.text.extend(chunk);
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let event = async {
            loop {
                let event = self.event().await;
                if event["type"] == "exchange" && wanted(&event["exchange"]) {
                    return event["exchange"].clone();
                }
            }
        };
        soon("an event", event).await
    }
}

fn ended(exchange: &Value) -> bool {
    exchange["state"] != "active"
}

fn pairs(value: &Value) -> Vec<(&str, &str)> {
    let pairs = value.as_array().expect("pairs").iter();
    pairs.map(|pair| (pair[0].as_str().expect("a name"), pair[1].as_str().expect("a value"))).collect()
}

/// Sends these frames behind a handshake, and reads the answer to each.
async fn talk(client: &mut Connection, frames: &[(u8, &[u8])]) {
    for (opcode, payload) in frames {
        client.write(frame(*opcode, payload, Some([9, 8, 7, 6]))).await;
        assert_eq!(next_frame(client).await.opcode, *opcode);
    }
}

#[tokio::test]
async fn the_messages_of_a_websocket_are_listed_while_it_is_open_and_after_its_end() {
    let upstream = websocket::echo().await;
    let running = recording(Mode::Bodies).upstream(upstream.url()).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut feed = viewer.feed().await;
    let mut client = running.proxy.connect().await;
    client.write(handshake("/live", "")).await;
    assert_eq!(client.head().await.status, 101);
    let open = feed.until(|exchange| exchange["websocket"]["state"] == "open").await;
    assert_eq!((&open["state"], &open["websocket"]["messages_up"]), (&json!("active"), &json!(0)));

    talk(&mut client, &[(1, br#"{"action":"login","password":"canary-word"}"#), (2, b"\x00\x01")]).await;
    let open = feed.until(|exchange| exchange["websocket"]["messages_down"] == 2).await;
    let detail = viewer.detail(&open).await;
    let text = r#"{"action":"login","password":"[redacted]"}"#;
    let kept = |index: usize, name: &str| detail["messages"]["kept"][index][name].clone();
    let listed: Vec<Value> = (0..4)
        .map(|at| json!(["direction", "opcode", "size", "text", "omitted"].map(|name| kept(at, name))))
        .collect();
    let expected = [
        json!(["up", 1, 43, text, null]),
        json!(["down", 1, 43, text, null]),
        json!(["up", 2, 2, null, "binary"]),
        json!(["down", 2, 2, null, "binary"]),
    ];
    assert_eq!(listed, expected);

    talk(&mut client, &[(1, b"again canary-word"), (8, b"\x03\xE8bye")]).await;
    drop(client);
    let closed = feed.until(|exchange| exchange["websocket"]["state"] == "closed").await;
    let summary = json!({
        "state": "closed", "messages_up": 3, "messages_down": 3,
        "closed_by": "client", "code": 1000, "meaning": "normal",
    });
    assert_eq!((&closed["websocket"], &closed["state"]), (&summary, &json!("complete")));
    assert_eq!((&closed["bytes_up"], &closed["status"]), (&json!(4 * 6 + 43 + 2 + 17 + 5), &json!(101)));
    let detail = viewer.detail(&closed).await;
    let last = &detail["messages"]["kept"][7];
    assert_eq!((&last["opcode"], &last["code"], &last["text"]), (&json!(8), &json!(1000), &json!("bye")));
    assert!(!detail.to_string().contains("canary"), "{detail}");

    let har = viewer.get("/inspect/har").await;
    assert!(!har.text().contains("canary"));
    let entry = har.json()["log"]["entries"][0].clone();
    assert_eq!(entry["_resourceType"], "websocket");
    assert!(
        entry["request"]["url"]
            .as_str()
            .is_some_and(|url| url.starts_with("ws://") && url.ends_with("/live"))
    );
    let message = &entry["_webSocketMessages"][4];
    let said = ["type", "opcode", "data"].map(|name| message[name].clone());
    assert_eq!(json!(said), json!(["send", 1, "again [redacted]"]));
    assert!(message["time"].as_f64().is_some_and(|time| time > 1.7e9), "{message}");
}

#[tokio::test]
async fn without_bodies_only_the_sizes_of_messages_are_kept() {
    let upstream = websocket::echo().await;
    let running = recording(Mode::Heads).upstream(upstream.url()).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut client = running.proxy.connect().await;
    client.write(handshake("/live", "")).await;
    assert_eq!(client.head().await.status, 101);
    talk(&mut client, &[(1, b"canary"), (8, b"\x03\xE8canary")]).await;
    drop(client);
    let exchange = viewer.exchange(ended).await;
    let message = &exchange["messages"]["kept"][0];
    assert_eq!((&message["size"], &message["omitted"]), (&json!(6), &json!("heads")));
    assert!(!exchange.to_string().contains("canary"), "{exchange}");
}

#[tokio::test]
async fn the_end_of_a_websocket_that_went_wrong_is_explained() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            wire.write(frame(8, &1011_u16.to_be_bytes(), None)).await;
        }
    })
    .await;
    let running = recording(Mode::Heads).upstream(upstream.url()).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut client = running.proxy.connect().await;
    client.write(handshake("/live", "")).await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(next_frame(&mut client).await.opcode, 8);
    drop(client);
    let exchange = viewer.exchange(ended).await;
    assert_eq!(
        (&exchange["meaning"]["name"], &exchange["websocket"]["closed_by"]),
        (&json!("internal-error"), &json!("upstream"))
    );
}

#[tokio::test]
async fn an_exchange_is_kept_from_its_first_byte_to_its_last() {
    let running = recording(Mode::Bodies).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut post = request("POST", "/orders?a=b", r#"{"item":1}"#);
    post.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    post.headers_mut().insert("x-request-id", HeaderValue::from_static("mine"));
    let answer = running.proxy.send(post).await;
    let exchange = viewer.exchange(ended).await;
    for (name, expected) in [
        ("request_id", json!("mine")),
        ("method", json!("POST")),
        ("path", json!("/orders")),
        ("query", json!("a=b")),
        ("http", json!("1.1")),
        ("origin", json!("upstream")),
        ("status", json!(200)),
        ("state", json!("complete")),
        ("bytes_up", json!(10)),
        ("bytes_down", json!(answer.body.len())),
        ("upstream_request_id", json!(answer.header("x-amzn-requestid"))),
    ] {
        assert_eq!(exchange[name], expected, "{name}: {exchange}");
    }
    assert_eq!(exchange["identity"]["username"], "demo");
    assert_eq!(exchange["request_body"]["text"], r#"{"item":1}"#);
    assert_eq!(exchange["response_body"]["size"], answer.body.len());
    let text = exchange["response_body"]["text"].as_str().expect("a text");
    assert!(text.contains("/orders") && !text.contains("ASIA"), "{text}");
    let attempt = &exchange["attempts"][0];
    assert_eq!(
        (&attempt["number"], &attempt["status"], &attempt["connection"]),
        (&1.into(), &200.into(), &"new".into())
    );
    assert_eq!(
        attempt["signed_headers"],
        json!(["content-type", "host", "x-amz-date", "x-amz-security-token"])
    );
    assert!(attempt["access_key_id"].as_str().is_some_and(|key| key.chars().count() == 5), "{attempt}");
    for phase in ["queue", "credentials", "connect", "send", "wait", "receive"] {
        assert!(exchange["timing"][phase].is_f64(), "{phase}: {}", exchange["timing"]);
    }
    let canonical = exchange["canonical_request"].as_str().expect("a text");
    assert!(
        canonical.starts_with("POST\n") && canonical.contains("\nx-amz-security-token:[redacted]\n"),
        "{canonical}"
    );
    assert!(exchange["string_to_sign"].as_str().is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256\n")));
    assert!(pairs(&exchange["sent_headers"]).contains(&("authorization", "[redacted]")));
    assert!(pairs(&exchange["request_headers"]).contains(&("x-request-id", "mine")));
    assert!(pairs(&exchange["response_headers"]).contains(&("x-content-type-options", "nosniff")));
    assert!(!pairs(&exchange["upstream_headers"]).contains(&("x-content-type-options", "nosniff")));
    let url = format!("http://{}/orders?a=b", running.proxy.address);
    assert!(exchange["curl"].as_str().is_some_and(|line| line.contains(&url)), "{}", exchange["curl"]);
}

#[tokio::test]
async fn refusals_of_every_kind_are_kept_with_what_they_mean() {
    let running = recording(Mode::Heads).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut foreign = get("/foreign");
    foreign.headers_mut().insert("origin", HeaderValue::from_static("https://evil.example"));
    running.proxy.send(foreign).await;
    let mut client = running.proxy.connect().await;
    client.write("GET /two HTTP/1.1\r\nhost: a\r\nhost: b\r\nx-request-id: refused-head\r\n\r\n").await;
    client.answer().await;
    let exchange = viewer.exchange(|exchange| exchange["path"] == "/foreign" && ended(exchange)).await;
    assert_eq!((&exchange["code"], &exchange["origin"]), (&"cross-site".into(), &"proxy".into()));
    assert_eq!(exchange["page_origin"], "https://evil.example");
    assert_eq!(exchange["meaning"]["name"], "cross-site");
    assert_eq!(exchange["attempts"], json!([]));
    assert_eq!(exchange["response_body"]["omitted"], "heads");
    let exchange =
        viewer.exchange(|exchange| exchange["request_id"] == "refused-head" && ended(exchange)).await;
    assert_eq!(
        (&exchange["path"], &exchange["status"], &exchange["code"]),
        (&"/two".into(), &400.into(), &"bad-request".into())
    );
}

#[tokio::test]
async fn each_attempt_says_why_there_was_another() {
    let upstream = Upstream::start(|connection, mut wire| async move {
        if connection == 0 {
            wire.request().await;
            wire.write(FINE).await;
            wire.request().await;
        } else {
            wire.request().await;
            wire.write(FINE).await;
        }
    })
    .await;
    let running = recording(Mode::Heads).upstream(upstream.url()).in_one_runtime().start().await;
    let viewer = Viewer::of(&running.proxy).await;
    running.proxy.get("/first").await;
    running.proxy.get("/second").await;
    let exchange = viewer.exchange(|exchange| exchange["path"] == "/second" && ended(exchange)).await;
    let attempts = exchange["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "{exchange}");
    assert_eq!((&attempts[0]["connection"], &attempts[0]["status"]), (&"reused".into(), &Value::Null));
    assert!(attempts[0]["error"].is_string(), "{}", attempts[0]);
    assert_eq!((&attempts[1]["reason"], &attempts[1]["status"]), (&"stale-connection".into(), &200.into()));
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_exchange() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart").await;
        wire.until_client_is_gone().await;
    })
    .await;
    let running = recording(Mode::Bodies).upstream(upstream.url()).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut feed = viewer.feed().await;
    let mut client = running.proxy.connect().await;
    client.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    client.head().await;
    client.exactly(4).await;
    let active = feed.until(|exchange| exchange["bytes_down"] == 4).await;
    assert_eq!((&active["state"], &active["status"]), (&"active".into(), &200.into()));
    drop(client);
    let exchange = feed.until(ended).await;
    assert_eq!((&exchange["id"], &exchange["state"]), (&active["id"], &"aborted".into()));
    assert_eq!(exchange["aborted"], "client");
}

#[tokio::test]
async fn nothing_is_recorded_and_nothing_is_there_when_it_is_off() {
    let running = support::start().await;
    running.proxy.get("/x").await;
    for path in ["/inspect", "/inspect/feed", "/inspect/har"] {
        assert_eq!(running.proxy.admin(path).await.status, 404, "{path}");
    }
    assert_eq!(running.proxy.ask_admin(request("POST", "/inspect/token", "")).await.status, 404);
}

#[tokio::test]
async fn nothing_of_it_is_on_the_data_port() {
    let running = recording(Mode::Heads).start().await;
    for path in ["/inspect", "/inspect/feed", "/inspect/har"] {
        assert_eq!(running.proxy.get(path).await.json()["path"], path, "the API's own");
    }
}

#[tokio::test]
async fn the_page_is_one_file_that_a_strict_policy_holds() {
    let running = recording(Mode::Heads).start().await;
    let page = running.proxy.admin("/inspect").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), value, "{name}");
    }
    let token = token(&running.proxy).await;
    assert!(!page.text().contains(&token));
}

/// The methods and paths that need the token.
const GUARDED: [(&str, &str); 6] = [
    ("GET", "/inspect/feed"),
    ("GET", "/inspect/exchanges/0-0"),
    ("GET", "/inspect/har"),
    ("GET", "/inspect/har/0-0"),
    ("POST", "/inspect/replay"),
    ("POST", "/inspect/clear"),
];

#[tokio::test]
async fn without_the_token_or_from_another_page_nothing_is_shown_or_done() {
    let running = recording(Mode::Heads).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    for (method, path) in GUARDED {
        let bare = running.proxy.ask_admin(request(method, path, "")).await;
        assert_eq!((bare.status.as_u16(), &bare.json()["code"]), (401, &"token-required".into()), "{path}");
        let wrong = running.proxy.ask_admin(bearing("wrong", request(method, path, ""))).await;
        assert_eq!(wrong.status, 401, "{path}");
        for (name, value, code) in [
            ("host", "evil.example", "host-not-allowed"),
            ("origin", "https://evil.example", "cross-site"),
            ("origin", "null", "cross-site"),
            ("sec-fetch-site", "cross-site", "cross-site"),
            ("sec-fetch-site", "same-site", "cross-site"),
        ] {
            let mut foreign = bearing(&viewer.token, request(method, path, ""));
            foreign.headers_mut().insert(name, HeaderValue::from_static(value));
            let answer = running.proxy.ask_admin(foreign).await;
            assert_eq!(answer.problem().1, code, "{path} with {name}: {value}");
        }
    }
}

#[tokio::test]
async fn the_token_is_for_commands_of_the_same_user_and_never_for_a_page() {
    let running = recording(Mode::Heads).start().await;
    let own = format!("http://{}", running.proxy.admin);
    for (name, value) in
        [("origin", own.as_str()), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
    {
        let mut page = request("POST", "/inspect/token", "");
        page.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
        let answer = running.proxy.ask_admin(page).await;
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    assert_eq!(running.proxy.admin("/inspect/token").await.status, 405);
}

#[tokio::test]
async fn operators_from_elsewhere_use_the_admin_token() {
    let setup = recording(Mode::Heads)
        .proxy(|settings| settings.proxy.guard.admin_token = Some("operators-token".to_owned().into()));
    let running = setup.start().await;
    let answer = running.proxy.ask_admin(bearing("operators-token", get("/inspect/har"))).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_request_is_sent_again_through_the_guard_and_signed_anew() {
    let running = recording(Mode::Bodies).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut put = request("PUT", "/things/1?a=b&token=s3cr3t-token", "text");
    for (name, value) in [("content-type", "text/plain"), ("cookie", "a=s3cr3t-cookie"), ("x-kept", "kept")] {
        put.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    running.proxy.send(put).await;
    let first = viewer.exchange(ended).await;
    let answer = viewer.post("/inspect/replay", json!({ "id": first["id"] })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let replayed = answer.json();
    assert_eq!((&replayed["status"], &replayed["left_out"]), (&200.into(), &json!(["?token", "cookie"])));
    let second = viewer.detail(&replayed).await;
    assert_eq!(second["replay_of"], first["id"]);
    assert_eq!(
        (&second["method"], &second["path"], &second["query"]),
        (&"PUT".into(), &"/things/1".into(), &"a=b".into())
    );
    assert_eq!(second["request_body"]["text"], "text");
    assert!(pairs(&second["request_headers"]).contains(&("x-kept", "kept")));
    for headers in ["request_headers", "sent_headers"] {
        assert!(!pairs(&second[headers]).iter().any(|(name, _)| *name == "x-request-id"), "{second}");
    }
    assert_ne!(first["attempts"][0]["signed_at"], Value::Null);
    let edited = json!({
        "id": first["id"], "method": "POST", "path": "/other?x", "headers": [["x-new", "1"]], "body": "edited",
    });
    let answer = viewer.post("/inspect/replay", edited).await.json();
    let third = viewer.detail(&answer).await;
    assert_eq!(
        (&third["method"], &third["path"], &third["query"]),
        (&"POST".into(), &"/other".into(), &"x".into())
    );
    assert_eq!(third["request_body"]["text"], "edited");
}

#[tokio::test]
async fn a_replay_gets_no_further_than_its_headers_allow() {
    let running = recording(Mode::Heads).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    running.proxy.send(request("POST", "/x", "text")).await;
    let first = viewer.exchange(ended).await;
    let id = &first["id"];
    let foreign = json!({ "id": id, "body": "", "headers": [["origin", "https://evil.example"]] });
    assert_eq!(viewer.post("/inspect/replay", foreign).await.json()["status"], 403);
    for (replay, status) in [
        (json!({ "id": id }), 409),
        (json!({ "id": id, "body": "a [redacted] b" }), 409),
        (json!({ "id": id, "body": "", "path": "http://evil.example/" }), 400),
        (json!({ "id": id, "body": "", "path": "*" }), 400),
        (json!({ "id": id, "body": "", "method": "CONNECT" }), 400),
        (json!({ "id": id, "body": "", "headers": [["a b", "c"]] }), 400),
        (json!({ "id": id, "body": "", "headers": [["a", "b\r\nc: d"]] }), 400),
        (json!({ "id": id, "unknown": 1 }), 422),
        (json!({ "id": "0-0" }), 404),
    ] {
        let answer = viewer.post("/inspect/replay", replay.clone()).await;
        assert_eq!(answer.status, status, "{replay}: {}", answer.text());
        assert!(answer.json()["detail"].is_string());
    }
}

#[tokio::test]
async fn a_request_whose_body_was_refused_unread_is_not_sent_again_without_it() {
    let running = recording(Mode::Bodies).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut foreign = request("POST", "/foreign", "the body");
    foreign.headers_mut().insert("origin", HeaderValue::from_static("https://evil.example"));
    running.proxy.send(foreign).await;
    let refused = viewer.exchange(ended).await;
    assert_eq!(refused["request_body"]["omitted"], "unread");
    assert!(refused["curl"].as_str().is_some_and(|line| line.ends_with(" --data-binary @body")), "{refused}");
    assert_eq!(viewer.post("/inspect/replay", json!({ "id": refused["id"] })).await.status, 409);
}

#[tokio::test]
async fn what_a_request_names_as_secret_is_not_kept_of_the_answer_that_repeats_it() {
    let running = recording(Mode::Bodies).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let body = r#"{"password":"hunter2/\u00fc+more","a":"b"}"#;
    let mut post = request("POST", "/reset-password/4hunter2x?access_token=hunter%2F3", body);
    post.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    let answer = running.proxy.send(post).await;
    assert!(answer.text().contains("hunter/3") && answer.text().contains("4hunter2x"), "{}", answer.text());
    let kept = viewer.exchange(ended).await.to_string();
    assert!(!kept.contains("hunter"), "{}", around(&kept, "hunter"));
}

#[tokio::test]
async fn a_replay_presents_the_client_token_and_shows_it_nowhere() {
    let running = recording(Mode::Bodies)
        .proxy(|settings| settings.proxy.guard.bearer_token = Some("client-s3cr3t-token".to_owned().into()))
        .start()
        .await;
    let viewer = Viewer::of(&running.proxy).await;
    running.proxy.send(bearing("client-s3cr3t-token", get("/x"))).await;
    let first = viewer.exchange(ended).await;
    assert!(first["curl"].as_str().is_some_and(|line| line.contains("'authorization: Bearer TOKEN'")));
    let answer = viewer.post("/inspect/replay", json!({ "id": first["id"] })).await.json();
    assert_eq!(answer["status"], 200);
    let second = viewer.detail(&answer).await;
    assert!(!first.to_string().contains("s3cr3t") && !second.to_string().contains("s3cr3t"), "{second}");
}

#[tokio::test]
async fn a_viewer_that_reads_nothing_holds_nobody_up() {
    let running = recording(Mode::Heads).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let _idle = viewer.feed().await;
    for _ in 0..MAX_EXCHANGES + 100 {
        assert_eq!(running.proxy.get("/x").await.status, 200);
    }
    let har = viewer.get("/inspect/har").await.json();
    assert_eq!(har["log"]["entries"].as_array().map(Vec::len), Some(MAX_EXCHANGES));
    assert_eq!(viewer.post("/inspect/clear", json!({})).await.status, 204);
    let har = viewer.get("/inspect/har").await.json();
    assert_eq!(har["log"]["entries"], json!([]));
}

#[tokio::test]
async fn a_ninth_viewer_is_told_why_and_gets_the_place_of_one_that_left() {
    let running = recording(Mode::Heads).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut feeds = Vec::new();
    for _ in 0..8 {
        feeds.push(viewer.feed().await);
    }
    let ninth = viewer.get("/inspect/feed").await;
    assert_eq!((ninth.status.as_u16(), &ninth.json()["code"]), (503, &"overloaded".into()));
    assert!(ninth.json()["detail"].as_str().is_some_and(|detail| detail.contains("Eight viewers")));
    feeds.pop();
    let head = format!(
        "GET /inspect/feed HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        viewer.token
    );
    let admitted = async {
        loop {
            let mut connection = Connection::open(running.proxy.admin).await;
            connection.write(head.as_str()).await;
            if connection.head().await.status == 200 {
                return;
            }
        }
    };
    soon("a place", admitted).await;
}

#[tokio::test]
async fn of_a_large_answer_the_beginning_is_kept_and_all_of_it_is_counted() {
    const LENGTH: usize = 64 * 1024 * 1024;
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {LENGTH}\r\n\r\n");
        wire.write(head + &"a".repeat(LENGTH)).await;
    })
    .await;
    let running = recording(Mode::Bodies).upstream(upstream.url()).start().await;
    let viewer = Viewer::of(&running.proxy).await;
    assert_eq!(running.proxy.get("/x").await.body.len(), LENGTH);
    let exchange = viewer.exchange(ended).await;
    assert_eq!(
        (&exchange["bytes_down"], &exchange["response_body"]["truncated"], &exchange["state"]),
        (&LENGTH.into(), &true.into(), &"complete".into())
    );
    assert_eq!(exchange["response_body"]["text"].as_str().map(str::len), Some(MAX_BODY));
}

#[tokio::test]
async fn feeds_end_with_the_proxy() {
    let mut running = recording(Mode::Heads).start().await;
    let mut feed = Viewer::of(&running.proxy).await.feed().await;
    running.proxy.begin_shutdown();
    let end = async { while feed.connection.chunk().await.is_some_and(|chunk| !chunk.is_empty()) {} };
    soon("the end of the feed", end).await;
    running.proxy.ended().await;
}

/// Where a request and its answer can carry a secret. Each canary has its place in its name.
const CANARIES: [&str; 23] = [
    "canary-authorization-0123456789",
    "canary-cookie-0123456789",
    "canary-api-key-0123456789",
    "canary-custom-token-0123456789",
    "canary-query-0123456789",
    "canary-presigned-0123456789",
    "canary-house-number-0123456789",
    "canary-json-0123456789",
    "canary-nested-0123456789",
    "canary-form-0123456789",
    "canary-set-cookie-0123456789",
    "canary-set-header-0123456789",
    "canary-answer-0123456789",
    "canary-location-0123456789",
    "canary-referer-0123456789",
    "canary-basic-0123456789",
    "canary-xml-0123456789",
    "canary-path-0123456789",
    "canary-column-0123456789",
    "canary-pair-0123456789",
    "canary-xml-pair-0123456789",
    "canary-scheme-0123456789",
    "glpat-canary-0123456789",
];

#[tokio::test]
async fn no_secret_is_in_anything_that_is_kept() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let body = format!(
                "{{\"access_token\":\"canary-answer-0123456789\",\"echo\":{}}}",
                Value::String(request)
            );
            let head = format!(
                "HTTP/1.1 302 Found\r\nset-cookie: a=canary-set-cookie-0123456789; Path=/\r\nlocation: \
                 /?code=canary-location-0123456789\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            wire.write(head + &body).await;
        }
    })
    .await;
    let running = recording(Mode::Bodies)
        .upstream(upstream.url())
        .proxy(|settings| {
            let value = HeaderValue::from_static("canary-set-header-0123456789");
            settings.proxy.routes[0].set_headers = vec![("x-partner".parse().expect("a name"), value)];
        })
        .start()
        .await;
    let viewer = Viewer::of(&running.proxy).await;
    let mut feed = viewer.feed().await;
    for (media_type, body) in [
        (
            "application/json",
            r#"{"password":"canary-json-0123456789","a":"{\"secret\":\"canary-nested-0123456789\"}"}"#,
        ),
        ("application/x-www-form-urlencoded", "a=b&client_secret=canary-form-0123456789"),
        ("text/xml", "<a><Password>canary-xml-0123456789</Password></a>"),
        ("application/octet-stream", "canary-json-0123456789"),
        ("text/csv", "user,password\nada,canary-column-0123456789\n"),
        ("application/json", r#"[{"value":"canary-pair-0123456789","type":"x","name":"password"}]"#),
        ("text/xml", "<e><Key>password</Key><Value>canary-xml-pair-0123456789</Value></e>"),
    ] {
        let mut post = request(
            "POST",
            "/x;password=canary-path-0123456789?access_token=canary-query-0123456789&b=c",
            body,
        );
        for (name, value) in [
            ("content-type", media_type),
            ("authorization", "Bearer canary-authorization-0123456789"),
            ("cookie", "session=canary-cookie-0123456789"),
            ("x-api-key", "canary-api-key-0123456789"),
            ("x-upload-token", "canary-custom-token-0123456789"),
            ("x-house-number", "canary-house-number-0123456789"),
            ("x-unknown", "Negotiate canary-scheme-0123456789"),
            ("x-other", "glpat-canary-0123456789"),
            ("referer", "http://localhost/?id_token=canary-referer-0123456789"),
            ("proxy-authorization", "Basic dTpjYW5hcnktYmFzaWMtMDEyMzQ1Njc4OQ=="),
        ] {
            post.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let origin = format!("http://{}/?id_token=canary-referer-0123456789", running.proxy.address);
        post.headers_mut().insert("referer", HeaderValue::from_str(&origin).expect("a value"));
        running.proxy.send(post).await;
        feed.until(|exchange| ended(exchange) && exchange["method"] == "POST").await;
    }
    running.proxy.get("/x?X-Amz-Signature=canary-presigned-0123456789").await;
    let mut seen = viewer.get("/inspect/har").await.text();
    let har: Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!(har["log"]["entries"].as_array().map(Vec::len), Some(8));
    let mut events = viewer.feed().await;
    for _ in 0..8 {
        let exchange = events.until(ended).await;
        seen.push_str(&exchange.to_string());
        seen.push_str(&viewer.detail(&exchange).await.to_string());
    }
    let credentials = running.proxy.credentials.valid().await.expect("credentials");
    let session = credentials.credentials.session_token().expect("a token");
    let secrets = CANARIES.into_iter().chain([
        session,
        credentials.credentials.access_key_id(),
        credentials.credentials.secret_access_key(),
        &viewer.token,
        "dTpjYW5hcnktYmFzaWMtMDEyMzQ1Njc4OQ",
    ]);
    for secret in secrets {
        assert!(!seen.contains(secret), "{secret} is in {}", around(&seen, secret));
    }
    assert!(seen.contains("set-cookie") && seen.contains("a=[redacted]"), "the names are kept");
}

fn around<'a>(text: &'a str, secret: &str) -> &'a str {
    let at = text.find(secret).unwrap_or_default();
    text.get(at.saturating_sub(200)..(at + 100).min(text.len())).unwrap_or(text)
}

#[tokio::test]
async fn a_proxy_on_a_socket_replays_over_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("proxy.sock");
    let listen = Listen::Unix(path.clone());
    let Running { proxy, sandbox: _sandbox } =
        recording(Mode::Heads).proxy(move |settings| settings.listen = listen).start().await;
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    stream.write_all(b"GET /x HTTP/1.0\r\nhost: localhost\r\n\r\n").await.expect("an open connection");
    stream.read_to_end(&mut Vec::new()).await.expect("a clean end");
    let viewer = Viewer::of(&proxy).await;
    let first = viewer.exchange(ended).await;
    let socket = format!("--unix-socket {}", path.display());
    assert!(first["curl"].as_str().is_some_and(|line| line.contains(&socket)), "{}", first["curl"]);
    let replay = viewer.post("/inspect/replay", json!({ "id": first["id"] })).await.json();
    assert_eq!(replay["status"], 200);
    assert_eq!(viewer.detail(&replay).await["replay_of"], first["id"]);
}

#[tokio::test]
async fn the_command_prints_the_page_and_follows_until_the_proxy_ends() {
    let (sandbox, folder) = (program::sandbox().await, program::folder());
    let mut serve = program::serve(&sandbox, folder.path());
    serve.env("COUNTERSIGN_INSPECT", "heads");
    let serve = Program::start(serve);
    let (url, admin) = (serve.logged("ready", "url").await, serve.logged("ready", "admin").await);
    let shown = serve.logged("ready", "inspector").await;
    assert_eq!(shown, format!("{admin}/inspect"));
    let address = admin.trim_start_matches("http://").to_owned();
    let inspect =
        |flags: &[&str]| program::command(&[&["inspect", "--admin-listen", &address], flags].concat());
    let page = program::run(inspect(&[])).await;
    let token =
        page.stdout.trim().strip_prefix(&format!("{admin}/inspect#")).expect("the page's URL").to_owned();
    assert_eq!((token.len(), page.code), (43, Some(0)), "{page:?}");
    let (text, json) = (Program::start(inspect(&["--follow"])), Program::start(inspect(&["--json"])));
    program::ask(&url, "/before").await;
    text.stdout_line("/before").await;
    serve.signal("HUP").await;
    serve.stderr_line("configuration reloaded").await;
    program::ask(&url, "/orders").await;
    assert!(text.stdout_line("/orders").await.contains(" GET /orders 200 "));
    let line: Value = serde_json::from_str(&json.stdout_line("/orders").await).expect("JSON");
    assert_eq!((&line["path"], &line["state"]), (&"/orders".into(), &"complete".into()));
    serve.signal("TERM").await;
    for follower in [text, json] {
        assert_eq!(follower.ended().await.code, Some(0));
    }
    let served = serve.ended().await;
    assert!(
        !served.stderr.contains(&token) && !served.stdout.contains(&token),
        "a log is no place for a token"
    );
}

#[tokio::test]
async fn the_command_ends_with_the_reader_of_its_lines() {
    let (sandbox, folder) = (program::sandbox().await, program::folder());
    let mut serve = program::serve(&sandbox, folder.path());
    serve.env("COUNTERSIGN_INSPECT", "heads");
    let serve = Program::start(serve);
    let (url, admin) = (serve.logged("ready", "url").await, serve.logged("ready", "admin").await);
    let follow =
        program::command(&["inspect", "--follow", "--admin-listen", admin.trim_start_matches("http://")]);
    let mut shell = program::through_shell(&follow, "\"$@\" | head -n 1");
    shell.env("PATH", "/usr/bin:/bin");
    let follower = Program::start(shell);
    let asking = async {
        loop {
            program::ask(&url, "/orders").await;
        }
    };
    let ended = tokio::select! {
        ended = follower.ended() => ended,
        () = asking => unreachable!("it does not end"),
    };
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{ended:?}");
}

#[tokio::test]
async fn the_command_says_what_to_do_when_there_is_nothing_to_see() {
    let (sandbox, folder) = (program::sandbox().await, program::folder());
    let serve = Program::start(program::serve(&sandbox, folder.path()));
    let admin = serve.logged("ready", "admin").await;
    let inspect = || program::command(&["inspect", "--admin-listen", admin.trim_start_matches("http://")]);
    let off = program::run(inspect()).await;
    assert!(off.code == Some(1) && off.stderr.contains("start it with --inspect heads"), "{off:?}");
    serve.signal("TERM").await;
    serve.ended().await;
    let gone = program::run(inspect()).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("nothing answers at"), "{gone:?}");
}
