//! Signing in at a user pool, staying signed in, and what happens when either fails.
#![cfg(feature = "sandbox")]

mod browser;
mod challenges;
mod devices;
mod pool;
mod secrets;

use std::time::Duration;

use countersign::{
    credentials::{
        AuthFlow,
        session::{RenewError, Session, SessionStore},
        user_pool::{Cause, Error, Verdict},
    },
    sandbox::{AppClient, Fault, Flow, ROTATING_CLIENT_ID, Settings, User},
};
use pool::{PASSWORD, Pool};
use secrecy::ExposeSecret;

fn with_alias() -> Settings {
    let demo = User { aliases: vec!["demo@example.com".to_owned()], ..User::new("demo", PASSWORD) };
    Settings { users: vec![demo], ..Settings::default() }
}

fn settings_named_by(error: &Error) -> &'static [&'static str] {
    match error.verdict() {
        Verdict::Misconfigured { settings, .. } => settings,
        other => panic!("{error}: {other:?}"),
    }
}

#[tokio::test]
async fn the_password_is_proven_without_being_sent() {
    let pool = Pool::start().await;
    let signed_in = pool.sign_in("demo", PASSWORD).await.expect("tokens");
    let claims = &signed_in.tokens.claims;
    assert!(claims.login_provider().ends_with(&pool.sandbox.user_pool_id()));
    assert_eq!(claims.audience.as_deref(), Some(pool.sandbox.client_id()));
    assert_eq!(signed_in.tokens.username, "demo");
    let life = claims.expiry.duration_since(pool.clock.now()).expect("in the future");
    assert!(life > Duration::from_secs(3500));
}

#[tokio::test]
async fn proofs_are_right_for_random_values() {
    let password = "pässwörd with spaces \u{1f511}";
    let users = vec![User::new("demo", password)];
    let pool = Pool::with(Settings { users, ..Settings::default() }).await;
    for attempt in 0..40 {
        pool.sign_in("demo", password).await.unwrap_or_else(|error| panic!("{attempt}: {error}"));
    }
}

#[tokio::test]
async fn the_password_flow_signs_in_too() {
    let pool = Pool::start().await.flow(AuthFlow::Password);
    pool.sign_in("demo", PASSWORD).await.expect("tokens");
}

#[tokio::test]
async fn an_alias_works_with_a_client_secret_in_every_call() {
    for flow in [AuthFlow::Srp, AuthFlow::Password] {
        let pool = Pool::with(with_alias()).await.flow(flow).confidential();
        let signed_in = pool.sign_in("demo@example.com", PASSWORD).await.expect("tokens");
        let grant = signed_in.refresh_grant().expect("a refresh token");
        assert_eq!(grant.username, "demo");
        assert_eq!(signed_in.tokens.claims.email.as_deref(), Some("demo@example.com"));
        pool.client().refresh(&grant).await.expect("renewed");

        let gone = Fault::error("UnknownOperationException", "");
        pool.sandbox.faults().always("GetTokensFromRefreshToken", gone);
        pool.client().refresh(&grant).await.expect("renewed by REFRESH_TOKEN_AUTH");
    }
}

#[tokio::test]
async fn a_wrong_password_is_sent_once() {
    for flow in [AuthFlow::Srp, AuthFlow::Password] {
        let pool = Pool::start().await.flow(flow);
        let error = pool.sign_in("demo", "wrong").await.expect_err("refused");
        assert_eq!(error.cause(), Some(Cause::WrongPassword));
        assert!(matches!(error.verdict(), Verdict::PersonNeeded { .. }));
        assert_eq!(pool.sandbox.calls().count("InitiateAuth"), 1);
    }
}

#[tokio::test]
async fn mistakes_of_configuration_name_the_setting() {
    let pool = Pool::start().await.client_id("1nosuchclient");
    let error = pool.sign_in("demo", PASSWORD).await.expect_err("refused");
    assert!(settings_named_by(&error).contains(&"client-id"));

    let mut pool = Pool::start().await.confidential();
    for secret in [None, Some("wrong")] {
        pool.settings.client_secret = secret.map(Into::into);
        let error = pool.sign_in("demo", PASSWORD).await.expect_err("refused");
        assert_eq!(settings_named_by(&error), ["client-secret-file"]);
    }

    let clients = vec![AppClient { flows: vec![Flow::UserPassword], ..AppClient::new("client") }];
    let pool = Pool::with(Settings { clients, ..Settings::default() }).await;
    let error = pool.sign_in("demo", PASSWORD).await.expect_err("refused");
    assert_eq!(settings_named_by(&error), ["auth-flow"]);
}

#[tokio::test]
async fn a_wrong_local_clock_does_not_break_the_proof() {
    let pool = Pool::start().await;
    pool.sandbox.set_clock_skew(7_200_000);
    pool.sign_in("demo", PASSWORD).await.expect("tokens");
    assert!(pool.clock.offset_millis().abs_diff(7_200_000) < 5_000, "{}", pool.clock.offset_millis());
}

