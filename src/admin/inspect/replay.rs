//! Sends a recorded request again, through the data listener and its guard, so that it is signed anew.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{Inspection, answer::problem, unknown};
use crate::{
    downstream::listener::{Listen, UnixStream, reachable},
    inspector::RecordedRequest,
};

/// How long the proxy may take for the head of the answer. Its own timeouts are shorter.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// How much of the answer is read, in bytes, and for how long: the record has its beginning, and an answer may be
/// endless.
const MAX_READ: usize = 1024 * 1024;
const MAX_READ_TIME: Duration = Duration::from_secs(5);

/// By this the new exchange is recognised; the upstream does not get it.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const X_COUNTERSIGN_TOKEN: HeaderName = HeaderName::from_static("x-countersign-token");

/// What a connection of its own gives anew, and the length, which the body gives.
const NOT_REPEATED: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What is sent again, and what is changed in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    id: String,
    method: Option<String>,
    path: Option<String>,
    headers: Option<Vec<(String, String)>>,
    body: Option<String>,
}

/// A request that can be sent, and the names of what is missing in it.
struct Prepared {
    request: Request<Full<Bytes>>,
    left_out: Vec<String>,
}

pub(super) async fn replay(
    State(inspection): State<Inspection>,
    replay: Result<Json<Replay>, JsonRejection>,
) -> Response {
    let replay = match replay {
        Ok(Json(replay)) => replay,
        Err(rejection) => return problem(rejection.status(), "bad-request", &rejection.body_text()),
    };
    let Some(recorded) = inspection.recorder.request(&replay.id) else { return unknown(&replay.id) };
    let id = replay.id.clone();
    let Prepared { mut request, left_out } = match prepare(recorded, replay) {
        Ok(prepared) => prepared,
        Err((status, detail)) => return problem(status, "not-replayable", &detail),
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    mark(&mut request, &request_id, inspection.client_token.load_full().as_deref());
    let announced = inspection.recorder.announce_replay(request_id, &id);
    let sent = timeout(MAX_WAIT, send(&inspection.data, request)).await;
    let no_answer = |status, detail: &str| problem(status, "no-answer", detail);
    match (sent, announced.id()) {
        (Ok(Ok(status)), Some(id)) => {
            Json(json!({ "id": id, "status": status.as_u16(), "left_out": left_out })).into_response()
        }
        (Ok(Ok(status)), None) => {
            let detail = format!(
                "The proxy answered {status} before it had read the request: too many headers or connections."
            );
            no_answer(StatusCode::BAD_GATEWAY, &detail)
        }
        (Ok(Err(error)), _) => {
            let detail = format!("The proxy's own listener at {} gave no answer: {error}.", inspection.data);
            no_answer(StatusCode::BAD_GATEWAY, &detail)
        }
        (Err(_), _) => no_answer(StatusCode::GATEWAY_TIMEOUT, "The request was not answered in time."),
    }
}

/// Adds what the proxy recognises the request by, and what its clients have to present.
fn mark(request: &mut Request<Full<Bytes>>, request_id: &str, client_token: Option<&SecretString>) {
    let id = HeaderValue::from_str(request_id).expect("a UUID is visible ASCII");
    request.headers_mut().insert(X_REQUEST_ID, id);
    if let Some(token) = client_token {
        let mut value =
            HeaderValue::from_str(token.expose_secret()).expect("a client token is visible ASCII");
        value.set_sensitive(true);
        request.headers_mut().insert(X_COUNTERSIGN_TOKEN, value);
    }
}

fn prepare(recorded: RecordedRequest, replay: Replay) -> Result<Prepared, (StatusCode, String)> {
    let mut left_out = Vec::new();
    let method = method(&replay.method.unwrap_or(recorded.method))?;
    let query = recorded.query.map(|query| format!("?{query}")).unwrap_or_default();
    let target = target(&replay.path.unwrap_or(recorded.path + &query), &mut left_out)?;
    let is_body_edited = replay.body.is_some();
    let body = replay.body.or(recorded.body);
    let body = body.ok_or_else(|| conflict("The body was not kept. Enter it and send the request again."))?;
    if RecordedRequest::is_redacted(&body) {
        return Err(conflict("A secret was taken out of the body. Enter it and send the request again."));
    }
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = target.into();
    let headers = replay.headers.unwrap_or(recorded.headers);
    // Without `Upgrade` it would be another request, and what passed behind it cannot be sent again.
    let is_handshake = |(name, value): &(String, String)| {
        name.eq_ignore_ascii_case("upgrade") && value.eq_ignore_ascii_case("websocket")
    };
    if headers.iter().any(is_handshake) {
        return Err(conflict("A WebSocket cannot be replayed. Connect a client again."));
    }
    for (name, value) in &headers {
        let is_stale = is_body_edited && name.eq_ignore_ascii_case("content-encoding");
        if is_stale || NOT_REPEATED.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        let (name, value) = field(name, value)?;
        match value {
            Some(value) => drop(request.headers_mut().append(name, value)),
            None => left_out.push(name.as_str().to_owned()),
        }
    }
    if !request.headers().contains_key(header::HOST) {
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    Ok(Prepared { request, left_out })
}

fn bad(detail: String) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, detail)
}

