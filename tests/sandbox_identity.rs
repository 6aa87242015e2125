//! Exchanging logins for credentials at the sandbox's identity pool.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use countersign::sandbox::{Fault, Sandbox, Settings, User};
use http::Request;
use http_body_util::Full;
use sandbox_client::{Answer, exchange, identity, identity_id, logins, provider, sign_in, start, start_with};
use serde_json::{Value, json};

fn not_authorized(message: &str) -> (String, String) {
    ("NotAuthorizedException".to_owned(), message.to_owned())
}

async fn get_id(sandbox: &Sandbox, logins: Value) -> Answer {
    identity(sandbox, "GetId", json!({ "IdentityPoolId": sandbox.identity_pool_id(), "Logins": logins }))
        .await
}

async fn get_credentials(sandbox: &Sandbox, identity_id: &str, logins: &Value) -> Answer {
    let request = json!({ "IdentityId": identity_id, "Logins": logins });
    identity(sandbox, "GetCredentialsForIdentity", request).await
}

#[tokio::test]
async fn the_same_user_always_has_the_same_identity() {
    let sandbox = start().await;
    let first = identity_id(&sandbox, &logins(&sandbox, &sign_in(&sandbox).await)).await;
    let second = identity_id(&sandbox, &logins(&sandbox, &sign_in(&sandbox).await)).await;
    assert_eq!(first, second);
    assert!(first.starts_with("eu-west-1:"), "{first}");
}

