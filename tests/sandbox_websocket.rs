//! The sandbox's WebSocket API: handshakes, messages, limits, `@connections`, a backend, and planned faults.
#![cfg(feature = "sandbox")]

mod sandbox_client;
mod support;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use countersign::sandbox::{
    ApiRoute, Authorization, CONNECT, Fault, INVOKE, Sandbox, Service, Settings, Verdict, WebSocketLimits,
};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use sandbox_client::{Answer, credentials, exchange, signed, start, start_with};
use serde_json::{Value, json};
use support::{soon, upstream::Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{
            CloseFrame, Role,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// The key of RFC 6455 section 1.3, and what a server makes of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

type Socket = WebSocketStream<TcpStream>;

#[derive(Debug)]
struct Opened {
    socket: Socket,
    headers: HeaderMap,
}

impl Opened {
    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("an open connection");
    }

    /// The next message of text.
    async fn hear(&mut self) -> String {
        match soon("a message", self.socket.next()).await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("not a text: {other:?}"),
        }
    }

    async fn ask(&mut self, text: &str) -> String {
        self.say(text).await;
        self.hear().await
    }

    /// The code and the reason of the Close frame that comes next; 1006 for an end without one.
    async fn closed(&mut self) -> (u16, String) {
        match soon("the end", self.socket.next()).await {
            Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                (code.into(), reason.as_str().to_owned())
            }
            Some(Err(_)) | None => (1006, String::new()),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// The connection's id, as an event has it.
    async fn id(&mut self) -> String {
        let event: Value = serde_json::from_str(&self.ask(r#"{"action":"event"}"#).await).expect("an event");
        event["requestContext"]["connectionId"].as_str().expect("an id").to_owned()
    }
}

/// Credentials of a guest, which take no sign-in.
fn guest(sandbox: &Sandbox) -> Credentials {
    sandbox.issue_credentials(Duration::from_secs(900))
}

fn get(sandbox: &Sandbox, path: &str) -> Request<Bytes> {
    Request::get(format!("{}{path}", sandbox.api_url())).body(Bytes::new()).expect("a valid request")
}

/// A handshake that is signed in its headers.
fn handshake(sandbox: &Sandbox, credentials: &Credentials, path: &str) -> Request<Full<Bytes>> {
    with_upgrade(signed(sandbox, credentials, get(sandbox, path)))
}

fn with_upgrade(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    request
}

fn with(mut request: Request<Full<Bytes>>, name: &'static str, value: &str) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, value.parse().expect("a value"));
    request
}

/// A handshake that is signed in its query.
fn presigned(
    sandbox: &Sandbox,
    credentials: &Credentials,
    path: &str,
    time: SystemTime,
) -> Request<Full<Bytes>> {
    let identity = credentials.clone().into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(300));
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(sandbox.region())
        .name("execute-api")
        .time(time)
        .settings(settings)
        .build()
        .expect("complete parameters")
        .into();
    let mut request = get(sandbox, path);
    let uri = request.uri().to_string();
    let signable =
        SignableRequest::new("GET", uri, std::iter::empty(), SignableBody::Bytes(&[])).expect("signable");
    let (instructions, _) = sign(signable, &parameters).expect("a signature").into_parts();
    instructions.apply_to_request_http1x(&mut request);
    with_upgrade(request.map(Full::new))
}

/// Sends a handshake; `Err` is an answer other than 101.
async fn open(request: Request<Full<Bytes>>) -> Result<Opened, Answer> {
    let authority = request.uri().authority().expect("an address").as_str();
    let mut stream = TcpStream::connect(authority).await.expect("a listener");
    stream.write_all(head(&request, authority).as_bytes()).await.expect("a live socket");
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at + 4;
        }
        assert!(
            soon("an answer", stream.read_buf(&mut bytes)).await.expect("a live socket") > 0,
            "no answer"
        );
    };
    let rest = bytes.split_off(end);
    let (status, headers) = parsed(&bytes);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let socket = Socket::from_partially_read(stream, rest, Role::Client, None).await;
        return Ok(Opened { socket, headers });
    }
    let length: usize = headers["content-length"].to_str().expect("text").parse().expect("a length");
    let mut body = rest;
    while body.len() < length {
        soon("the body", stream.read_buf(&mut body)).await.expect("a live socket");
    }
    Err(Answer { status, headers, body: body.into() })
}

