//! Requests that use the same memory one after the other: nothing of one is in the next.

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};

use crate::support::{
    Connection, Running, Setup,
    sink::{Arrival, Sink},
    tls::Authority,
};

/// What differs between two attempts, and from one second to the next.
const VARYING: [&str; 3] = ["authorization", "x-amz-date", "x-amz-security-token"];

async fn in_front_of(sink: &Sink, authority: &Authority) -> Running {
    Setup::new().in_one_runtime().upstream(sink.url()).trusting(authority).start().await
}

/// The method with the target, and the fields that do not vary, in order of their names. Each of the others is there
/// once.
fn seen(arrival: &Arrival) -> (String, Vec<String>) {
    let head = &arrival.head;
    let mut fields: Vec<String> = head
        .headers
        .iter()
        .filter(|(name, _)| !VARYING.contains(&name.as_str()) && *name != "host")
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
        .collect();
    fields.sort();
    for name in VARYING {
        assert_eq!(head.headers.get_all(name).iter().count(), 1, "{name}");
    }
    (format!("{} {}", head.method, head.uri.path_and_query().expect("a path")), fields)
}

fn expected(line: &str, fields: &[&str]) -> (String, Vec<String>) {
    (line.to_owned(), fields.iter().map(|&field| field.to_owned()).collect())
}

/// A gateway's refusal of an expired token.
fn refuse(arrival: Arrival) {
    let text = "{\"message\":\"The security token included in the request is expired\"}";
    let response = Response::builder()
        .status(403)
        .header("x-amzn-requestid", "1")
        .header("x-amzn-errortype", "ExpiredTokenException")
        .header("x-of-refusal", "1")
        .body(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    arrival.answer_with(response.expect("a response"));
}

async fn fine(connection: &mut Connection) {
    let (head, body) = connection.answer().await;
    assert_eq!((head.status, body.as_slice()), (200, b"fine".as_slice()), "{head:?}");
    assert_eq!(head.field("x-of-refusal"), None);
}

#[tokio::test]
async fn requests_of_one_connection_have_their_own_headers_only() {
    for protocol in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority).await;
        let mut connection = running.proxy.connect().await;

        // As many fields as grow each map on the way.
        let many: String = (0..40).map(|number| format!("x-many-{number}: {number}\r\n")).collect();
        connection
            .write(format!("GET /many?a=b HTTP/1.1\r\nHost: localhost\r\ncontent-type: text/x\r\n{many}\r\n"))
            .await;
        let arrival = sink.arrival().await;
        assert_eq!(
            arrival.head.headers.keys().filter(|name| name.as_str().starts_with("x-many-")).count(),
            40
        );
        arrival.answer(200, "fine");
        fine(&mut connection).await;

        connection.write("GET /refused HTTP/1.1\r\nHost: evil.test\r\nx-refused: 1\r\n\r\n").await;
        let (head, _) = connection.answer().await;
        assert_eq!((head.status, head.field("connection")), (403, None));
        assert!(sink.is_quiet().await);

        for (name, body) in [
            ("one", "Content-Length: 4\r\n\r\nbody"),
            ("two", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
        ] {
            connection
                .write(format!("POST /{name} HTTP/1.1\r\nHOST: LOCALHOST\r\nx-{name}: 1\r\n{body}"))
                .await;
            let mut arrival = sink.arrival().await;
            let fields = ["content-length: 4".to_owned(), format!("x-{name}: 1")];
            assert_eq!(seen(&arrival), (format!("POST /{name}"), fields.to_vec()), "{protocol}");
            assert_eq!(arrival.rest().await, (b"body".to_vec(), true));
            arrival.answer(200, "fine");
            fine(&mut connection).await;
        }

        connection.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let arrival = sink.arrival().await;
        assert_eq!(seen(&arrival), expected("GET /", &[]), "{protocol}");
        arrival.answer(200, "fine");
        fine(&mut connection).await;
    }
}

#[tokio::test]
async fn a_second_attempt_has_all_headers_of_the_first_and_is_signed_anew() {
    for protocol in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority).await;
        let mut connection = running.proxy.connect().await;
        connection
            .write("PUT /one HTTP/1.1\r\nHost: localhost\r\nx-one: a\r\nx-one: b\r\ncontent-length: 4\r\n\r\nbody")
            .await;
        let mut first = sink.arrival().await;
        let of_first = (seen(&first), first.head.headers.clone());
        let fields = ["content-length: 4", "x-one: a", "x-one: b"];
        assert_eq!(of_first.0, expected("PUT /one", &fields), "{protocol}");
        assert_eq!(first.rest().await, (b"body".to_vec(), true));
        refuse(first);
        let mut second = sink.arrival().await;
        assert_eq!(seen(&second), of_first.0, "{protocol}");
        assert_eq!(second.rest().await, (b"body".to_vec(), true));
        for name in ["x-amz-security-token", "authorization"] {
            assert_ne!(second.head.headers.get(name), of_first.1.get(name), "{protocol}");
        }
        second.answer(200, "fine");
        fine(&mut connection).await;

        connection.write("GET /two HTTP/1.1\r\nHost: localhost\r\nx-two: 1\r\n\r\n").await;
        let arrival = sink.arrival().await;
        assert_eq!(seen(&arrival), expected("GET /two", &["x-two: 1"]), "{protocol}");
        arrival.answer(200, "fine");
        fine(&mut connection).await;
    }
}

#[tokio::test]
async fn what_a_client_left_behind_is_not_in_the_next_request() {
    for protocol in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let sink = Sink::start(&authority, protocol).await;
        let running = in_front_of(&sink, &authority).await;
        let mut left = running.proxy.connect().await;
        left.write("GET /left HTTP/1.1\r\nHost: localhost\r\nx-left: 1\r\n\r\n").await;
        let unanswered = sink.arrival().await;
        drop(left);
        let mut left = running.proxy.connect().await;
        left.write("POST /left HTTP/1.1\r\nHost: localhost\r\nx-left: 2\r\ncontent-length: 9\r\n\r\nhalf")
            .await;
        drop(left);

        let mut connection = running.proxy.connect().await;
        for line in ["GET /a", "DELETE /b?c"] {
            connection.write(format!("{line} HTTP/1.1\r\nHost: localhost\r\nx-own: {line}\r\n\r\n")).await;
            let arrival = sink.arrival().await;
            assert_eq!(seen(&arrival), expected(line, &[&format!("x-own: {line}")]), "{protocol}");
            arrival.answer(200, "fine");
            fine(&mut connection).await;
        }
        drop(unanswered);
    }
}
