//! Pools that track devices: confirming one, proving it, losing it.

use countersign::{
    credentials::user_pool::{Device, Question, RefreshGrant, SignedIn, Verdict},
    sandbox::{Fault, Mfa, Settings, User},
};

use crate::pool::{PASSWORD, Person, Pool};

async fn tracking_pool() -> Pool {
    let demo = User {
        aliases: vec!["demo@example.com".to_owned(), "+441234567890".to_owned()],
        mfa: vec![Mfa::Sms],
        ..User::new("demo", PASSWORD)
    };
    let settings = Settings { users: vec![demo], device_tracking: true, ..Settings::default() };
    Pool::with(settings).await.confidential()
}

/// Signs in by password and code; gives how many codes were asked for too.
async fn sign_in(pool: &Pool, device: Option<&Device>) -> (SignedIn, usize) {
    let mut codes = 0;
    let mut person = Person(|question: Question<'_>, _| {
        assert!(matches!(question, Question::Code { .. }), "{question:?}");
        codes += 1;
        Some(pool.sandbox.messages().last().expect("a message").code.clone())
    });
    let signed_in = pool.converse("demo@example.com", Some(PASSWORD), device, &mut person).await;
    (signed_in.expect("tokens"), codes)
}

fn grant(signed_in: &SignedIn) -> RefreshGrant {
    signed_in.refresh_grant().expect("a refresh token")
}

#[tokio::test]
async fn a_new_device_is_confirmed_so_that_tokens_can_be_renewed() {
    let pool = tracking_pool().await;
    let (signed_in, _) = sign_in(&pool, None).await;
    assert_eq!(pool.sandbox.calls().count("ConfirmDevice"), 1);
    let grant = grant(&signed_in);
    pool.client().refresh(&grant).await.expect("renewed");
    pool.sandbox.faults().always("GetTokensFromRefreshToken", Fault::error("UnknownOperationException", ""));
    pool.client().refresh(&grant).await.expect("renewed by REFRESH_TOKEN_AUTH");
}

#[tokio::test]
async fn a_token_without_its_device_is_of_no_use() {
    let pool = tracking_pool().await;
    let (signed_in, _) = sign_in(&pool, None).await;
    let without = RefreshGrant { device: None, ..grant(&signed_in) };
    let error = pool.client().refresh(&without).await.expect_err("refused");
    assert_eq!(error.verdict(), Verdict::SessionOver);
}

#[tokio::test]
async fn a_remembered_device_is_asked_for_no_code() {
    let pool = tracking_pool().await;
    let (first, codes) = sign_in(&pool, None).await;
    assert_eq!(codes, 1);
    let device = first.device.expect("confirmed");
    for _ in 0..10 {
        let (again, codes) = sign_in(&pool, Some(&device)).await;
        assert_eq!(codes, 0);
        pool.client().refresh(&grant(&again)).await.expect("renewed");
    }
}

#[tokio::test]
async fn a_device_that_the_pool_does_not_know_is_replaced() {
    let pool = tracking_pool().await;
    let (first, _) = sign_in(&pool, None).await;
    let device = first.device.expect("confirmed");
    let forgotten =
        Device { key: "eu-west-1_00000000-0000-0000-0000-000000000000".to_owned(), ..device.clone() };
    let broken = Device { password: "another password".into(), ..device.clone() };
    for unusable in [forgotten, broken] {
        let (again, codes) = sign_in(&pool, Some(&unusable)).await;
        assert_eq!(codes, 1);
        assert_ne!(again.device.as_ref().expect("a new one").key, unusable.key);
        pool.client().refresh(&grant(&again)).await.expect("renewed");
    }
}

#[tokio::test]
async fn a_device_that_cannot_be_confirmed_does_not_spoil_the_sign_in() {
    let pool = tracking_pool().await;
    pool.sandbox.faults().always("ConfirmDevice", Fault::Status(500));
    let (signed_in, _) = sign_in(&pool, None).await;
    assert!(signed_in.device.is_none());
    assert_eq!(pool.sandbox.calls().count("ConfirmDevice"), 2);
}