fn head(request: &Request<Full<Bytes>>, authority: &str) -> String {
    let target = request.uri().path_and_query().expect("a path");
    let mut head = format!("{} {target} HTTP/1.1\r\nhost: {authority}\r\n", request.method());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
    }
    head + "\r\n"
}

fn parsed(head: &[u8]) -> (StatusCode, HeaderMap) {
    let head = std::str::from_utf8(head).expect("text");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| {
        (name.parse::<http::HeaderName>().expect("a name"), value.parse().expect("a value"))
    });
    (status.parse().expect("a status"), headers.collect())
}

async fn opened(sandbox: &Sandbox) -> Opened {
    let request = handshake(sandbox, &guest(sandbox), "");
    open(request).await.unwrap_or_else(|answer| panic!("{answer:?}"))
}

async fn refused(request: Request<Full<Bytes>>) -> Answer {
    match open(request).await {
        Ok(opened) => panic!("opened: {:?}", opened.headers),
        Err(answer) => answer,
    }
}

fn limits(change: impl FnOnce(&mut WebSocketLimits)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings.websocket);
    settings
}

async fn manage(sandbox: &Sandbox, method: &str, id: &str, body: impl Into<Bytes>) -> Answer {
    let id = id.replace('=', "%3D");
    let request = Request::builder()
        .method(method)
        .uri(format!("{}/@connections/{id}", sandbox.api_url()))
        .body(body.into())
        .expect("a valid request");
    exchange(signed(sandbox, &guest(sandbox), request)).await
}

#[tokio::test]
async fn a_signed_handshake_opens_a_connection_that_echoes() {
    let sandbox = start().await;
    let credentials = guest(&sandbox);
    let now = sandbox.clock().now();
    for request in [
        handshake(&sandbox, &credentials, ""),
        handshake(&sandbox, &credentials, "/chat/a%2Fb?room=1&x=a+b"),
        presigned(&sandbox, &credentials, "", now),
        presigned(&sandbox, &credentials, "/chat?room=1", now),
    ] {
        let target = request.uri().clone();
        let mut opened = open(request).await.unwrap_or_else(|answer| panic!("{target}: {answer:?}"));
        assert_eq!(opened.headers["sec-websocket-accept"], ACCEPT);
        assert!(!opened.headers.contains_key("sec-websocket-protocol"));
        for length in [0, 1, 125, 126, 32 * 1024] {
            let text = "x".repeat(length);
            assert_eq!(opened.ask(&text).await, text);
        }
    }
    let verdicts = sandbox.requests().into_iter().map(|request| request.verdict);
    assert!(verdicts.clone().all(|verdict| matches!(verdict, Verdict::Verified { .. })), "{verdicts:?}");
}

#[tokio::test]
async fn a_message_of_several_frames_is_one_message() {
    let sandbox = start().await;
    let mut opened = opened(&sandbox).await;
    for (index, kind) in [Data::Text, Data::Continue, Data::Continue, Data::Continue].into_iter().enumerate()
    {
        let frame = Frame::message(vec![b'x'; 32 * 1024], OpCode::Data(kind), index == 3);
        opened.socket.send(Message::Frame(frame)).await.expect("an open connection");
        if index == 3 {
            break;
        }
        opened.socket.send(Message::Ping(Bytes::from_static(b"between"))).await.expect("an open connection");
        let pong = soon("a pong", opened.socket.next()).await;
        assert!(matches!(&pong, Some(Ok(Message::Pong(payload))) if payload == "between"), "{pong:?}");
    }
    assert_eq!(opened.hear().await.len(), 128 * 1024);
}

