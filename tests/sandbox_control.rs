//! `/_sandbox/`: the codes that were sent, and faults by request.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use bytes::Bytes;
use countersign::sandbox::{Mfa, Sandbox, Settings, User};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use sandbox_client::{
    Answer, challenge_after_password, credentials, exchange, get, idp, sign_in, signed_get, start, start_with,
};
use serde_json::{Value, json};

fn url(sandbox: &Sandbox, path: &str) -> String {
    format!("{}/_sandbox{path}", sandbox.user_pool_endpoint())
}

async fn plan(sandbox: &Sandbox, fault: &Value) -> Answer {
    let request = Request::post(url(sandbox, "/faults")).header("content-type", "application/json");
    exchange(request.body(Full::from(fault.to_string())).expect("a valid request")).await
}

async fn clear(sandbox: &Sandbox) -> Answer {
    exchange(Request::delete(url(sandbox, "/faults")).body(Full::default()).expect("a valid request")).await
}

#[tokio::test]
async fn a_code_that_was_sent_is_listed() {
    let mut ann = User::new("ann", "Sandbox-password-2");
    ann.aliases = vec!["ann@example.com".to_owned()];
    ann.mfa = vec![Mfa::Email];
    let sandbox = start_with(Settings { users: vec![ann], ..Settings::default() }).await;
    let outbox = async || exchange(get(&url(&sandbox, "/outbox"))).await.json();
    assert_eq!(outbox().await, json!({ "messages": [] }));
    challenge_after_password(&sandbox, "ann", "Sandbox-password-2").await;
    let message = outbox().await["messages"][0].take();
    let code = sandbox.messages().pop().expect("a message").code;
    assert_eq!(message["username"], "ann");
    assert_eq!(message["address"], "ann@example.com");
    assert_eq!((&message["medium"], &message["code"]), (&json!("email"), &json!(code)));
}

#[tokio::test]
async fn a_planned_fault_comes_as_often_as_asked_and_is_listed_until_then() {
    let sandbox = start().await;
    let answer = plan(&sandbox, &json!({ "service": "user-pool", "kind": "429", "times": 2 })).await;
    assert_eq!(answer.status, StatusCode::OK);
    let listed = exchange(get(&url(&sandbox, "/faults"))).await.json();
    assert_eq!(listed["faults"][0]["service"], "user-pool");
    assert_eq!(listed["faults"][0]["times"], 2);
    for operation in ["GetUser", "InitiateAuth"] {
        assert_eq!(idp(&sandbox, operation, json!({})).await.error().0, "TooManyRequestsException");
    }
    assert_ne!(idp(&sandbox, "GetUser", json!({})).await.error().0, "TooManyRequestsException");
    assert_eq!(exchange(get(&url(&sandbox, "/faults"))).await.json()["faults"], json!([]));
}

#[tokio::test]
async fn the_api_fails_in_the_gateways_words() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    for (kind, status, message) in [
        ("429", 429, "Too Many Requests"),
        ("quota", 429, "Limit Exceeded"),
        ("waf", 403, "Forbidden"),
        ("timeout", 504, "Endpoint request timed out"),
        ("too-large", 413, "Request Too Long"),
        ("expired-token", 403, "The security token included in the request is expired"),
        ("revoked", 403, "The security token included in the request is invalid."),
    ] {
        assert_eq!(plan(&sandbox, &json!({ "service": "api", "kind": kind })).await.status, StatusCode::OK);
        let answer = signed_get(&sandbox, &credentials, "/items").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["message"]), (status, &json!(message)), "{kind}");
        assert_eq!(signed_get(&sandbox, &credentials, "/items").await.status, StatusCode::OK, "{kind}");
    }
}

#[tokio::test]
async fn clearing_ends_standing_faults_and_sets_the_clock_right() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    plan(&sandbox, &json!({ "service": "api", "kind": "503", "times": "always" })).await;
    for _ in 0..2 {
        assert_eq!(signed_get(&sandbox, &credentials, "/items").await.status, 503);
    }
    let before = sandbox.clock().now();
    let skewed = plan(&sandbox, &json!({ "kind": "skew", "by": "-10m" })).await.json();
    assert_eq!(skewed["skewMillis"], -600_000);
    assert!(sandbox.clock().now() < before);
    assert_eq!(clear(&sandbox).await.json(), json!({ "faults": [], "skewMillis": 0 }));
    assert!(sandbox.clock().now() >= before);
    assert_eq!(signed_get(&sandbox, &credentials, "/items").await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_other_origins_and_foreign_names_get_nothing() {
    let sandbox = start().await;
    let fault = Full::from(json!({ "service": "api", "kind": "500" }).to_string());
    let post = |headers: &[(&str, &str)]| {
        let mut request = Request::post(url(&sandbox, "/faults"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(fault.clone()).expect("a valid request")
    };
    let json = ("content-type", "application/json");
    for (headers, status) in [
        (&[json, ("origin", "http://localhost:5173")][..], StatusCode::FORBIDDEN),
        (&[json, ("host", "evil.test:8183")], StatusCode::FORBIDDEN),
        (&[json, ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (&[("content-type", "text/plain")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[], StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        assert_eq!(exchange(post(headers)).await.status, status, "{headers:?}");
    }
    let mut outbox = get(&url(&sandbox, "/outbox"));
    outbox.headers_mut().insert("host", "evil.test".parse().expect("a value"));
    assert_eq!(exchange(outbox).await.status, StatusCode::FORBIDDEN);
    assert_eq!(exchange(get(&url(&sandbox, "/faults"))).await.json()["faults"], json!([]));
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let sandbox = start().await;
    let mut request = get(&url(&sandbox, "/outbox"));
    request.headers_mut().insert("accept", "text/html".parse().expect("a value"));
    let page = exchange(request).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    let text = String::from_utf8_lossy(&page.body).into_owned();
    for part in ["/_sandbox/page.js", "/_sandbox/page.css"] {
        assert!(text.contains(part), "{part}");
        let answer = exchange(get(&format!("{}{part}", sandbox.user_pool_endpoint()))).await;
        assert_eq!(answer.status, StatusCode::OK, "{part}");
    }
    assert!(!text.contains("http:") && !text.contains("https:"), "{text}");
}

#[tokio::test]
async fn unknown_paths_methods_and_mistakes_are_answered_with_a_message() {
    let sandbox = start().await;
    let mut put = get(&url(&sandbox, "/outbox"));
    *put.method_mut() = Method::PUT;
    let broken: Request<Full<Bytes>> = Request::post(url(&sandbox, "/faults"))
        .header("content-type", "application/json")
        .body(Full::from("{"))
        .expect("a valid request");
    for (request, status) in [
        (get(&url(&sandbox, "/inbox")), StatusCode::NOT_FOUND),
        (put, StatusCode::METHOD_NOT_ALLOWED),
        (broken, StatusCode::BAD_REQUEST),
    ] {
        let answer = exchange(request).await;
        assert_eq!(answer.status, status);
        assert!(answer.json()["message"].is_string());
    }
    // The rest of the user pool works on.
    assert!(sign_in(&sandbox).await["IdToken"].is_string());
}
