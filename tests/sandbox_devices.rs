//! Device tracking in the sandbox's user pool.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign::sandbox::{Mfa, Sandbox, Settings, User};
use sandbox_client::{
    Answer, Srp, answer, device_verifier, error, has_tokens, idp, initiate_srp, respond, start_with,
};
use serde_json::{Value, json};

const PASSWORD: &str = "Secret-password-1";
const DEVICE_PASSWORD: &str = "device-password";

async fn start_tracking() -> Sandbox {
    let user =
        User { aliases: vec!["+441234567890".to_owned()], mfa: vec![Mfa::Sms], ..User::new("ann", PASSWORD) };
    let settings = Settings { users: vec![user], device_tracking: true, ..Settings::default() };
    start_with(settings).await
}

/// Signs in with the second factor and without a device.
async fn first_sign_in(sandbox: &Sandbox) -> Value {
    let challenge = sandbox_client::challenge_after_password(sandbox, "ann", PASSWORD).await;
    let code = sandbox.messages().pop().expect("a message").code;
    let responses = json!({ "USERNAME": "ann", "SMS_MFA_CODE": code });
    answer(sandbox, &challenge, responses).await.json()["AuthenticationResult"].take()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

async fn confirm(sandbox: &Sandbox, tokens: &Value) -> Answer {
    let device = &tokens["NewDeviceMetadata"];
    let salt = [1; 16];
    let verifier =
        device_verifier(text(&device["DeviceGroupKey"]), text(&device["DeviceKey"]), DEVICE_PASSWORD, &salt);
    let request = json!({
        "AccessToken": tokens["AccessToken"],
        "DeviceKey": device["DeviceKey"],
        "DeviceSecretVerifierConfig": {
            "Salt": STANDARD.encode(salt),
            "PasswordVerifier": STANDARD.encode(verifier),
        },
    });
    idp(sandbox, "ConfirmDevice", request).await
}

async fn refresh(sandbox: &Sandbox, tokens: &Value, device_key: &Value) -> Answer {
    let request = json!({
        "ClientId": sandbox.client_id(),
        "RefreshToken": tokens["RefreshToken"],
        "DeviceKey": device_key,
    });
    idp(sandbox, "GetTokensFromRefreshToken", request).await
}

/// Proves the password and names a device with it.
async fn sign_in_as(sandbox: &Sandbox, device_key: &Value) -> Answer {
    let (srp, challenge) = initiate_srp(sandbox, sandbox.client_id(), "ann").await;
    let mut responses = srp.responses(&challenge, PASSWORD);
    responses["DEVICE_KEY"] = device_key.clone();
    respond(sandbox, sandbox.client_id(), "PASSWORD_VERIFIER", &Value::Null, &responses).await
}

/// Answers DEVICE_SRP_AUTH and DEVICE_PASSWORD_VERIFIER.
async fn prove_device(sandbox: &Sandbox, challenge: &Value, device: &Value, password: &str) -> Answer {
    let srp = Srp::new(text(&device["DeviceGroupKey"]));
    let key = &device["DeviceKey"];
    let responses = json!({ "USERNAME": "ann", "DEVICE_KEY": key, "SRP_A": srp.srp_a() });
    let claim = answer(sandbox, challenge, responses).await.json();
    assert_eq!(claim["ChallengeName"], "DEVICE_PASSWORD_VERIFIER", "{claim}");
    let parameters = &claim["ChallengeParameters"];
    let signature = srp.signature(parameters, text(key), password, sandbox_client::TIMESTAMP);
    let responses = json!({
        "USERNAME": "ann",
        "DEVICE_KEY": key,
        "PASSWORD_CLAIM_SECRET_BLOCK": parameters["SECRET_BLOCK"],
        "PASSWORD_CLAIM_SIGNATURE": signature,
        "TIMESTAMP": sandbox_client::TIMESTAMP,
    });
    answer(sandbox, &claim, responses).await
}

#[tokio::test]
async fn a_confirmed_device_stands_for_the_second_factor() {
    let sandbox = start_tracking().await;
    let tokens = first_sign_in(&sandbox).await;
    assert_eq!(confirm(&sandbox, &tokens).await.json(), json!({ "UserConfirmationNecessary": false }));
    let device = &tokens["NewDeviceMetadata"];
    let challenge = sign_in_as(&sandbox, &device["DeviceKey"]).await.json();
    assert_eq!(challenge["ChallengeName"], "DEVICE_SRP_AUTH");
    let finished = prove_device(&sandbox, &challenge, device, DEVICE_PASSWORD).await;
    assert!(has_tokens(&finished));
    assert_eq!(finished.json()["AuthenticationResult"]["NewDeviceMetadata"], Value::Null);
}

#[tokio::test]
async fn the_devices_own_challenge_is_found_without_a_session() {
    let sandbox = start_tracking().await;
    let tokens = first_sign_in(&sandbox).await;
    confirm(&sandbox, &tokens).await;
    let device = &tokens["NewDeviceMetadata"];
    let mut challenge = sign_in_as(&sandbox, &device["DeviceKey"]).await.json();
    challenge["Session"] = Value::Null;
    assert!(has_tokens(&prove_device(&sandbox, &challenge, device, DEVICE_PASSWORD).await));
}

#[tokio::test]
async fn a_wrong_device_password_is_refused() {
    let sandbox = start_tracking().await;
    let tokens = first_sign_in(&sandbox).await;
    confirm(&sandbox, &tokens).await;
    let device = &tokens["NewDeviceMetadata"];
    let challenge = sign_in_as(&sandbox, &device["DeviceKey"]).await.json();
    let refused = prove_device(&sandbox, &challenge, device, "wrong").await;
    assert_eq!(refused.error(), error("NotAuthorizedException", "Incorrect username or password."));
}

#[tokio::test]
async fn an_unknown_device_leaves_the_claim_open_for_an_answer_without_it() {
    let sandbox = start_tracking().await;
    let srp = Srp::for_pool(&sandbox);
    let unknown = "eu-west-1_unknown";
    let parameters = json!({ "USERNAME": "ann", "SRP_A": srp.srp_a(), "DEVICE_KEY": unknown });
    let challenge = sandbox_client::initiate(&sandbox, "USER_SRP_AUTH", parameters).await.json();
    let mut responses = srp.responses(&challenge, PASSWORD);
    responses["DEVICE_KEY"] = unknown.into();
    let client = sandbox.client_id();
    let refused = respond(&sandbox, client, "PASSWORD_VERIFIER", &Value::Null, &responses).await;
    assert_eq!(refused.error(), error("ResourceNotFoundException", "Device does not exist."));
    responses["DEVICE_KEY"] = Value::Null;
    let retried = respond(&sandbox, client, "PASSWORD_VERIFIER", &Value::Null, &responses).await;
    assert_eq!(retried.json()["ChallengeName"], "SMS_MFA");
}

#[tokio::test]
async fn a_tracked_sign_in_refreshes_only_for_its_confirmed_device() {
    let sandbox = start_tracking().await;
    let tokens = first_sign_in(&sandbox).await;
    let key = &tokens["NewDeviceMetadata"]["DeviceKey"];
    let invalid = error("NotAuthorizedException", "Invalid Refresh Token");
    assert_eq!(refresh(&sandbox, &tokens, key).await.error(), invalid);
    confirm(&sandbox, &tokens).await;
    assert_eq!(refresh(&sandbox, &tokens, &Value::Null).await.error(), invalid);
    assert!(has_tokens(&refresh(&sandbox, &tokens, key).await));
    let parameters = json!({ "REFRESH_TOKEN": tokens["RefreshToken"], "DEVICE_KEY": key });
    assert!(has_tokens(&sandbox_client::initiate(&sandbox, "REFRESH_TOKEN_AUTH", parameters).await));
}

#[tokio::test]
async fn a_verifier_that_reads_as_negative_is_refused() {
    let sandbox = start_tracking().await;
    let tokens = first_sign_in(&sandbox).await;
    let request = json!({
        "AccessToken": tokens["AccessToken"],
        "DeviceKey": tokens["NewDeviceMetadata"]["DeviceKey"],
        "DeviceSecretVerifierConfig": {
            "Salt": STANDARD.encode([0x80; 16]),
            "PasswordVerifier": STANDARD.encode([1; 384]),
        },
    });
    let refused = idp(&sandbox, "ConfirmDevice", request).await;
    assert_eq!(
        refused.error(),
        error("InvalidParameterException", "negative value passed for salt/verifier")
    );
}

#[tokio::test]
async fn confirmed_devices_are_listed_changed_and_forgotten() {
    let sandbox = start_tracking().await;
    let tokens = first_sign_in(&sandbox).await;
    let key = &tokens["NewDeviceMetadata"]["DeviceKey"];
    let own = |operation: &'static str, mut request: Value| {
        request["AccessToken"] = tokens["AccessToken"].clone();
        idp(&sandbox, operation, request)
    };
    assert_eq!(own("ListDevices", json!({})).await.json(), json!({ "Devices": [] }));
    assert_eq!(confirm(&sandbox, &tokens).await.status, 200);
    let listed = own("ListDevices", json!({})).await.json();
    assert_eq!(listed["Devices"][0]["DeviceKey"], *key);
    let status = json!({ "DeviceKey": key, "DeviceRememberedStatus": "not_remembered" });
    assert_eq!(own("UpdateDeviceStatus", status).await.json(), json!({}));
    let device = own("GetDevice", json!({ "DeviceKey": key })).await.json();
    let attributes = json!([{ "Name": "device_status", "Value": "not_remembered" }]);
    assert_eq!(device["Device"]["DeviceAttributes"], attributes);
    let forgotten = own("ForgetDevice", json!({ "DeviceKey": key })).await;
    assert_eq!((forgotten.status.as_u16(), forgotten.body.len()), (200, 0));
    let missing = error("ResourceNotFoundException", "Device does not exist.");
    assert_eq!(own("GetDevice", json!({ "DeviceKey": key })).await.error(), missing);
    assert_eq!(refresh(&sandbox, &tokens, key).await.error().1, "Invalid Refresh Token");
}