#[tokio::test]
async fn a_handshake_without_a_valid_signature_is_refused_in_the_gateways_words() {
    let sandbox = start().await;
    let credentials = guest(&sandbox);
    let now = sandbox.clock().now();
    let altered = |change: fn(String) -> String| {
        let mut request = presigned(&sandbox, &credentials, "/chat?room=1", now);
        *request.uri_mut() = change(request.uri().to_string()).parse().expect("a URL");
        request
    };
    let both = with(presigned(&sandbox, &credentials, "", now), "authorization", "AWS4-HMAC-SHA256 x=y");
    for (request, error_type) in [
        (with_upgrade(get(&sandbox, "").map(Full::new)), "MissingAuthenticationTokenException"),
        (
            with(handshake(&sandbox, &credentials, ""), "x-amz-security-token", "x"),
            "UnrecognizedClientException",
        ),
        (altered(|url| url.replace("room=1", "room=2")), "InvalidSignatureException"),
        (altered(|url| url.replace("X-Amz-Expires=300", "X-Amz-Expires=301")), "InvalidSignatureException"),
        (altered(|url| url.replace("X-Amz-Expires=300", "X-Amz-Expires=x")), "IncompleteSignatureException"),
        (altered(|url| url.replace("X-Amz-Date=", "x=")), "IncompleteSignatureException"),
        (altered(|url| url.replace("X-Amz-Security-Token=", "x=")), "UnrecognizedClientException"),
        (both, "IncompleteSignatureException"),
        (presigned(&sandbox, &credentials, "", now - Duration::from_secs(301)), "InvalidSignatureException"),
    ] {
        let answer = refused(request).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        assert_eq!(answer.header("x-amzn-errortype"), error_type, "{answer:?}");
    }
    let late = presigned(&sandbox, &credentials, "", now - Duration::from_secs(299));
    assert!(open(late).await.is_ok());
    sandbox.expire_credentials();
    let answer = refused(handshake(&sandbox, &credentials, "")).await;
    assert_eq!(answer.header("x-amzn-errortype"), "ExpiredTokenException");
}

#[tokio::test]
async fn a_malformed_handshake_gets_no_connection() {
    let sandbox = start().await;
    let credentials = guest(&sandbox);
    let old = refused(with(handshake(&sandbox, &credentials, ""), "sec-websocket-version", "8")).await;
    assert_eq!((old.status, old.header("sec-websocket-version")), (StatusCode::UPGRADE_REQUIRED, "13"));
    let short = refused(with(handshake(&sandbox, &credentials, ""), "sec-websocket-key", "c2hvcnQ=")).await;
    assert_eq!(short.status, StatusCode::BAD_REQUEST);
    // What asks for no WebSocket is a request like any other.
    let other = refused(with(handshake(&sandbox, &credentials, "/x"), "upgrade", "h2c")).await;
    assert_eq!((other.status, &other.json()["path"]), (StatusCode::OK, &json!("/x")));
}

