//! Managed login in the sandbox: the authorisation code grant with PKCE.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use countersign::sandbox::{
    CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Fault, ROTATING_CLIENT_ID, Sandbox, UserState,
};
use http::Request;
use http_body_util::Full;
use sandbox_client::{Answer, exchange, get, idp, start};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const REDIRECT_URI: &str = "http://localhost:8976/callback";
const ENCODED_URI: &str = "http%3A%2F%2Flocalhost%3A8976%2Fcallback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn authorization(sandbox: &Sandbox, client_id: &str, more: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    format!(
        "{}/oauth2/authorize?response_type=code&client_id={client_id}&redirect_uri={ENCODED_URI}&state=s-1\
         &code_challenge={challenge}&code_challenge_method=S256{more}",
        sandbox.user_pool_endpoint()
    )
}

async fn code(sandbox: &Sandbox, client_id: &str, more: &str) -> String {
    let url = authorization(sandbox, client_id, more);
    let path = url.strip_prefix(&sandbox.user_pool_endpoint()).expect("an endpoint of the pool");
    let form = format!("username=demo&password={}", sandbox.password().expose_secret());
    let answer = post(sandbox, &path.replace("/oauth2/authorize", "/login"), None, &form).await;
    assert_eq!(answer.status, 302);
    let query =
        answer.header("location").strip_prefix(&format!("{REDIRECT_URI}?")).expect("the redirect URI");
    let (code, state) = query.split_once('&').expect("two parameters");
    assert_eq!(state, "state=s-1");
    code.strip_prefix("code=").expect("a code").to_owned()
}

async fn post(sandbox: &Sandbox, path: &str, authorization: Option<&str>, form: &str) -> Answer {
    let url = format!("{}{path}", sandbox.user_pool_endpoint());
    let mut request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    exchange(request.body(Full::from(form.to_owned())).expect("a valid request")).await
}

async fn redeem(sandbox: &Sandbox, client_id: &str, code: &str, verifier: &str) -> Answer {
    let form = format!(
        "grant_type=authorization_code&client_id={client_id}&code={code}&redirect_uri={ENCODED_URI}\
         &code_verifier={verifier}"
    );
    post(sandbox, "/oauth2/token", None, &form).await
}

fn refused(error: &str) -> (u16, Value) {
    (400, json!({ "error": error }))
}

