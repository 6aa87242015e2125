//! Exchanging logins for credentials at the sandbox's identity pool.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::{Duration, UNIX_EPOCH};

use countersign::sandbox::{Sandbox, Settings, User};
use sandbox_client::{Answer, identity, identity_id, logins, provider, sign_in, start, start_with};
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
async fn guests_can_be_turned_away() {
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
async fn tokens_that_prove_nothing_are_refused_in_the_words_of_the_service() {
    let sandbox = start().await;
    let tokens = sign_in(&sandbox).await;
    let token = |name: &str| tokens[name].as_str().expect("a token").to_owned();
    let (id, access) = (token("IdToken"), token("AccessToken"));
    let forged = format!("{}x", &id[..id.len() - 6]);
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