#[tokio::test]
async fn an_event_tells_who_is_connected_and_where() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let mut opened = open(handshake(&sandbox, &credentials, "/chat")).await.expect("open");
    let event = opened.ask(r#"{"action":"event","note":"ö"}"#).await;
    let event: Value = serde_json::from_str(&event).expect("an event");
    assert_eq!(event["body"], json!(r#"{"action":"event","note":"ö"}"#));
    assert_eq!((&event["isBase64Encoded"], &event["headers"]), (&json!(false), &Value::Null));
    let context = &event["requestContext"];
    assert_eq!(
        (&context["routeKey"], &context["eventType"], &context["messageDirection"], &context["stage"]),
        (&json!("event"), &json!("MESSAGE"), &json!("IN"), &json!("prod"))
    );
    assert_eq!(format!("http://{}/prod", context["domainName"].as_str().expect("a name")), sandbox.api_url());
    let identity = &context["identity"];
    assert_eq!(identity["accessKey"], credentials.access_key_id());
    assert_eq!(identity["cognitoAuthenticationType"], "authenticated");
    let Some(Verdict::Verified { identity_id, .. }) = sandbox.requests().pop().map(|request| request.verdict)
    else {
        panic!("verified")
    };
    assert_eq!(identity["cognitoIdentityId"], json!(identity_id));
    let second: Value = serde_json::from_str(&opened.ask(r#"{"action":"event"}"#).await).expect("an event");
    let again = &second["requestContext"];
    assert_eq!(again["connectionId"], context["connectionId"]);
    assert_ne!((&again["messageId"], &again["requestId"]), (&context["messageId"], &context["requestId"]));
}

#[tokio::test]
async fn a_route_without_authorisation_takes_an_unsigned_handshake() {
    let open_route = ApiRoute { path: "/public".to_owned(), authorization: Authorization::None };
    let sandbox = start_with(Settings { api_routes: vec![open_route], ..Settings::default() }).await;
    let mut anonymous = open(with_upgrade(get(&sandbox, "/public/x").map(Full::new))).await.expect("open");
    let event: Value = serde_json::from_str(&anonymous.ask(r#"{"action":"event"}"#).await).expect("an event");
    assert_eq!(event["requestContext"]["identity"]["cognitoIdentityId"], Value::Null);
    assert_eq!(refused(with_upgrade(get(&sandbox, "/x").map(Full::new))).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_first_subprotocol_that_is_offered_is_chosen() {
    let sandbox = start().await;
    let request = with(handshake(&sandbox, &guest(&sandbox), ""), "sec-websocket-protocol", "mqtt, chat");
    let opened = open(request).await.expect("open");
    assert_eq!(opened.headers["sec-websocket-protocol"], "mqtt");
}

#[tokio::test]
async fn what_the_gateway_does_not_take_closes_the_connection_with_its_code() {
    let sandbox = start().await;
    let text = |length: usize| Message::text("x".repeat(length));
    let frame = |kind, length: usize, last| {
        Message::Frame(Frame::message(vec![b'x'; length], OpCode::Data(kind), last))
    };
    for (messages, code) in [
        (vec![Message::binary(vec![1, 2])], 1003),
        (vec![text(32 * 1024 + 1)], 1009),
        (vec![text(1024 * 1024)], 1009),
        (
            vec![frame(Data::Text, 32 * 1024, false)]
                .into_iter()
                .chain((0..4).map(|_| frame(Data::Continue, 32 * 1024, false)))
                .collect(),
            1009,
        ),
        (vec![frame(Data::Continue, 1, true)], 1002),
        (vec![Message::Frame(Frame::message(vec![0xFF], OpCode::Data(Data::Text), true))], 1007),
        (vec![text(2), Message::text(r#"{"action":"close","code":4001,"reason":"bye"}"#)], 4001),
    ] {
        let mut opened = opened(&sandbox).await;
        for message in messages {
            // The API may have closed already.
            let _ = opened.socket.send(message).await;
        }
        let closed = loop {
            match soon("the end", opened.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{code}: {other:?}"),
            }
        };
        assert_eq!(closed, code);
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_closed_and_pings_do_not_count() {
    let sandbox = start_with(limits(|limits| limits.idle_timeout = Duration::from_millis(200))).await;
    let mut opened = opened(&sandbox).await;
    let closed = loop {
        let _ = opened.socket.send(Message::Ping(Bytes::new())).await;
        match soon("the end", opened.socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(closed, 1001);
}

#[tokio::test]
async fn a_connection_ends_after_its_lifetime_however_busy() {
    let sandbox = start_with(limits(|limits| limits.max_lifetime = Duration::from_millis(200))).await;
    let mut opened = opened(&sandbox).await;
    let closed = loop {
        let _ = opened.socket.send(Message::text("busy")).await;
        match soon("the end", opened.socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(closed, 1001);
}

#[tokio::test]
async fn a_connection_above_the_limit_is_refused_until_another_ends() {
    let sandbox = start_with(limits(|limits| limits.max_connections = 1)).await;
    let mut first = opened(&sandbox).await;
    let answer = refused(handshake(&sandbox, &guest(&sandbox), "")).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    first.socket.close(None).await.expect("an open connection");
    while first.socket.next().await.is_some() {}
    soon("a place", async { while open(handshake(&sandbox, &guest(&sandbox), "")).await.is_err() {} }).await;
}

#[tokio::test]
async fn signed_requests_reach_a_connection_by_its_id() {
    let sandbox = start().await;
    let mut opened = opened(&sandbox).await;
    let id = opened.id().await;
    assert_eq!(manage(&sandbox, "POST", &id, "pushed").await.status, StatusCode::OK);
    assert_eq!(opened.hear().await, "pushed");
    assert_eq!(manage(&sandbox, "POST", &id, &b"\xFF"[..]).await.status, StatusCode::OK);
    let binary = soon("a message", opened.socket.next()).await;
    assert!(matches!(&binary, Some(Ok(Message::Binary(bytes))) if bytes[..] == [0xFF]), "{binary:?}");

    let described = manage(&sandbox, "GET", &id, "").await.json();
    assert_eq!(described["identity"]["sourceIp"], "127.0.0.1");
    let time = |name: &str| described[name].as_str().expect("a time").to_owned();
    assert!(time("connectedAt") <= time("lastActiveAt"), "{described}");
    for name in ["connectedAt", "lastActiveAt"] {
        assert_eq!(time(name).len(), "2026-11-29T08:36:08.690Z".len(), "{described}");
    }

    let too_large = manage(&sandbox, "POST", &id, vec![b'x'; 128 * 1024 + 1]).await;
    assert_eq!(
        (too_large.status.as_u16(), too_large.header("x-amzn-errortype")),
        (413, "PayloadTooLargeException")
    );
    let url = format!("{}/@connections/{id}", sandbox.api_url());
    assert_eq!(exchange(sandbox_client::get(&url)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(manage(&sandbox, "PUT", &id, "").await.status, StatusCode::FORBIDDEN);

    assert_eq!(manage(&sandbox, "DELETE", &id, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(opened.closed().await, (1000, "Connection Closed Normally".to_owned()));
    let gone = manage(&sandbox, "POST", &id, "late").await;
    assert_eq!((gone.status.as_u16(), gone.header("x-amzn-errortype")), (410, "GoneException"));
    let invalid = manage(&sandbox, "POST", "nobody", "x").await;
    assert_eq!((invalid.status.as_u16(), invalid.header("x-amzn-errortype")), (400, "BadRequestException"));
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_no_more_messages() {
    let sandbox = start().await;
    let mut opened = opened(&sandbox).await;
    let id = opened.id().await;
    let limited = soon("the limit", async {
        loop {
            let answer = manage(&sandbox, "POST", &id, vec![b'x'; 128 * 1024]).await;
            if answer.status != StatusCode::OK {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(
        (limited.status.as_u16(), limited.header("x-amzn-errortype")),
        (429, "LimitExceededException")
    );
    assert_eq!(opened.hear().await.len(), 128 * 1024);
}

/// A server that answers each event of a connection as `answer` says.
async fn backend(answer: fn(&Value) -> String) -> Upstream {
    Upstream::start(move |_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let event = serde_json::from_str(body(&request)).expect("an event");
            wire.write(answer(&event)).await;
        }
    })
    .await
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").expect("a head").1
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn with_backend(backend: &Upstream) -> Settings {
    Settings { backend: format!("{}/base", backend.url()).parse().ok(), ..Settings::default() }
}

#[tokio::test]
async fn a_backend_gets_the_events_and_its_answers_go_back() {
    let backend = backend(|event| match event["requestContext"]["eventType"].as_str() {
        Some("CONNECT") => answer("200 OK", "sec-websocket-protocol: chat\r\n", "ignored"),
        Some("MESSAGE") if event["body"] == "silence" => answer("200 OK", "", ""),
        Some("MESSAGE") => {
            answer("200 OK", "", &format!("{} to {}", event["requestContext"]["routeKey"], event["body"]))
        }
        _ => answer("200 OK", "", ""),
    })
    .await;
    let sandbox = start_with(with_backend(&backend)).await;
    let request = handshake(&sandbox, &guest(&sandbox), "/chat?room=1");
    let mut opened = open(with(request, "sec-websocket-protocol", "mqtt, chat")).await.expect("open");
    assert_eq!(opened.headers["sec-websocket-protocol"], "chat");
    opened.say("silence").await;
    assert_eq!(opened.ask("hello").await, r#""$default" to "hello""#);
    assert!(opened.ask(r#"{"action":"send"}"#).await.starts_with(r#""send" to"#));
    let bye = CloseFrame { code: 4000.into(), reason: "bye".into() };
    opened.socket.close(Some(bye)).await.expect("an open connection");
    while opened.socket.next().await.is_some() {}
    soon("the last event", async {
        while backend.requests().len() < 5 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let requests = backend.requests();
    let events: Vec<Value> =
        requests.iter().map(|request| serde_json::from_str(body(request)).expect("an event")).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["requestContext"]["eventType"].clone()).collect();
    assert_eq!(kinds, ["CONNECT", "MESSAGE", "MESSAGE", "MESSAGE", "DISCONNECT"]);
    assert_eq!(events[0]["queryStringParameters"], json!({ "room": "1" }));
    assert_eq!(events[0]["headers"]["sec-websocket-protocol"], "mqtt, chat");
    assert_eq!(events[0]["headers"]["authorization"], Value::Null);
    let context = &events[4]["requestContext"];
    assert_eq!(
        (&context["disconnectStatusCode"], &context["disconnectReason"]),
        (&json!(4000), &json!("bye"))
    );
    let first = requests[0].to_lowercase();
    assert!(first.starts_with("post /base/chat?room=1 http/1.1\r\n"), "{first}");
    for header in [
        "x-countersign-event-type: connect",
        "x-countersign-connection-id: ",
        "x-countersign-identity-id: eu-west-1:",
    ] {
        assert!(first.contains(header), "{header}: {first}");
    }
}

#[tokio::test]
async fn a_backend_refuses_a_connection_by_its_status() {
    let refusing = backend(|_| answer("401 Unauthorized", "", "no")).await;
    let sandbox = start_with(with_backend(&refusing)).await;
    let answer = refused(handshake(&sandbox, &guest(&sandbox), "")).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (401, json!({ "message": "Unauthorized" })));
    let settings = Settings { backend: "http://127.0.0.1:9".parse().ok(), ..Settings::default() };
    let sandbox = start_with(settings).await;
    assert_eq!(refused(handshake(&sandbox, &guest(&sandbox), "")).await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_message_that_a_backend_does_not_answer_gets_the_gateways_error() {
    let backend = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(answer("200 OK", "connection: close\r\n", "")).await;
        }
        wire.close();
    })
    .await;
    let sandbox = start_with(with_backend(&backend)).await;
    let mut opened = opened(&sandbox).await;
    backend.connection_closed().await;
    drop(backend);
    let error: Value = serde_json::from_str(&opened.ask("hello").await).expect("JSON");
    assert_eq!(error["message"], "Internal server error");
    assert!(error["connectionId"].is_string() && error["requestId"].is_string(), "{error}");
}

#[tokio::test]
async fn the_end_of_the_sandbox_closes_connections_with_1001() {
    let sandbox = start().await;
    let mut opened = opened(&sandbox).await;
    let (closed, ()) = tokio::join!(opened.closed(), sandbox.stop(Service::Api));
    assert_eq!(closed, (1001, "Going away".to_owned()));
    sandbox.restart(Service::Api).await.expect("the port is free");
    let mut opened = self::opened(&sandbox).await;
    let (closed, ()) = tokio::join!(opened.closed(), sandbox.shutdown());
    assert_eq!(closed.0, 1001);
}

#[tokio::test]
async fn planned_faults_come_at_the_handshake_and_after_it() {
    let sandbox = start().await;
    let faults = sandbox.faults();
    faults.next(CONNECT, 1, Fault::WrongAccept);
    faults.next(CONNECT, 1, Fault::CloseAfter { messages: 2, code: 1011 });
    faults.next(CONNECT, 1, Fault::CloseAfter { messages: 0, code: 1006 });
    faults.next(CONNECT, 1, Fault::Status(503));
    faults.next(INVOKE, 1, Fault::throttled());
    let wrong = opened(&sandbox).await;
    assert_ne!(wrong.headers["sec-websocket-accept"], ACCEPT);
    let mut closing = opened(&sandbox).await;
    for text in ["one", "two"] {
        assert_eq!(closing.ask(text).await, text);
    }
    assert_eq!(closing.closed().await.0, 1011);
    assert_eq!(opened(&sandbox).await.closed().await.0, 1006);
    let statuses = [503, 429];
    for status in statuses {
        assert_eq!(refused(handshake(&sandbox, &guest(&sandbox), "")).await.status.as_u16(), status);
    }
    let mut fine = opened(&sandbox).await;
    assert_eq!(fine.ask("fine").await, "fine");
}
