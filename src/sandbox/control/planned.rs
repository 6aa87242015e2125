//! Faults as JSON: what a request plans, and the list of what is planned.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::{
    Service,
    api::{ABNORMAL, GatewayError, is_sendable},
    faults::{CONNECT, Calling, Fault, INVOKE, Planned},
};

/// A later answer would come after every client has given up.
const MAX_DELAY: Duration = Duration::from_secs(10 * 60);

/// The kinds that concern WebSocket connections alone.
const CLOSE: &str = "close";
const WRONG_ACCEPT: &str = "wrong-accept";
/// The code of a gateway that goes away.
const DEFAULT_CLOSE_CODE: u16 = 1001;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Fault(Calling, Planned),
    /// The sandbox's clock, so many milliseconds ahead.
    Skew(i64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    kind: String,
    service: Option<String>,
    operation: Option<String>,
    /// How long a delay is, or by how much the clock is ahead.
    by: Option<String>,
    times: Option<Times>,
    /// After how many messages a WebSocket connection closes.
    after: Option<u32>,
    /// The code that it closes with.
    code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Times {
    Count(u32),
    Always(String),
}

/// Reads a request; otherwise what is wrong with it.
pub(super) fn parse(body: &[u8]) -> Result<Plan, String> {
    let asked: Asked = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if asked.kind == "skew" {
        return skew(&asked).map(Plan::Skew);
    }
    let service = service(&asked)?;
    let fault = fault(&asked, service)?;
    if asked.by.is_some() && asked.kind != "delay" {
        return Err(format!("by belongs to delay and skew, not to {}", asked.kind));
    }
    if (asked.after.is_some() || asked.code.is_some()) && asked.kind != CLOSE {
        return Err(format!("after and code belong to close, not to {}", asked.kind));
    }
    let times = match &asked.times {
        None => Some(1),
        Some(Times::Count(times)) if *times > 0 => Some(*times),
        Some(Times::Always(text)) if text == "always" => None,
        Some(_) => return Err("times is a number from 1, or \"always\"".to_owned()),
    };
    Ok(Plan::Fault(calling(&asked, service)?, Planned { fault, times }))
}

/// The list, for people and programs.
pub(super) fn describe(planned: &[(Calling, Planned)], skew: i64) -> Value {
    let faults = planned.iter().map(|(calling, Planned { fault, times })| {
        let (key, name) = match calling {
            Calling::Service(service) => ("service", service.name()),
            Calling::Operation(operation) if operation == INVOKE => ("service", Service::Api.name()),
            Calling::Operation(operation) => ("operation", operation.as_str()),
        };
        let times = times.map_or_else(|| json!("always"), |times| json!(times));
        json!({ key: name, "fault": words(fault), "times": times })
    });
    json!({ "faults": faults.collect::<Vec<_>>(), "skewMillis": skew })
}

fn skew(asked: &Asked) -> Result<i64, String> {
    let of_calls = asked.service.is_some() || asked.operation.is_some() || asked.times.is_some();
    if of_calls || asked.after.is_some() || asked.code.is_some() {
        return Err("skew takes nothing but by: the sandbox has one clock".to_owned());
    }
    let text = asked.by.as_deref().ok_or("skew needs by, such as \"10m\" or \"-10m\"")?;
    let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
    let length = duration(length)?;
    i64::try_from(length.as_millis()).map(|millis| sign * millis).map_err(|_| format!("{text:?} is too long"))
}

fn service(asked: &Asked) -> Result<Option<Service>, String> {
    let named = |name: &String| {
        let services = [Service::UserPool, Service::IdentityPool, Service::Api];
        let found = services.into_iter().find(|service| service.name() == name);
        found.ok_or_else(|| format!("{name:?} is not a service: write user-pool, identity-pool or api"))
    };
    asked.service.as_ref().map(named).transpose()
}

fn calling(asked: &Asked, service: Option<Service>) -> Result<Calling, String> {
    match (&asked.operation, service) {
        (Some(operation), Some(Service::Api)) if operation != INVOKE && operation != CONNECT => {
            Err("the API has no operations but $connect: leave operation out".to_owned())
        }
        (Some(operation), _) if operation.is_empty() => Err("operation is empty".to_owned()),
        (Some(operation), _) => Ok(Calling::Operation(operation.clone())),
        (None, Some(Service::Api)) if is_of_connections(&asked.kind) => {
            Ok(Calling::Operation(CONNECT.to_owned()))
        }
        (None, Some(Service::Api)) => Ok(Calling::Operation(INVOKE.to_owned())),
        (None, Some(service)) => Ok(Calling::Service(service)),
        (None, None) => Err("needs a service or an operation, such as \"InitiateAuth\"".to_owned()),
    }
}

fn fault(asked: &Asked, service: Option<Service>) -> Result<Fault, String> {
    let is_api =
        service == Some(Service::Api) || matches!(asked.operation.as_deref(), Some(INVOKE | CONNECT));
    let operation = asked.operation.as_deref().unwrap_or_default();
    let oauth = operation.starts_with("oauth2/");
    let token = if is_refresh(operation) { "Refresh Token" } else { "Access Token" };
    let not_authorized = |message: String| match oauth {
        true => Fault::error("invalid_grant", ""),
        false => Fault::error("NotAuthorizedException", &message),
    };
    Ok(match asked.kind.as_str() {
        "429" if is_api => gateway("throttled")?,
        "429" => Fault::throttled(),
        WRONG_ACCEPT if is_api => Fault::WrongAccept,
        CLOSE if is_api => {
            Fault::CloseAfter { messages: asked.after.unwrap_or(0), code: close_code(asked.code)? }
        }
        "500" => Fault::Status(500),
        "503" => Fault::Status(503),
        "delay" => Fault::Delay(delay(asked)?),
        "hang" => Fault::Hang,
        "disconnect" => Fault::Disconnect,
        "expired-token" if is_api => Fault::expired_token(),
        "expired-token" if service == Some(Service::IdentityPool) => {
            Fault::error("NotAuthorizedException", "Invalid login token. Token expired: 1 >= 0")
        }
        "expired-token" => not_authorized(format!("{token} has expired")),
        "revoked" if is_api => Fault::error(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        "revoked" => not_authorized(format!("{token} has been revoked")),
        kind if is_api && GatewayError::named(kind).is_some() => gateway(kind)?,
        kind => return Err(unknown_kind(kind)),
    })
}

fn gateway(name: &str) -> Result<Fault, String> {
    GatewayError::named(name).map(Fault::Gateway).ok_or_else(|| unknown_kind(name))
}

fn unknown_kind(kind: &str) -> String {
    let of_api: Vec<_> = GatewayError::names().collect();
    format!(
        "{kind:?} is not a kind: write 429, 500, 503, delay, hang, disconnect, expired-token, revoked or skew; for \
         the api also {CLOSE}, {WRONG_ACCEPT}, {}",
        of_api.join(", ")
    )
}

fn is_of_connections(kind: &str) -> bool {
    matches!(kind, CLOSE | WRONG_ACCEPT)
}

fn close_code(asked: Option<u16>) -> Result<u16, String> {
    let code = asked.unwrap_or(DEFAULT_CLOSE_CODE);
    if code == ABNORMAL || is_sendable(code) {
        return Ok(code);
    }
    Err(format!(
        "{code} cannot close a connection: write 1000 to 1003, 1007 to 1014, 3000 to 4999, or 1006 for none"
    ))
}

/// Whether the operation takes a refresh token, and not an access token.
fn is_refresh(operation: &str) -> bool {
    matches!(operation, "InitiateAuth" | "GetTokensFromRefreshToken")
}

fn delay(asked: &Asked) -> Result<Duration, String> {
    let text = asked.by.as_deref().ok_or("delay needs by, such as \"2s\"")?;
    let length = duration(text)?;
    if length > MAX_DELAY { Err("by must not be longer than 10m".to_owned()) } else { Ok(length) }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("{text:?} is not a duration such as 500ms, 3s or 5m"))
}

fn words(fault: &Fault) -> String {
    match fault {
        Fault::Error { code, message } if message.is_empty() => code.clone(),
        Fault::Error { code, message } => format!("{code}: {message}"),
        Fault::Status(status) => format!("status {status}"),
        Fault::Gateway(error) => error.name.to_owned(),
        Fault::Delay(time) => format!("delay {}", humantime::format_duration(*time)),
        Fault::Late(time) => format!("answer late by {}", humantime::format_duration(*time)),
        Fault::Page(status, title) => format!("page {status} {title}"),
        Fault::Hang => "hang".to_owned(),
        Fault::Disconnect => "disconnect".to_owned(),
        Fault::Truncate => "truncated body".to_owned(),
        Fault::MalformedJson => "malformed JSON".to_owned(),
        Fault::WrongAccept => "wrong Sec-WebSocket-Accept".to_owned(),
        Fault::CloseAfter { messages, code } => format!("close with {code} after {messages} messages"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(body: &Value) -> Result<(Calling, Fault, Option<u32>), String> {
        match parse(body.to_string().as_bytes())? {
            Plan::Fault(calling, Planned { fault, times }) => Ok((calling, fault, times)),
            Plan::Skew(millis) => panic!("a skew of {millis}"),
        }
    }

    fn operation(name: &str) -> Calling {
        Calling::Operation(name.to_owned())
    }

    #[test]
    fn each_service_fails_in_its_own_words() {
        for (body, calling, fault) in [
            (
                json!({ "service": "api", "kind": "429" }),
                operation(INVOKE),
                Fault::Gateway(GatewayError::named("throttled").expect("known")),
            ),
            (
                json!({ "service": "user-pool", "kind": "429" }),
                Calling::Service(Service::UserPool),
                Fault::throttled(),
            ),
            (json!({ "service": "api", "kind": "expired-token" }), operation(INVOKE), Fault::expired_token()),
            (
                json!({ "operation": "InitiateAuth", "kind": "revoked" }),
                operation("InitiateAuth"),
                Fault::error("NotAuthorizedException", "Refresh Token has been revoked"),
            ),
            (
                json!({ "operation": "GetUser", "kind": "revoked" }),
                operation("GetUser"),
                Fault::error("NotAuthorizedException", "Access Token has been revoked"),
            ),
            (
                json!({ "operation": "oauth2/token", "kind": "expired-token" }),
                operation("oauth2/token"),
                Fault::error("invalid_grant", ""),
            ),
            (
                json!({ "operation": "GetId", "kind": "delay", "by": "2s" }),
                operation("GetId"),
                Fault::Delay(Duration::from_secs(2)),
            ),
            (
                json!({ "service": "api", "kind": "close", "after": 2, "code": 1006 }),
                operation(CONNECT),
                Fault::CloseAfter { messages: 2, code: 1006 },
            ),
            (json!({ "service": "api", "kind": "wrong-accept" }), operation(CONNECT), Fault::WrongAccept),
            (
                json!({ "service": "api", "operation": "$connect", "kind": "hang" }),
                operation(CONNECT),
                Fault::Hang,
            ),
        ] {
            assert_eq!(planned(&body), Ok((calling, fault, Some(1))), "{body}");
        }
    }

    #[test]
    fn a_fault_comes_as_often_as_asked() {
        let times = |times: Value| planned(&json!({ "service": "api", "kind": "503", "times": times }));
        assert_eq!(times(json!(3)).expect("valid").2, Some(3));
        assert_eq!(times(json!("always")).expect("valid").2, None);
        for wrong in [json!(0), json!("never"), json!(-1)] {
            assert!(times(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_skew_moves_the_clock_both_ways() {
        let skew = |by: &str| parse(json!({ "kind": "skew", "by": by }).to_string().as_bytes());
        assert_eq!(skew("10m"), Ok(Plan::Skew(600_000)));
        assert_eq!(skew("-10m"), Ok(Plan::Skew(-600_000)));
        assert!(skew("soon").is_err());
    }

    #[test]
    fn mistakes_are_named() {
        for (body, words) in [
            (json!({ "kind": "429" }), "needs a service or an operation"),
            (json!({ "kind": "429", "service": "s3" }), "\"s3\" is not a service"),
            (json!({ "kind": "418", "service": "api" }), "\"418\" is not a kind"),
            (json!({ "kind": "waf", "service": "user-pool" }), "\"waf\" is not a kind"),
            (json!({ "kind": "delay", "service": "api" }), "delay needs by"),
            (json!({ "kind": "delay", "service": "api", "by": "1h" }), "longer than 10m"),
            (json!({ "kind": "500", "service": "api", "by": "1s" }), "by belongs to"),
            (json!({ "kind": "500", "service": "api", "operation": "GetId" }), "the API has no operations"),
            (json!({ "kind": "500", "service": "api", "time": 2 }), "unknown field `time`"),
            (json!({ "kind": "close", "service": "user-pool" }), "\"close\" is not a kind"),
            (json!({ "kind": "close", "service": "api", "code": 1005 }), "1005 cannot close a connection"),
            (json!({ "kind": "hang", "service": "api", "after": 1 }), "after and code belong to close"),
            (json!({ "kind": "skew", "by": "1s", "times": 1 }), "skew takes nothing but by"),
            (json!({ "kind": "skew", "by": "1s", "code": 1001 }), "skew takes nothing but by"),
        ] {
            let error = parse(body.to_string().as_bytes()).expect_err("a mistake");
            assert!(error.contains(words), "{error}");
        }
    }
}
