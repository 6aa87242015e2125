//! Paths below the stage that answer with something other than the echo.
//!
//! | path | answer |
//! |---|---|
//! | `/status/{code}` | that status, with a small JSON body where one is allowed |
//! | `/bytes/{n}` | `n` bytes with their length declared; takes a `Range` of the form `bytes=A-B` |
//! | `/chunked/{n}` | `n` bytes without a length |
//! | `/trailers/{n}` | `n` bytes in chunks, then the trailer `x-sandbox-bytes` |
//! | `/truncated/{n}` | `n` bytes of twice as many, then the connection closes |
//! | `/hangup` | no answer: the connection closes |
//! | `/events/{n}?interval=MS` | `n` server-sent events, one every so many milliseconds |
//! | `/slow/{ms}` | the echo, after that time |
//! | `/headers` | repeated and unusual header fields |
//! | `/redirect?to=URL` | 302 with that `Location` |
//! | `/denied` | 403 as a policy's refusal |
//! | `/gateway/{name}` | the error that [`GatewayError`] has by this name, such as `throttled` |

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{authorizer::Caller, gateway_error::GatewayError, received::Received};
use crate::sandbox::{
    answer::{AwsError, Body, Form, plain},
    identity_pool::ACCOUNT,
    paced::Hangup,
    paced::Paced,
    percent::Pairs,
};

/// Answers one of the special paths; `None` for every other.
pub(super) async fn answer(
    received: &Received,
    path: &str,
    caller: &Caller,
    region: &str,
) -> Result<Option<Response<Body>>, Hangup> {
    let mut segments = path.split('/').skip(1);
    let name = segments.next().unwrap_or_default();
    let argument = segments.next();
    let number = argument.and_then(|segment| segment.parse::<u64>().ok());
    if segments.next().is_some() {
        return Ok(None);
    }
    if name == "gateway" {
        return Ok(argument.and_then(GatewayError::named).map(GatewayError::response));
    }
    Ok(Some(match (name, number) {
        ("status", Some(code)) => status(code),
        ("bytes", Some(length)) => bytes(received, length),
        ("chunked", Some(length)) => octets(StatusCode::OK, Paced::chunked(length)),
        ("trailers", Some(length)) => trailers(length),
        ("truncated", Some(length)) => {
            octets(StatusCode::OK, Paced::truncated(length.saturating_mul(2).max(1), length))
        }
        ("hangup", None) => return Err(Hangup),
        ("events", Some(count)) => events(received, count),
        ("slow", Some(millis)) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            return Ok(None);
        }
        ("headers", None) => headers(),
        ("redirect", None) => redirect(received),
        ("denied", None) => denied(received, path, caller, region),
        _ => return Ok(None),
    }))
}

fn status(code: u64) -> Response<Body> {
    let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| !status.is_informational()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = plain(status, "application/json", json!({ "status": status.as_u16() }).to_string());
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        response = plain(status, "application/json", String::new());
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

fn bytes(received: &Received, length: u64) -> Response<Body> {
    let Some((from, to)) = range(received, length) else {
        let mut response = octets(StatusCode::OK, Paced::bytes(0, length));
        response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        return response;
    };
    let mut response = octets(StatusCode::PARTIAL_CONTENT, Paced::bytes(from, to + 1));
    let value = HeaderValue::try_from(format!("bytes {from}-{to}/{length}")).expect("numbers are ASCII");
    response.headers_mut().insert(header::CONTENT_RANGE, value);
    response
}

fn range(received: &Received, length: u64) -> Option<(u64, u64)> {
    let (from, to) = received.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to && to < length).then_some((from, to))
}

fn trailers(length: u64) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sandbox-bytes", length.into());
    let mut response = octets(StatusCode::OK, Paced::with_trailers(length, trailers));
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-sandbox-bytes"));
    response
}

fn events(received: &Received, count: u64) -> Response<Body> {
    let interval = parameter(received, "interval").and_then(|text| text.parse().ok()).unwrap_or(0);
    plain(StatusCode::OK, "text/event-stream", Paced::events(count, Duration::from_millis(interval)))
}

fn headers() -> Response<Body> {
    let mut response = plain(StatusCode::OK, "text/plain", "headers\n".to_owned());
    let headers = response.headers_mut();
    for cookie in ["a=1; Path=/", "b=2; Path=/; HttpOnly", "a=3; Path=/prod"] {
        headers.append(header::SET_COOKIE, HeaderValue::from_static(cookie));
    }
    headers.append("x-sandbox-empty", HeaderValue::from_static(""));
    let latin1 = HeaderValue::from_bytes(b"caf\xe9").expect("bytes above ASCII are allowed");
    headers.append("x-sandbox-latin1", latin1);
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.append("x-amzn-remapped-authorization", HeaderValue::from_static("kept"));
    response
}

fn redirect(received: &Received) -> Response<Body> {
    let to = parameter(received, "to").and_then(|to| HeaderValue::try_from(to).ok());
    let mut response = plain(StatusCode::FOUND, "text/plain", String::new());
    response.headers_mut().insert(header::LOCATION, to.unwrap_or(HeaderValue::from_static("/")));
    response
}

fn denied(received: &Received, path: &str, caller: &Caller, region: &str) -> Response<Body> {
    let (method, stage) = (&received.method, super::STAGE);
    let user = match caller {
        Caller::Iam(issued) => issued.principal.user_arn(),
        Caller::UserPool(_) | Caller::Anonymous => "anonymous".to_owned(),
    };
    let account = format!("********{}", &ACCOUNT[8..]);
    Form::Gateway.error(&AwsError::new(
        "AccessDeniedException",
        format!(
            "User: {user} is not authorized to perform: execute-api:Invoke on resource: \
             arn:aws:execute-api:{region}:{account}:sandbox/{stage}/{method}{path}"
        ),
    ))
}

fn octets(status: StatusCode, body: Paced) -> Response<Body> {
    plain(status, "application/octet-stream", body)
}

fn parameter(received: &Received, name: &str) -> Option<String> {
    Pairs::parse(received.query()?).get(name).map(str::to_owned)
}