#[tokio::test]
async fn guests_get_an_identity_each() {
    let sandbox = start().await;
    let first = identity_id(&sandbox, &Value::Null).await;
    assert_ne!(first, identity_id(&sandbox, &json!({})).await);
    assert_eq!(get_credentials(&sandbox, &first, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn guests_can_be_refused() {
    let sandbox = start_with(Settings { guests: false, ..Settings::default() }).await;
    let message = "Unauthenticated access is not supported for this identity pool.";
    assert_eq!(get_id(&sandbox, Value::Null).await.error(), not_authorized(message));
}

#[tokio::test]
async fn credentials_have_the_form_and_lifetime_of_the_settings() {
    let lifetime = Duration::from_secs(30);
    let sandbox = start_with(Settings { credentials_lifetime: lifetime, ..Settings::default() }).await;
    let logins = logins(&sandbox, &sign_in(&sandbox).await);
    let id = identity_id(&sandbox, &logins).await;
    let answer = get_credentials(&sandbox, &id, &logins).await.json();
    assert_eq!(answer["IdentityId"], id);
    let credentials = &answer["Credentials"];
    assert!(credentials["AccessKeyId"].as_str().is_some_and(|key| key.starts_with("ASIA")));
    assert!(credentials["SecretKey"].is_string() && credentials["SessionToken"].is_string());
    let expiry = credentials["Expiration"].as_f64().expect("a number");
    let now = sandbox.clock().now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!((now + 20.0..=now + 30.0).contains(&expiry), "{expiry} at {now}");
}

#[tokio::test]
async fn invalid_tokens_are_refused_in_the_words_of_the_service() {
    let sandbox = start().await;
    let tokens = sign_in(&sandbox).await;
    let token = |name: &str| tokens[name].as_str().expect("a token").to_owned();
    let (id, access) = (token("IdToken"), token("AccessToken"));
    let (signed, signature) = id.rsplit_once('.').expect("a token");
    let (first, rest) = signature.split_at(1);
    let forged = format!("{signed}.{}{rest}", if first == "A" { "B" } else { "A" });
    let provider = provider(&sandbox);
    for (logins, message) in [
        (json!({ &provider: "rubbish" }), "Invalid login token. Not a valid OpenId Connect identity token."),
        (json!({ &provider: forged }), "Invalid login token. Couldn't verify signed token."),
        (json!({ &provider: access }), "Invalid login token. Missing a required claim: aud"),
        (
            json!({ "accounts.google.com": id }),
            "Token is not from a supported provider of this identity pool.",
        ),
    ] {
        assert_eq!(get_id(&sandbox, logins).await.error(), not_authorized(message));
    }
}

#[tokio::test]
async fn an_unknown_identity_pool_is_not_found() {
    let sandbox = start().await;
    let answer = identity(&sandbox, "GetId", json!({ "IdentityPoolId": "eu-west-1:none" })).await;
    let message = "IdentityPool 'eu-west-1:none' not found.".to_owned();
    assert_eq!(answer.error(), ("ResourceNotFoundException".to_owned(), message));
}

#[tokio::test]
async fn an_identity_is_only_for_its_own_login() {
    let users = vec![User::new("ann", "Secret-1"), User::new("bob", "Secret-2")];
    let sandbox = start_with(Settings { users, ..Settings::default() }).await;
    let anns = logins(&sandbox, &sign_in(&sandbox).await);
    let answer = sandbox_client::srp_sign_in(&sandbox, sandbox.client_id(), "bob", "Secret-2").await;
    let bobs = logins(&sandbox, &answer.json()["AuthenticationResult"]);
    let id = identity_id(&sandbox, &anns).await;
    assert_ne!(id, identity_id(&sandbox, &bobs).await);
    assert_eq!(
        get_credentials(&sandbox, &id, &bobs).await.error(),
        not_authorized(
            "Logins don't match. Please include at least one valid login for this identity or identity pool."
        )
    );
    assert_eq!(
        get_credentials(&sandbox, &id, &Value::Null).await.error(),
        not_authorized(&format!("Access to Identity '{id}' is forbidden."))
    );
}

#[tokio::test]
async fn a_deleted_identity_is_not_found_until_asked_for_again() {
    let sandbox = start().await;
    let logins = logins(&sandbox, &sign_in(&sandbox).await);
    let id = identity_id(&sandbox, &logins).await;
    sandbox.delete_identity(&id);
    let (code, message) = get_credentials(&sandbox, &id, &logins).await.error();
    assert_eq!(
        (code.as_str(), message),
        ("ResourceNotFoundException", format!("Identity '{id}' not found."))
    );
    assert_ne!(identity_id(&sandbox, &logins).await, id);
}

#[tokio::test]
async fn a_custom_role_must_be_one_that_the_token_allows() {
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let user = User { roles: vec![role("reader"), role("writer")], ..User::new("ann", "Secret-1") };
    let sandbox = start_with(Settings { users: vec![user], ..Settings::default() }).await;
    let logins = logins(&sandbox, &sign_in(&sandbox).await);
    let id = identity_id(&sandbox, &logins).await;
    for (asked, outcome) in [("writer", true), ("admin", false)] {
        let request = json!({ "IdentityId": id, "Logins": logins, "CustomRoleArn": role(asked) });
        let answer = identity(&sandbox, "GetCredentialsForIdentity", request).await;
        assert_eq!(answer.status == 200, outcome, "{asked}");
    }
}

#[tokio::test]
async fn a_guests_identity_becomes_that_of_the_login_it_is_used_with() {
    let sandbox = start().await;
    let logins = logins(&sandbox, &sign_in(&sandbox).await);
    let guest = identity_id(&sandbox, &Value::Null).await;
    assert_eq!(get_credentials(&sandbox, &guest, &logins).await.json()["IdentityId"], guest);
    assert_eq!(identity_id(&sandbox, &logins).await, guest);
    let another = identity_id(&sandbox, &Value::Null).await;
    assert_eq!(get_credentials(&sandbox, &another, &logins).await.json()["IdentityId"], guest);
}

#[tokio::test]
async fn tokens_of_another_provider_are_accepted_when_the_pool_has_it() {
    let openid_providers = vec!["login.example.com/tenant".to_owned()];
    let sandbox = start_with(Settings { openid_providers, ..Settings::default() }).await;
    let token = |issuer| sandbox.id_token(issuer, "app", "subject-1", Duration::from_secs(60));
    let right = json!({ "login.example.com/tenant": token("https://login.example.com/tenant") });
    let id = identity_id(&sandbox, &right).await;
    assert_eq!(get_credentials(&sandbox, &id, &right).await.status, 200);
    let wrong = json!({ "login.example.com/tenant": token("https://login.example.com/other") });
    assert_eq!(
        get_id(&sandbox, wrong).await.error(),
        not_authorized("Invalid login token. Issuer doesn't match providerName")
    );
}

async fn open_id_token(sandbox: &Sandbox) -> Value {
    let logins = logins(sandbox, &sign_in(sandbox).await);
    let id = identity_id(sandbox, &logins).await;
    let request = json!({ "IdentityId": id, "Logins": logins });
    identity(sandbox, "GetOpenIdToken", request).await.json()
}

async fn assume_role(sandbox: &Sandbox, role: &str, token: &str, more: &str) -> Answer {
    let form = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=countersign&WebIdentityToken={token}\
         &RoleArn=arn%3Aaws%3Aiam%3A%3A{role}{more}"
    );
    let request = Request::post(sandbox.identity_pool_endpoint())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(form))
        .expect("a valid request");
    exchange(request).await
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let start = xml.split(&format!("<{name}>")).nth(1).unwrap_or_else(|| panic!("{name} in {xml}"));
    start.split("</").next().expect("an end")
}

fn sts_error(answer: &Answer) -> (u16, String) {
    let xml = String::from_utf8(answer.body.to_vec()).expect("text");
    (answer.status.as_u16(), element(&xml, "Code").to_owned())
}

#[tokio::test]
async fn the_classic_flow_gives_credentials_of_the_chosen_role() {
    let sandbox = start().await;
    let token = open_id_token(&sandbox).await;
    let text = token["Token"].as_str().expect("a token");
    let answer = assume_role(&sandbox, "123456789012:role/chosen", text, "&DurationSeconds=7200").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/xml"));
    let xml = String::from_utf8(answer.body.to_vec()).expect("text");
    assert_eq!(element(&xml, "Arn"), "arn:aws:sts::123456789012:assumed-role/chosen/countersign");
    let expiry = time::OffsetDateTime::parse(
        element(&xml, "Expiration"),
        &time::format_description::well_known::Rfc3339,
    );
    let expiry = std::time::SystemTime::from(expiry.expect("a time"));
    let left = expiry.duration_since(sandbox.clock().now()).expect("the future").as_secs();
    assert!((7190..=7200).contains(&left), "{left}");

    let credentials = Credentials::new(
        element(&xml, "AccessKeyId"),
        element(&xml, "SecretAccessKey"),
        Some(element(&xml, "SessionToken").to_owned()),
        None,
        "sts",
    );
    let event = sandbox_client::signed_get(&sandbox, &credentials, "/x").await.json();
    let caller = &event["requestContext"]["identity"];
    assert_eq!(caller["userArn"], "arn:aws:sts::123456789012:assumed-role/chosen/countersign");
    assert_eq!(caller["cognitoIdentityId"], token["IdentityId"]);
}

#[tokio::test]
async fn sts_refuses_in_its_own_words() {
    let sandbox = start().await;
    let token = open_id_token(&sandbox).await;
    let token = token["Token"].as_str().expect("a token");
    let role = "123456789012:role/chosen";
    let refusal = async |role, token, more| sts_error(&assume_role(&sandbox, role, token, more).await);
    assert_eq!(refusal(role, "rubbish", "").await, (400, "InvalidIdentityToken".to_owned()));
    assert_eq!(refusal("999999999999:role/x", token, "").await, (403, "AccessDenied".to_owned()));
    assert_eq!(refusal(role, token, "&DurationSeconds=60").await, (400, "ValidationError".to_owned()));
    let id_token = sign_in(&sandbox).await;
    let id_token = id_token["IdToken"].as_str().expect("a token");
    assert_eq!(refusal(role, id_token, "").await, (400, "InvalidIdentityToken".to_owned()));
    sandbox.advance_clock(Duration::from_secs(601));
    assert_eq!(refusal(role, token, "").await, (400, "ExpiredTokenException".to_owned()));
    sandbox.faults().next("AssumeRoleWithWebIdentity", 1, Fault::error("IDPRejectedClaim", "no"));
    assert_eq!(refusal(role, token, "").await, (403, "IDPRejectedClaim".to_owned()));
}

#[tokio::test]
async fn the_classic_flow_can_be_off() {
    let sandbox = start_with(Settings { classic_flow: false, ..Settings::default() }).await;
    let id = identity_id(&sandbox, &Value::Null).await;
    let answer = identity(&sandbox, "GetOpenIdToken", json!({ "IdentityId": id })).await;
    assert_eq!(
        answer.error(),
        not_authorized("Basic (classic) flow is not enabled, please use enhanced flow.")
    );
}

#[tokio::test]
async fn issued_credentials_sign_without_a_sign_in() {
    let sandbox = start().await;
    let credentials = sandbox.issue_credentials(Duration::from_secs(30));
    let event = sandbox_client::signed_get(&sandbox, &credentials, "/x").await.json();
    assert_eq!(event["requestContext"]["identity"]["cognitoAuthenticationType"], "unauthenticated");
    assert_eq!(sandbox.calls().count("GetId"), 0);
}