#[tokio::test]
async fn disturbances_pass() {
    let pool = Pool::start().await;
    let grant = pool.sign_in("demo", PASSWORD).await.expect("tokens").refresh_grant().expect("a grant");
    let client = pool.client();
    for fault in [
        Fault::throttled(),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Disconnect,
        Fault::Truncate,
        Fault::MalformedJson,
    ] {
        pool.sandbox.faults().next("GetTokensFromRefreshToken", 1, fault.clone());
        pool.sandbox.faults().next("InitiateAuth", 1, fault.clone());
        match client.refresh(&grant).await {
            Err(error) => assert!(matches!(error.verdict(), Verdict::Transient { .. }), "{fault:?}: {error}"),
            Ok(_) => panic!("{fault:?} went unnoticed"),
        }
        pool.sandbox.faults().clear_all();
        client.refresh(&grant).await.unwrap_or_else(|error| panic!("after {fault:?}: {error}"));
    }
}

#[tokio::test]
async fn a_revoked_session_is_over() {
    let pool = Pool::start().await;
    let grant = pool.sign_in("demo", PASSWORD).await.expect("tokens").refresh_grant().expect("a grant");
    let client = pool.client();
    client.refresh(&grant).await.expect("still good");
    client.revoke(&grant.refresh_token).await.expect("revoked");
    let error = client.refresh(&grant).await.expect_err("over");
    assert_eq!(error.verdict(), Verdict::SessionOver);
}

#[tokio::test]
async fn an_expired_refresh_token_ends_the_session() {
    let pool = Pool::start().await;
    let grant = pool.sign_in("demo", PASSWORD).await.expect("tokens").refresh_grant().expect("a grant");
    pool.sandbox.advance_clock(Duration::from_secs(31 * 24 * 3600));
    let error = pool.client().refresh(&grant).await.expect_err("over");
    assert_eq!(error.verdict(), Verdict::SessionOver);
}

#[tokio::test]
async fn rotated_tokens_outlive_any_number_of_renewals_and_processes() {
    let pool = Pool::start().await.client_id(ROTATING_CLIENT_ID);
    let folder = tempfile::tempdir().expect("a folder");
    let store = SessionStore::new(folder.path(), &pool.settings.id, ROTATING_CLIENT_ID);
    let signed_in = pool.sign_in("demo", PASSWORD).await.expect("tokens");
    let locked = store.lock().await.expect("free");
    locked.write(&Session::new(&signed_in, "demo")).await.expect("stored");
    drop(locked);

    let clients = [pool.client(), pool.client(), pool.client()];
    for _ in 0..4 {
        let (a, b, c) = tokio::join!(
            store.renew(&clients[0], None),
            store.renew(&clients[1], None),
            store.renew(&clients[2], None)
        );
        for renewed in [a, b, c] {
            assert_eq!(renewed.expect("renewed").session.subject, signed_in.tokens.claims.subject);
        }
    }
    assert_eq!(pool.sandbox.calls().count("GetTokensFromRefreshToken"), 12);
    assert_eq!(pool.sandbox.calls().count("InitiateAuth"), 1);
}

#[tokio::test]
async fn a_token_that_was_rotated_away_ends_the_session() {
    let pool = Pool::start().await.client_id(ROTATING_CLIENT_ID);
    let grant = pool.sign_in("demo", PASSWORD).await.expect("tokens").refresh_grant().expect("a grant");
    let client = pool.client();
    let tokens = client.refresh(&grant).await.expect("renewed");
    let error = client.refresh(&grant).await.expect_err("reused");
    assert_eq!(error.cause(), Some(Cause::RefreshTokenReused));
    assert_eq!(error.verdict(), Verdict::SessionOver);
    let successor = grant.after(&tokens);
    assert_ne!(successor.refresh_token.expose_secret(), "");
    client.refresh(&successor).await.expect("the successor is good");
}

#[tokio::test]
async fn a_stored_session_that_the_pool_revoked_asks_for_a_sign_in() {
    let pool = Pool::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = SessionStore::new(folder.path(), &pool.settings.id, &pool.settings.client_id);
    let signed_in = pool.sign_in("demo", PASSWORD).await.expect("tokens");
    let session = Session::new(&signed_in, "demo");
    store.lock().await.expect("free").write(&session).await.expect("stored");
    let client = pool.client();
    store.renew(&client, None).await.expect("renewed");
    client.revoke(session.refresh_token.as_ref().expect("present")).await.expect("revoked");
    assert!(matches!(store.renew(&client, None).await, Err(RenewError::UserPool(_))));
    let calls = pool.sandbox.calls().total();
    assert!(matches!(store.renew(&client, None).await, Err(RenewError::SignedOut(_))));
    assert_eq!(pool.sandbox.calls().total(), calls);
}
