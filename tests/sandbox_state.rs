//! What is the same after a restart of the sandbox, with and without a folder for its state.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::sandbox::{Sandbox, Settings, User, UserState};
use sandbox_client::{
    credentials, exchange, get, identity, identity_id, idp, logins, sign_in, signed_get, srp_sign_in, start,
    start_with,
};
use serde_json::{Value, json};

fn in_folder(folder: &Path) -> Settings {
    Settings { state_dir: Some(folder.to_owned()), ..Settings::default() }
}

fn subject(tokens: &Value) -> String {
    let token = tokens["IdToken"].as_str().expect("a token");
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["sub"].as_str().expect("a subject").to_owned()
}

async fn keys(sandbox: &Sandbox) -> Value {
    let pool = sandbox.user_pool_id();
    let url = format!("{}/{pool}/.well-known/jwks.json", sandbox.user_pool_endpoint());
    exchange(get(&url)).await.json()
}

async fn refusal(settings: Settings) -> String {
    countersign::sandbox::start(settings).await.expect_err("refused").to_string()
}

#[tokio::test]
async fn keys_users_and_identities_are_the_same_after_a_restart() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let sandbox = start().await;
        let tokens = sign_in(&sandbox).await;
        let subject = subject(&tokens);
        let identity = identity_id(&sandbox, &logins(&sandbox, &tokens)).await;
        seen.push((keys(&sandbox).await, subject, identity));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_client_may_bring_an_identity_of_an_earlier_run() {
    let before = start().await;
    let of_user = identity_id(&before, &logins(&before, &sign_in(&before).await)).await;
    let of_guest = identity_id(&before, &Value::Null).await;
    drop(before);
    let after = start().await;
    let logins = logins(&after, &sign_in(&after).await);
    for (id, logins) in [(of_user, logins), (of_guest, Value::Null)] {
        let request = json!({ "IdentityId": id, "Logins": logins });
        let answer = identity(&after, "GetCredentialsForIdentity", request).await.json();
        assert_eq!(answer["IdentityId"], id.as_str(), "{answer}");
    }
}

#[tokio::test]
async fn users_survive_in_the_folder_with_their_passwords_and_states() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = vec![User::new("demo", "Sandbox-password-1"), User::new("ann", "Sandbox-password-2")];
    let before = start_with(Settings { users, ..in_folder(folder.path()) }).await;
    before.set_user_state("ann", UserState::Disabled);
    before.shutdown().await;
    let after = start_with(in_folder(folder.path())).await;
    let answer = srp_sign_in(&after, after.client_id(), "ann", "Sandbox-password-2").await;
    assert_eq!(answer.error(), ("NotAuthorizedException".to_owned(), "User is disabled.".to_owned()));
    after.set_user_state("ann", UserState::Confirmed);
    let answer = srp_sign_in(&after, after.client_id(), "ann", "Sandbox-password-2").await;
    assert!(answer.json()["AuthenticationResult"]["IdToken"].is_string());
}

#[tokio::test]
async fn a_change_is_in_the_file_before_its_answer_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = start_with(in_folder(folder.path())).await;
    let guest = identity_id(&sandbox, &Value::Null).await;
    let text = fs::read_to_string(folder.path().join("sandbox.json")).expect("a file");
    assert!(text.contains(&guest), "{text}");
    let mode = fs::metadata(folder.path().join("sandbox.json")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn two_sandboxes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start_with(in_folder(folder.path())).await;
    let error = refusal(in_folder(folder.path())).await;
    assert_eq!(error, format!("{}: another sandbox keeps its state there", folder.path().display()));
    drop(first);
    start_with(in_folder(folder.path())).await;
}

#[tokio::test]
async fn a_damaged_file_is_named_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sandbox.json");
    let newer = json!({
        "version": 2,
        "seed": "a",
        "user_pool": { "users": [], "generations": {}, "refresh_tokens": {} },
        "identities": { "owners": {}, "deleted": [] },
        "credentials": [],
    })
    .to_string();
    for (text, words) in [
        ("", "EOF while parsing"),
        ("{ \"version\": 1", "EOF while parsing"),
        ("{ \"version\": 1 }", "missing field"),
        (&newer, "its version is 2, not 1"),
    ] {
        fs::write(&file, text).expect("written");
        let error = refusal(in_folder(folder.path())).await;
        assert!(error.starts_with(&file.display().to_string()) && error.contains(words), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), text);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = folder.path().join("file");
    fs::write(&taken, "").expect("written");
    let error = refusal(in_folder(&taken)).await;
    assert!(error.starts_with(&taken.display().to_string()), "{error}");
}

#[tokio::test]
async fn sign_ins_and_credentials_of_an_earlier_run_go_on_with_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = start_with(in_folder(folder.path())).await;
    let tokens = sign_in(&before).await;
    let keys = credentials(&before).await;
    before.shutdown().await;
    let after = start_with(in_folder(folder.path())).await;
    let request = json!({ "ClientId": after.client_id(), "RefreshToken": tokens["RefreshToken"] });
    let refreshed = idp(&after, "GetTokensFromRefreshToken", request).await.json();
    assert!(refreshed["AuthenticationResult"]["IdToken"].is_string(), "{refreshed}");
    assert_eq!(signed_get(&after, &keys, "/items").await.status, 200);
    after.sign_out("demo");
    after.shutdown().await;
    let last = start_with(in_folder(folder.path())).await;
    let request = json!({ "ClientId": last.client_id(), "RefreshToken": tokens["RefreshToken"] });
    let (_, message) = idp(&last, "GetTokensFromRefreshToken", request).await.error();
    assert_eq!(message, "Refresh Token has been revoked");
}
