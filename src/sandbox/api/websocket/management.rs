//! `@connections`: signed requests that send to an open connection, describe it, or close it.

use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::connections::{Activity, Command, Connections, Unreached, is_id};
use crate::{
    rfc3339,
    sandbox::{
        answer::{Body, Form},
        api::received::Received,
        percent::decode,
    },
};

const PREFIX: &str = "/@connections/";

/// The id of the connection that a path below the stage names, decoded.
pub(in crate::sandbox::api) fn connection_id(path: &str) -> Option<String> {
    let id = path.strip_prefix(PREFIX).filter(|id| !id.contains('/'))?;
    Some(String::from_utf8_lossy(&decode(id)).into_owned())
}

pub(super) fn answer(
    connections: &Connections,
    received: &Received,
    id: &str,
    max_message: usize,
) -> Response<Body> {
    if !is_id(id) {
        let body = json!({ "message": format!("Invalid connectionId: {id}"), "connectionId": id });
        return error(StatusCode::BAD_REQUEST, "BadRequestException", &body);
    }
    let done = match received.method.as_str() {
        "POST" if received.body.len() > max_message => {
            let body = json!({ "message": "Message too long" });
            return error(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", &body);
        }
        "POST" => connections.command(id, Command::Send(message(received))).map(|()| empty(StatusCode::OK)),
        "DELETE" => {
            let frame = CloseFrame { code: CloseCode::Normal, reason: "Connection Closed Normally".into() };
            connections.command(id, Command::Close(frame)).map(|()| empty(StatusCode::NO_CONTENT))
        }
        "GET" | "HEAD" => connections.activity(id).map(|activity| Form::Gateway.ok(&description(&activity))),
        _ => {
            let body = json!({ "message": "Forbidden" });
            return error(StatusCode::FORBIDDEN, "ForbiddenException", &body);
        }
    };
    done.unwrap_or_else(|unreached| match unreached {
        Unreached::Gone => error(StatusCode::GONE, "GoneException", &json!({})),
        Unreached::Busy => {
            let body = json!({ "message": "Limit Exceeded" });
            error(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", &body)
        }
    })
}

/// The gateway sends text. What is no text can only go as it is.
fn message(received: &Received) -> Message {
    match std::str::from_utf8(&received.body) {
        Ok(text) => Message::text(text),
        Err(_) => Message::Binary(received.body.clone()),
    }
}

fn description(activity: &Activity) -> Value {
    json!({
        "connectedAt": rfc3339::millis(activity.connected_at),
        "identity": { "sourceIp": activity.source_ip.to_string(), "userAgent": activity.user_agent },
        "lastActiveAt": rfc3339::millis(activity.last_active_at()),
    })
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Form::Gateway.text(status, String::new());
    response.headers_mut().remove(http::header::CONTENT_TYPE);
    response
}

fn error(status: StatusCode, error_type: &'static str, body: &Value) -> Response<Body> {
    let mut response = Form::Gateway.json(status, body);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_connection() {
        for (path, id) in [
            ("/@connections/L0SM9cOFvHcCIhw%3D", Some("L0SM9cOFvHcCIhw=")),
            ("/@connections/L0SM9cOFvHcCIhw=", Some("L0SM9cOFvHcCIhw=")),
            ("/@connections/", Some("")),
            ("/@connections", None),
            ("/@connections/a/b", None),
            ("/x/@connections/a", None),
        ] {
            assert_eq!(connection_id(path).as_deref(), id, "{path}");
        }
        assert!(is_id("L0SM9cOFvHcCIhw=") && !is_id("L0SM9cOFvHcCIhw") && !is_id(""));
    }
}
