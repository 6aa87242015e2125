//! Signing in at the sandbox's user pool, and the tokens that it issues.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::sandbox::{
    AppClient, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Flow, ROTATING_CLIENT_ID, Sandbox,
    Settings, User,
};
use sandbox_client::{
    Answer, Srp, error, exchange, get, identity, idp, initiate_srp, logins, respond, secret_hash, sign_in,
    srp_sign_in, start, start_with,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

fn wrong_password() -> (String, String) {
    error("NotAuthorizedException", "Incorrect username or password.")
}

fn password(sandbox: &Sandbox) -> &str {
    sandbox.password().expose_secret()
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().expect("a token").split('.').nth(1).expect("a payload");
    serde_json::from_slice(&decoded(payload)).expect("JSON")
}

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64")
}

async fn password_sign_in(sandbox: &Sandbox, username: &str, password: &str) -> Answer {
    let request = json!({
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": sandbox.client_id(),
        "AuthParameters": { "USERNAME": username, "PASSWORD": password },
    });
    idp(sandbox, "InitiateAuth", request).await
}

#[tokio::test]
async fn srp_with_the_right_password_gives_tokens() {
    let sandbox = start().await;
    let tokens = sign_in(&sandbox).await;
    assert_eq!((&tokens["TokenType"], &tokens["ExpiresIn"]), (&json!("Bearer"), &json!(3600)));
    assert!(tokens["RefreshToken"].is_string());

    let now = sandbox.clock().now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let issuer = format!("https://cognito-idp.eu-west-1.amazonaws.com/{}", sandbox.user_pool_id());
    let (id, access) = (claims(&tokens["IdToken"]), claims(&tokens["AccessToken"]));
    assert_eq!(
        (&id["iss"], &id["token_use"], &id["aud"]),
        (&json!(issuer), &json!("id"), &json!(sandbox.client_id()))
    );
    assert_eq!(id["cognito:username"], "demo");
    assert_eq!((&access["token_use"], &access["client_id"]), (&json!("access"), &json!(sandbox.client_id())));
    assert_eq!((&access["username"], &access["aud"]), (&json!("demo"), &Value::Null));
    assert_eq!((&id["sub"], &id["origin_jti"]), (&access["sub"], &access["origin_jti"]));
    assert_ne!(id["jti"], access["jti"]);
    assert!(id["exp"].as_u64().expect("a time").abs_diff(now + 3600) < 5);
    assert_eq!(id["auth_time"], id["iat"]);
}

#[tokio::test]
async fn tokens_verify_against_the_published_keys() {
    let sandbox = start().await;
    let tokens = sign_in(&sandbox).await;
    let base = format!("{}/{}/.well-known", sandbox.user_pool_endpoint(), sandbox.user_pool_id());
    let keys = exchange(get(&format!("{base}/jwks.json"))).await.json();
    let key = &keys["keys"][0];
    let modulus = decoded(key["n"].as_str().expect("a modulus"));
    let exponent = decoded(key["e"].as_str().expect("an exponent"));
    let published = ring::signature::RsaPublicKeyComponents { n: &modulus, e: &exponent };
    for name in ["IdToken", "AccessToken"] {
        let token = tokens[name].as_str().expect("a token");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let header = signed.split('.').next().expect("a header");
        let header: Value = serde_json::from_slice(&decoded(header)).expect("JSON");
        assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &key["kid"]));
        published
            .verify(&ring::signature::RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decoded(signature))
            .expect("a signature of the published key");
    }
    let discovery = exchange(get(&format!("{base}/openid-configuration"))).await.json();
    assert_eq!(discovery["issuer"], claims(&tokens["IdToken"])["iss"]);
}