fn outcome(answer: &Answer) -> (u16, Value) {
    (answer.status.as_u16(), answer.json())
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().expect("a token").split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn a_code_and_its_verifier_give_tokens() {
    let sandbox = start().await;
    let code = code(&sandbox, sandbox.client_id(), "&nonce=n-1&scope=openid+email").await;
    let tokens = redeem(&sandbox, sandbox.client_id(), &code, VERIFIER).await.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert!(tokens["refresh_token"].is_string());
    let id = claims(&tokens["id_token"]);
    assert_eq!((&id["nonce"], &id["cognito:username"]), (&json!("n-1"), &json!("demo")));
    assert_eq!(claims(&tokens["access_token"])["scope"], "openid email");
}

#[tokio::test]
async fn an_id_token_needs_the_openid_scope() {
    let sandbox = start().await;
    let code = code(&sandbox, sandbox.client_id(), "&scope=email").await;
    let tokens = redeem(&sandbox, sandbox.client_id(), &code, VERIFIER).await.json();
    assert_eq!(tokens["id_token"], Value::Null);
    assert!(tokens["access_token"].is_string());
}

#[tokio::test]
async fn a_code_is_valid_once_and_for_five_minutes() {
    let sandbox = start().await;
    let client = sandbox.client_id();
    let first = code(&sandbox, client, "").await;
    assert_eq!(redeem(&sandbox, client, &first, VERIFIER).await.status, 200);
    assert_eq!(outcome(&redeem(&sandbox, client, &first, VERIFIER).await), refused("invalid_grant"));
    let late = code(&sandbox, client, "").await;
    sandbox.advance_clock(Duration::from_secs(301));
    assert_eq!(outcome(&redeem(&sandbox, client, &late, VERIFIER).await), refused("invalid_grant"));
}

#[tokio::test]
async fn a_wrong_verifier_uses_up_the_code() {
    let sandbox = start().await;
    let client = sandbox.client_id();
    let code = code(&sandbox, client, "").await;
    for verifier in ["wrong", VERIFIER] {
        assert_eq!(outcome(&redeem(&sandbox, client, &code, verifier).await), refused("invalid_grant"));
    }
}

#[tokio::test]
async fn only_a_registered_redirect_uri_is_ever_redirected_to() {
    let sandbox = start().await;
    let url = authorization(&sandbox, sandbox.client_id(), "");
    for url in [
        url.replace("8976", "8977"),
        url.replace("callback", "callback%2F"),
        url.replace(sandbox.client_id(), "x"),
    ] {
        let answer = exchange(get(&url)).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn the_page_of_an_unlisted_uri_names_it_and_the_flag_that_lists_it() {
    let sandbox = start().await;
    let url = authorization(&sandbox, sandbox.client_id(), "").replace("callback", "%3Cb%3E");
    let log_out = format!(
        "{}/logout?client_id={}&logout_uri=http%3A%2F%2Flocalhost%3A8976%2F%3Cb%3E",
        sandbox.user_pool_endpoint(),
        sandbox.client_id(),
    );
    for (url, parameter) in [(url, "redirect_uri"), (log_out, "logout_uri")] {
        let page = exchange(get(&url)).await;
        let text = String::from_utf8_lossy(&page.body);
        let uri = "http://localhost:8976/&lt;b&gt;";
        for words in [format!("the {parameter} {uri}."), format!("--callback-url {uri} ")] {
            assert!(text.contains(&words), "{words}: {text}");
        }
    }
}

#[tokio::test]
async fn mistakes_of_the_request_come_back_by_redirect() {
    let sandbox = start().await;
    let url = authorization(&sandbox, sandbox.client_id(), "&scope=openid");
    for (from, to, error) in [
        ("response_type=code", "response_type=token", "unsupported_response_type"),
        ("response_type=code", "", "invalid_request"),
        ("=S256", "=plain", "invalid_request"),
        ("&code_challenge_method=S256", "", "invalid_request"),
        ("scope=openid", "scope=openid%20everything", "invalid_scope"),
        ("scope=openid", "prompt=none", "login_required"),
    ] {
        let answer = exchange(get(&url.replace(from, to))).await;
        let location = answer.header("location");
        assert!(location.starts_with(&format!("{REDIRECT_URI}?error={error}&error_descr")), "{location}");
        assert!(location.ends_with("&state=s-1"), "{location}");
    }
}

#[tokio::test]
async fn a_page_asks_for_name_and_password() {
    let sandbox = start().await;
    let url = authorization(&sandbox, sandbox.client_id(), "&scope=openid");
    let page = exchange(get(&url)).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let page = String::from_utf8(page.body.to_vec()).expect("text");
    let action = page.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let path = action.replace("&amp;", "&");

    let wrong = post(&sandbox, &path, None, "username=demo&password=wrong").await;
    assert_eq!(wrong.status, 400);
    assert!(String::from_utf8_lossy(&wrong.body).contains("Incorrect username or password."));
    let form = format!("username=demo&password={}", sandbox.password().expose_secret());
    let right = post(&sandbox, &path, None, &form).await;
    assert_eq!(right.status, 302);
    assert!(right.header("location").starts_with(&format!("{REDIRECT_URI}?code=")));
}

#[tokio::test]
async fn a_confidential_client_proves_itself_by_basic_or_by_the_form() {
    let sandbox = start().await;
    let basic = |secret| format!("Basic {}", STANDARD.encode(format!("{CONFIDENTIAL_CLIENT_ID}:{secret}")));
    let (right, wrong) = (basic(CONFIDENTIAL_CLIENT_SECRET), basic("wrong"));
    for (authorization, more, accepted) in [
        (Some(right.as_str()), String::new(), true),
        (Some(wrong.as_str()), String::new(), false),
        (None, format!("&client_secret={CONFIDENTIAL_CLIENT_SECRET}"), true),
        (None, String::new(), false),
    ] {
        let code = code(&sandbox, CONFIDENTIAL_CLIENT_ID, "").await;
        let form = format!(
            "grant_type=authorization_code&client_id={CONFIDENTIAL_CLIENT_ID}&code={code}\
             &redirect_uri={ENCODED_URI}&code_verifier={VERIFIER}{more}"
        );
        let answer = post(&sandbox, "/oauth2/token", authorization, &form).await;
        if accepted {
            assert_eq!(answer.status, 200);
        } else {
            assert_eq!(outcome(&answer), refused("invalid_client"));
        }
    }
}

#[tokio::test]
async fn refresh_tokens_of_managed_login_work_at_both_endpoints_until_revoked() {
    let sandbox = start().await;
    let client = sandbox.client_id();
    let code = code(&sandbox, client, "").await;
    let tokens = redeem(&sandbox, client, &code, VERIFIER).await.json();
    let token = tokens["refresh_token"].as_str().expect("a token");
    let form = format!("grant_type=refresh_token&client_id={client}&refresh_token={token}");
    let refreshed = post(&sandbox, "/oauth2/token", None, &form).await.json();
    assert!(refreshed["id_token"].is_string());
    assert_eq!(refreshed["refresh_token"], Value::Null);
    let request = json!({ "ClientId": client, "RefreshToken": token });
    assert_eq!(idp(&sandbox, "GetTokensFromRefreshToken", request).await.status, 200);

    let revoke = format!("token={token}&client_id={client}");
    assert_eq!(post(&sandbox, "/oauth2/revoke", None, &revoke).await.status, 200);
    assert_eq!(outcome(&post(&sandbox, "/oauth2/token", None, &form).await), refused("invalid_grant"));
}

#[tokio::test]
async fn a_rotating_client_rotates_at_the_token_endpoint_as_well() {
    let sandbox = start().await;
    let code = code(&sandbox, ROTATING_CLIENT_ID, "").await;
    let tokens = redeem(&sandbox, ROTATING_CLIENT_ID, &code, VERIFIER).await.json();
    let form = |token: &Value| {
        let token = token.as_str().expect("a token");
        format!("grant_type=refresh_token&client_id={ROTATING_CLIENT_ID}&refresh_token={token}")
    };
    let first = form(&tokens["refresh_token"]);
    let refreshed = post(&sandbox, "/oauth2/token", None, &first).await.json();
    assert_eq!(outcome(&post(&sandbox, "/oauth2/token", None, &first).await), refused("invalid_grant"));
    let second = form(&refreshed["refresh_token"]);
    assert_eq!(post(&sandbox, "/oauth2/token", None, &second).await.status, 200);
}

#[tokio::test]
async fn a_user_who_was_disabled_in_between_gets_nothing() {
    let sandbox = start().await;
    let code = code(&sandbox, sandbox.client_id(), "").await;
    sandbox.set_user_state("demo", UserState::Disabled);
    let answer = redeem(&sandbox, sandbox.client_id(), &code, VERIFIER).await;
    assert_eq!(outcome(&answer), refused("invalid_grant"));
}

#[tokio::test]
async fn other_grants_are_not_supported() {
    let sandbox = start().await;
    let form = format!("grant_type=password&client_id={}", sandbox.client_id());
    let answer = post(&sandbox, "/oauth2/token", None, &form).await;
    assert_eq!(outcome(&answer), refused("unsupported_grant_type"));
}

#[tokio::test]
async fn planned_faults_of_the_token_endpoint_are_in_its_own_form() {
    let sandbox = start().await;
    sandbox.faults().next("oauth2/token", 1, Fault::error("invalid_grant", ""));
    sandbox.faults().next("oauth2/token", 1, Fault::Status(500));
    assert_eq!(outcome(&post(&sandbox, "/oauth2/token", None, "").await), refused("invalid_grant"));
    assert_eq!(post(&sandbox, "/oauth2/token", None, "").await.status, 500);
    assert_eq!(sandbox.calls().count("oauth2/token"), 2);
}
