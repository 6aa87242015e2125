//! The event that a Lambda proxy integration of a REST API receives, payload version 1.0.

use std::{net::SocketAddr, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use time::UtcDateTime;

use super::{STAGE, authorizer::Caller, received::Received};
use crate::sandbox::{answer::RequestIds, identity_pool, percent::Pairs};

/// Where an authorised request comes from.
pub(super) struct Sender<'a> {
    pub(super) caller: &'a Caller,
    pub(super) peer: SocketAddr,
    pub(super) region: &'a str,
}

/// The event for an authorised request, with `path` below the stage and the `ids` of its answer.
pub(super) fn event(
    received: &Received,
    path: &str,
    sender: &Sender<'_>,
    ids: &RequestIds,
    now: SystemTime,
) -> Value {
    let headers = headers(received, sender.peer);
    let query = Pairs::parse(received.query().unwrap_or_default()).into_vec();
    let (body, encoded) = body(received);
    let proxy = path.trim_start_matches('/');
    json!({
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": received.method,
        "headers": last_values(&headers),
        "multiValueHeaders": all_values(&headers),
        "queryStringParameters": last_values(&query),
        "multiValueQueryStringParameters": all_values(&query),
        "pathParameters": (!proxy.is_empty()).then(|| json!({ "proxy": proxy })),
        "stageVariables": null,
        "requestContext": context(received, path, sender, ids, now),
        "body": body,
        "isBase64Encoded": encoded,
    })
}

fn context(received: &Received, path: &str, sender: &Sender<'_>, ids: &RequestIds, now: SystemTime) -> Value {
    let host = received.header("host").unwrap_or_default();
    let now = UtcDateTime::from(now);
    json!({
        "accountId": identity_pool::ACCOUNT,
        "apiId": "sandbox",
        "authorizer": authorizer(sender.caller),
        "domainName": host,
        "domainPrefix": host.split(['.', ':']).next(),
        "extendedRequestId": ids.gateway,
        "httpMethod": received.method,
        "identity": identity(received, sender),
        "path": format!("/{STAGE}{path}"),
        "protocol": "HTTP/1.1",
        "requestId": ids.request,
        "requestTimeEpoch": now.unix_timestamp() * 1000 + i64::from(now.millisecond()),
        "resourceId": "sandbx",
        "resourcePath": "/{proxy+}",
        "stage": STAGE,
    })
}

/// What an authoriser hands on: the claims, which REST APIs give as texts.
fn authorizer(caller: &Caller) -> Value {
    let Caller::UserPool(claims) = caller else { return Value::Null };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let claims = claims.as_object().into_iter().flatten();
    json!({ "claims": claims.map(|(name, value)| (name.clone(), text(value).into())).collect::<Map<_, Value>>() })
}

/// Who sent a request, as events have it.
pub(super) fn identity(received: &Received, sender: &Sender<'_>) -> Value {
    let Sender { caller, peer, region } = sender;
    let mut identity = json!({
        "accessKey": null,
        "accountId": null,
        "apiKey": null,
        "apiKeyId": null,
        "caller": null,
        "cognitoAuthenticationProvider": null,
        "cognitoAuthenticationType": null,
        "cognitoIdentityId": null,
        "cognitoIdentityPoolId": null,
        "principalOrgId": null,
        "sourceIp": peer.ip().to_string(),
        "user": null,
        "userAgent": received.header("user-agent"),
        "userArn": null,
    });
    let Caller::Iam(issued) = caller else { return identity };
    let principal = &issued.principal;
    let caller = format!("AROASANDBOXSANDBOX001:{}", principal.session_name);
    let kind = if principal.login.is_some() { "authenticated" } else { "unauthenticated" };
    let provider = principal.login.as_ref();
    let provider =
        provider.map(|(provider, subject)| format!("{provider},{provider}:CognitoSignIn:{subject}"));
    identity["accessKey"] = issued.access_key.clone().into();
    identity["accountId"] = principal.account_and_role().0.into();
    identity["caller"] = caller.clone().into();
    identity["cognitoAuthenticationProvider"] = provider.into();
    identity["cognitoAuthenticationType"] = kind.into();
    identity["cognitoIdentityId"] = principal.identity_id.clone().into();
    identity["cognitoIdentityPoolId"] = identity_pool::pool_id(region).into();
    identity["user"] = caller.into();
    identity["userArn"] = principal.user_arn().into();
    identity
}

/// Fields of the client that are left out. A gateway hands no Authorization on; the session token is a secret of a
/// kilobyte, which no integration reads and which would stand twice in each echo.
const NOT_IN_EVENT: [&str; 3] = ["authorization", "x-amz-security-token", "x-forwarded-for"];

/// The client's fields and those that the gateway adds.
pub(super) fn headers(received: &Received, peer: SocketAddr) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = received
        .headers
        .iter()
        .filter(|(name, _)| !NOT_IN_EVENT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let forwarded = received.header("x-forwarded-for").map_or_else(String::new, |known| format!("{known}, "));
    headers.push(("X-Forwarded-For".to_owned(), format!("{forwarded}{}", peer.ip())));
    headers.push(("X-Forwarded-Port".to_owned(), "443".to_owned()));
    headers.push(("X-Forwarded-Proto".to_owned(), "https".to_owned()));
    headers
}

/// Text as it is, anything else in base64 as an API with `*/*` as a binary type sends it.
fn body(received: &Received) -> (Option<String>, bool) {
    match std::str::from_utf8(&received.body) {
        Ok("") => (None, false),
        Ok(text) => (Some(text.to_owned()), false),
        Err(_) => (Some(STANDARD.encode(&received.body)), true),
    }
}

pub(super) fn last_values(pairs: &[(String, String)]) -> Option<Map<String, Value>> {
    let values = pairs.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    (!pairs.is_empty()).then_some(values)
}

pub(super) fn all_values(pairs: &[(String, String)]) -> Option<Map<String, Value>> {
    let mut values = Map::new();
    for (name, value) in pairs {
        let list = values.entry(name.clone()).or_insert_with(|| json!([]));
        list.as_array_mut().expect("every entry is a list").push(value.clone().into());
    }
    (!values.is_empty()).then_some(values)
}