#[tokio::test]
async fn the_password_challenge_has_the_fields_of_cognito_and_no_session() {
    let sandbox = start().await;
    let (_, challenge) = initiate_srp(&sandbox, sandbox.client_id(), "demo").await;
    assert_eq!(challenge["Session"], Value::Null);
    let parameters = challenge["ChallengeParameters"].as_object().expect("parameters");
    let names: Vec<_> = parameters.keys().map(String::as_str).collect();
    assert_eq!(names, ["SALT", "SECRET_BLOCK", "SRP_B", "USERNAME", "USER_ID_FOR_SRP"]);
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_both_flows() {
    let sandbox = start().await;
    let srp = srp_sign_in(&sandbox, sandbox.client_id(), "demo", "wrong").await;
    assert_eq!(srp.error(), wrong_password());
    assert_eq!(password_sign_in(&sandbox, "demo", "wrong").await.error(), wrong_password());
}

#[tokio::test]
async fn an_unknown_user_looks_like_a_wrong_password() {
    let sandbox = start().await;
    let (_, first) = initiate_srp(&sandbox, sandbox.client_id(), "nobody").await;
    let (srp, second) = initiate_srp(&sandbox, sandbox.client_id(), "nobody").await;
    let salt = |challenge: &Value| challenge["ChallengeParameters"]["SALT"].clone();
    assert_eq!(salt(&first), salt(&second));
    let responses = srp.responses(&second, "anything");
    let answer = respond(&sandbox, sandbox.client_id(), "PASSWORD_VERIFIER", &Value::Null, &responses).await;
    assert_eq!(answer.error(), wrong_password());
    assert_eq!(password_sign_in(&sandbox, "nobody", "anything").await.error(), wrong_password());
}

#[tokio::test]
async fn a_password_claim_can_be_made_once() {
    let sandbox = start().await;
    let (srp, challenge) = initiate_srp(&sandbox, sandbox.client_id(), "demo").await;
    let responses = srp.responses(&challenge, password(&sandbox));
    let answer = || respond(&sandbox, sandbox.client_id(), "PASSWORD_VERIFIER", &Value::Null, &responses);
    assert!(answer().await.json()["AuthenticationResult"].is_object());
    assert_eq!(answer().await.error(), wrong_password());
}

#[tokio::test]
async fn a_password_claim_expires() {
    let sandbox = start().await;
    let (srp, challenge) = initiate_srp(&sandbox, sandbox.client_id(), "demo").await;
    let responses = srp.responses(&challenge, password(&sandbox));
    sandbox.advance_clock(Duration::from_secs(61));
    let answer = respond(&sandbox, sandbox.client_id(), "PASSWORD_VERIFIER", &Value::Null, &responses).await;
    assert_eq!(answer.error(), wrong_password());
}

#[tokio::test]
async fn public_values_that_are_multiples_of_n_are_refused() {
    let sandbox = start().await;
    for srp_a in ["0", ""] {
        let request = json!({
            "AuthFlow": "USER_SRP_AUTH",
            "ClientId": sandbox.client_id(),
            "AuthParameters": { "USERNAME": "demo", "SRP_A": srp_a },
        });
        let (code, _) = idp(&sandbox, "InitiateAuth", request).await.error();
        assert_eq!(code, "InvalidParameterException");
    }
}

#[tokio::test]
async fn timestamps_are_read_leniently_and_signed_canonically() {
    let sandbox = start().await;
    let parameters_error = error(
        "InvalidParameterException",
        "TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.",
    );
    for (sent, signed, outcome) in [
        ("Mon Nov 2 09:05:07 UTC 2026", "Mon Nov 2 09:05:07 UTC 2026", Ok(())),
        ("Mon Nov 02 09:05:07 UTC 2026", "Mon Nov 2 09:05:07 UTC 2026", Ok(())),
        ("Mon Nov 02 09:05:07 UTC 2026", "Mon Nov 02 09:05:07 UTC 2026", Err(wrong_password())),
        ("Tue Nov 2 09:05:07 UTC 2026", "Tue Nov 2 09:05:07 UTC 2026", Err(wrong_password())),
        ("2026-11-02T09:05:07Z", "2026-11-02T09:05:07Z", Err(parameters_error)),
    ] {
        let (srp, challenge) = initiate_srp(&sandbox, sandbox.client_id(), "demo").await;
        let mut responses = srp.responses(&challenge, password(&sandbox));
        let parameters = &challenge["ChallengeParameters"];
        let signature = srp.signature(parameters, "demo", password(&sandbox), signed);
        responses["PASSWORD_CLAIM_SIGNATURE"] = signature.into();
        responses["TIMESTAMP"] = sent.into();
        let answer =
            respond(&sandbox, sandbox.client_id(), "PASSWORD_VERIFIER", &Value::Null, &responses).await;
        let actual = if answer.status == 200 { Ok(()) } else { Err(answer.error()) };
        assert_eq!(actual, outcome, "{sent}");
    }
}

#[tokio::test]
async fn an_alias_signs_in_as_the_user_behind_it() {
    let user = User { aliases: vec!["ann@example.com".to_owned()], ..User::new("ann-internal", "Secret-1") };
    let sandbox = start_with(Settings { users: vec![user], ..Settings::default() }).await;
    let (_, challenge) = initiate_srp(&sandbox, sandbox.client_id(), "Ann@example.com").await;
    assert_eq!(challenge["ChallengeParameters"]["USER_ID_FOR_SRP"], "ann-internal");
    let answer = srp_sign_in(&sandbox, sandbox.client_id(), "ann@example.com", "Secret-1").await;
    let id = claims(&answer.json()["AuthenticationResult"]["IdToken"]);
    assert_eq!((&id["cognito:username"], &id["email"]), (&json!("ann-internal"), &json!("ann@example.com")));
}

#[tokio::test]
async fn a_confidential_client_must_prove_its_secret_over_the_internal_name() {
    let user = User { aliases: vec!["ann@example.com".to_owned()], ..User::new("ann-internal", "Secret-1") };
    let sandbox = start_with(Settings { users: vec![user], ..Settings::default() }).await;
    let hash = |name| secret_hash(CONFIDENTIAL_CLIENT_SECRET, name, CONFIDENTIAL_CLIENT_ID);
    let initiate = |hash: Option<String>| {
        let srp = Srp::for_pool(&sandbox);
        let mut parameters = json!({ "USERNAME": "ann@example.com", "SRP_A": srp.srp_a() });
        if let Some(hash) = hash {
            parameters["SECRET_HASH"] = hash.into();
        }
        let request = json!({
            "AuthFlow": "USER_SRP_AUTH", "ClientId": CONFIDENTIAL_CLIENT_ID, "AuthParameters": parameters,
        });
        let sandbox = &sandbox;
        async move { (srp, idp(sandbox, "InitiateAuth", request).await) }
    };
    let missing =
        format!("Client {CONFIDENTIAL_CLIENT_ID} is configured with secret but SECRET_HASH was not received");
    let unverified = format!("Unable to verify secret hash for client {CONFIDENTIAL_CLIENT_ID}");
    assert_eq!(initiate(None).await.1.error(), error("NotAuthorizedException", &missing));
    assert_eq!(
        initiate(Some(hash("ann-internal"))).await.1.error(),
        error("NotAuthorizedException", &unverified)
    );
    for (name, outcome) in [("ann@example.com", false), ("ann-internal", true)] {
        let (srp, challenge) = initiate(Some(hash("ann@example.com"))).await;
        let mut responses = srp.responses(&challenge.json(), "Secret-1");
        responses["SECRET_HASH"] = hash(name).into();
        let answer =
            respond(&sandbox, CONFIDENTIAL_CLIENT_ID, "PASSWORD_VERIFIER", &Value::Null, &responses).await;
        assert_eq!(answer.status == 200, outcome, "{name}");
    }
}

#[tokio::test]
async fn a_flow_that_is_off_is_refused() {
    let client = AppClient { flows: vec![Flow::UserSrp], ..AppClient::new("onlysrp") };
    let sandbox = start_with(Settings { clients: vec![client], ..Settings::default() }).await;
    let answer = password_sign_in(&sandbox, "demo", password(&sandbox)).await;
    let message = "USER_PASSWORD_AUTH flow not enabled for this client";
    assert_eq!(answer.error(), error("InvalidParameterException", message));
}

#[tokio::test]
async fn an_unknown_client_is_not_found() {
    let sandbox = start().await;
    let request = json!({ "AuthFlow": "USER_SRP_AUTH", "ClientId": "nowhere", "AuthParameters": {} });
    let answer = idp(&sandbox, "InitiateAuth", request).await;
    let message = "User pool client nowhere does not exist.";
    assert_eq!(answer.error(), error("ResourceNotFoundException", message));
}

#[tokio::test]
async fn six_wrong_passwords_lock_the_user_out_for_a_while() {
    let sandbox = start().await;
    for _ in 0..6 {
        assert_eq!(password_sign_in(&sandbox, "demo", "wrong").await.error(), wrong_password());
        sandbox.advance_clock(Duration::from_secs(1));
    }
    let locked = password_sign_in(&sandbox, "demo", password(&sandbox)).await;
    assert_eq!(locked.error(), error("NotAuthorizedException", "Password attempts exceeded"));
    sandbox.advance_clock(Duration::from_secs(2));
    assert_eq!(password_sign_in(&sandbox, "demo", password(&sandbox)).await.status, 200);
}

async fn refresh(sandbox: &Sandbox, client_id: &str, token: &Value) -> Answer {
    let request = json!({ "ClientId": client_id, "RefreshToken": token });
    idp(sandbox, "GetTokensFromRefreshToken", request).await
}

async fn refresh_token_auth(sandbox: &Sandbox, client_id: &str, parameters: Value) -> Answer {
    let request =
        json!({ "AuthFlow": "REFRESH_TOKEN_AUTH", "ClientId": client_id, "AuthParameters": parameters });
    idp(sandbox, "InitiateAuth", request).await
}

#[tokio::test]
async fn refreshing_gives_new_tokens_of_the_same_sign_in() {
    let sandbox = start().await;
    let first = sign_in(&sandbox).await;
    sandbox.advance_clock(Duration::from_secs(60));
    let token = &first["RefreshToken"];
    for answer in [
        refresh(&sandbox, sandbox.client_id(), token).await,
        refresh_token_auth(&sandbox, sandbox.client_id(), json!({ "REFRESH_TOKEN": token })).await,
    ] {
        let refreshed = answer.json()["AuthenticationResult"].take();
        assert_eq!(refreshed["RefreshToken"], Value::Null);
        let (old, new) = (claims(&first["IdToken"]), claims(&refreshed["IdToken"]));
        assert_eq!((&old["auth_time"], &old["origin_jti"]), (&new["auth_time"], &new["origin_jti"]));
        let later = new["iat"].as_u64().zip(old["iat"].as_u64()).map(|(new, old)| new - old);
        assert!(later.is_some_and(|later| (60..65).contains(&later)), "{later:?}");
    }
}

#[tokio::test]
async fn unusable_refresh_tokens_are_named() {
    let sandbox = start().await;
    let tokens = sign_in(&sandbox).await;
    let token = &tokens["RefreshToken"];
    let outcome = |answer: Answer| answer.error();
    assert_eq!(
        outcome(refresh(&sandbox, sandbox.client_id(), &json!("rubbish")).await),
        error("NotAuthorizedException", "Invalid Refresh Token")
    );
    assert_eq!(
        outcome(refresh(&sandbox, ROTATING_CLIENT_ID, token).await),
        error("NotAuthorizedException", "Invalid Refresh Token")
    );
    let revoke = json!({ "ClientId": sandbox.client_id(), "Token": token });
    assert_eq!(idp(&sandbox, "RevokeToken", revoke).await.json(), json!({}));
    assert_eq!(
        outcome(refresh(&sandbox, sandbox.client_id(), token).await),
        error("NotAuthorizedException", "Refresh Token has been revoked")
    );
    let user = idp(&sandbox, "GetUser", json!({ "AccessToken": tokens["AccessToken"] })).await;
    assert_eq!(user.error(), error("NotAuthorizedException", "Access Token has been revoked"));

    let other = sign_in(&sandbox).await;
    sandbox.advance_clock(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(
        outcome(refresh(&sandbox, sandbox.client_id(), &other["RefreshToken"]).await),
        error("NotAuthorizedException", "Refresh Token has expired")
    );
}

#[tokio::test]
async fn a_rotating_client_gets_a_new_refresh_token_and_loses_the_old_one() {
    let sandbox = start().await;
    let answer = srp_sign_in(&sandbox, ROTATING_CLIENT_ID, "demo", password(&sandbox)).await;
    let first = answer.json()["AuthenticationResult"]["RefreshToken"].take();
    let answer = refresh(&sandbox, ROTATING_CLIENT_ID, &first).await;
    let second = answer.json()["AuthenticationResult"]["RefreshToken"].take();
    assert!(second.is_string() && second != first);
    let (code, _) = refresh(&sandbox, ROTATING_CLIENT_ID, &first).await.error();
    assert_eq!(code, "RefreshTokenReuseException");
    assert_eq!(refresh(&sandbox, ROTATING_CLIENT_ID, &second).await.status, 200);

    let refused = refresh_token_auth(&sandbox, ROTATING_CLIENT_ID, json!({ "REFRESH_TOKEN": second })).await;
    assert_eq!(refused.error().0, "InvalidParameterException");
}

#[tokio::test]
async fn within_the_grace_period_a_rotated_token_still_works() {
    let client = AppClient { rotation: Some(Duration::from_secs(30)), ..AppClient::new("graceful") };
    let sandbox = start_with(Settings { clients: vec![client], ..Settings::default() }).await;
    let first = sign_in(&sandbox).await["RefreshToken"].take();
    assert_eq!(refresh(&sandbox, "graceful", &first).await.status, 200);
    sandbox.advance_clock(Duration::from_secs(20));
    assert_eq!(refresh(&sandbox, "graceful", &first).await.status, 200);
    sandbox.advance_clock(Duration::from_secs(20));
    assert_eq!(refresh(&sandbox, "graceful", &first).await.error().0, "RefreshTokenReuseException");
}

#[tokio::test]
async fn a_confidential_client_refreshes_with_its_secret_or_its_hash() {
    let sandbox = start().await;
    let hash = secret_hash(CONFIDENTIAL_CLIENT_SECRET, "demo", CONFIDENTIAL_CLIENT_ID);
    let request = json!({
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": CONFIDENTIAL_CLIENT_ID,
        "AuthParameters": { "USERNAME": "demo", "PASSWORD": password(&sandbox), "SECRET_HASH": hash },
    });
    let tokens = idp(&sandbox, "InitiateAuth", request).await.json();
    let token = &tokens["AuthenticationResult"]["RefreshToken"];
    for (secret, outcome) in
        [(json!(CONFIDENTIAL_CLIENT_SECRET), true), (json!("wrong"), false), (Value::Null, false)]
    {
        let request =
            json!({ "ClientId": CONFIDENTIAL_CLIENT_ID, "RefreshToken": token, "ClientSecret": secret });
        let answer = idp(&sandbox, "GetTokensFromRefreshToken", request).await;
        assert_eq!(answer.status == 200, outcome, "{secret}");
    }
    let right = json!({ "REFRESH_TOKEN": token, "SECRET_HASH": hash });
    assert_eq!(refresh_token_auth(&sandbox, CONFIDENTIAL_CLIENT_ID, right).await.status, 200);
    let wrong = json!({ "REFRESH_TOKEN": token, "SECRET_HASH": "wrong" });
    let message = format!("SecretHash does not match for the client: {CONFIDENTIAL_CLIENT_ID}");
    assert_eq!(
        refresh_token_auth(&sandbox, CONFIDENTIAL_CLIENT_ID, wrong).await.error(),
        error("NotAuthorizedException", &message)
    );
}

#[tokio::test]
async fn an_expired_id_token_is_refused_by_the_identity_pool() {
    let sandbox = start().await;
    let tokens = sign_in(&sandbox).await;
    sandbox.advance_clock(Duration::from_secs(3601));
    let request =
        json!({ "IdentityPoolId": sandbox.identity_pool_id(), "Logins": logins(&sandbox, &tokens) });
    let (code, message) = identity(&sandbox, "GetId", request).await.error();
    assert_eq!(code, "NotAuthorizedException");
    assert!(message.starts_with("Invalid login token. Token expired: "), "{message}");
}

#[tokio::test]
async fn every_answer_has_the_sandboxes_date_and_a_request_id() {
    let sandbox = start().await;
    sandbox.set_clock_skew(-3_600_000);
    let answer = idp(&sandbox, "InitiateAuth", json!({})).await;
    assert_eq!(answer.error().0, "InvalidParameterException");
    let date = httpdate::parse_http_date(answer.header("date")).expect("a date");
    let behind = sandbox.clock().now().duration_since(date).expect("the date is not ahead");
    assert!(behind < Duration::from_secs(600));
    assert!(!answer.header("x-amzn-requestid").is_empty());
}