fn conflict(detail: &str) -> (StatusCode, String) {
    (StatusCode::CONFLICT, detail.to_owned())
}

fn method(text: &str) -> Result<Method, (StatusCode, String)> {
    let method =
        Method::from_bytes(text.as_bytes()).map_err(|_| bad(format!("{text:?} is not a method.")))?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(bad(format!("{method} is not forwarded.")));
    }
    Ok(method)
}

fn target(text: &str, left_out: &mut Vec<String>) -> Result<PathAndQuery, (StatusCode, String)> {
    let target = without_redacted(text, left_out);
    if RecordedRequest::is_redacted(&target) {
        return Err(conflict(
            "A secret was taken out of the path. Edit the path and send the request again.",
        ));
    }
    match target.parse::<PathAndQuery>() {
        Ok(parsed) if target.starts_with('/') => Ok(parsed),
        _ => Err(bad(format!("{target:?} is not a path such as /orders?limit=1."))),
    }
}

/// A header, without its value if that is not known.
fn field(name: &str, value: &str) -> Result<(HeaderName, Option<HeaderValue>), (StatusCode, String)> {
    let name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(format!("{name:?} is not a header.")))?;
    // Bytes that are no UTF-8 are not kept.
    if RecordedRequest::is_redacted(value) || value.contains(char::REPLACEMENT_CHARACTER) {
        return Ok((name, None));
    }
    match HeaderValue::from_bytes(value.as_bytes()) {
        Ok(value) => Ok((name, Some(value))),
        Err(_) => Err(bad(format!("The value of {name} has a character that a header cannot carry."))),
    }
}

/// The target without the parameters whose values are not known.
fn without_redacted(target: &str, left_out: &mut Vec<String>) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let (redacted, kept): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| RecordedRequest::is_redacted(pair));
    left_out.extend(redacted.iter().map(|pair| format!("?{}", pair.split('=').next().unwrap_or_default())));
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

async fn send(listen: &Listen, request: Request<Full<Bytes>>) -> io::Result<StatusCode> {
    match listen {
        Listen::Unix(path) => exchange(UnixStream::connect(path).await?, request).await,
        Listen::Localhost(port) => {
            exchange(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], *port))).await?, request).await
        }
        Listen::Address(address) => exchange(TcpStream::connect(reachable(*address)).await?, request).await,
    }
}

/// The status of the answer, of which the beginning has been read.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Full<Bytes>>,
) -> io::Result<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        // An answer that breaks off is the new exchange's to tell.
        let _ = timeout(MAX_READ_TIME, read(response.into_body())).await;
        Ok(status)
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

async fn read(mut body: Incoming) {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > MAX_READ {
            return;
        }
    }
}
