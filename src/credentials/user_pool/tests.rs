use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::script::{NOW, Script, answer, clock, grant, pool, refused, token, tokens};
use super::*;
use crate::credentials::AuthFlow;

fn password_verifier() -> HttpResponse {
    answer(
        200,
        &json!({"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": {
            "SALT": "abc", "SRP_B": "1234567", "SECRET_BLOCK": "c2VjcmV0",
            "USER_ID_FOR_SRP": "internal", "USERNAME": "internal"}}),
    )
}

fn user(password: &SecretString) -> User<'_> {
    User { username: "alias@example.com", password: Some(password), device: None }
}

fn hash_for(username: &str) -> String {
    srp::secret_hash("s3cret", username, "client")
}

async fn sign_in(script: &Script, pool: UserPool) -> Result<SignedIn, Error> {
    let password = SecretString::from("hunter22");
    script.client(pool).sign_in(&user(&password), &mut Unattended::default()).await
}

#[tokio::test]
async fn srp_sign_in_hashes_the_alias_first_and_the_internal_name_afterwards() {
    let script = Script::new([password_verifier(), tokens(Some("refresh-1"))]);
    let signed_in = sign_in(&script, pool()).await.expect("tokens");
    assert_eq!(signed_in.tokens.username, "internal");
    assert_eq!(
        signed_in.refresh_grant().expect("a refresh token").refresh_token.expose_secret(),
        "refresh-1"
    );

    let requests = script.requests();
    let (operation, initiate) = &requests[0];
    assert_eq!(operation, "AWSCognitoIdentityProviderService.InitiateAuth");
    assert_eq!(initiate["AuthFlow"], "USER_SRP_AUTH");
    assert_eq!(initiate["AuthParameters"]["USERNAME"], "alias@example.com");
    assert_eq!(initiate["AuthParameters"]["SECRET_HASH"], hash_for("alias@example.com"));
    assert!(initiate["AuthParameters"].get("PASSWORD").is_none());

    let (operation, respond) = &requests[1];
    assert_eq!(operation, "AWSCognitoIdentityProviderService.RespondToAuthChallenge");
    assert!(respond.get("Session").is_none());
    let responses = &respond["ChallengeResponses"];
    assert_eq!(responses["USERNAME"], "internal");
    assert_eq!(responses["SECRET_HASH"], hash_for("internal"));
    assert_eq!(responses["PASSWORD_CLAIM_SECRET_BLOCK"], "c2VjcmV0");
    assert_eq!(responses["TIMESTAMP"], "Mon Nov 2 09:05:07 UTC 2026");
}

#[tokio::test]
async fn password_sign_in_sends_the_password_and_no_hash_without_a_client_secret() {
    let script = Script::new([tokens(None)]);
    let pool = UserPool { auth_flow: AuthFlow::Password, client_secret: None, ..pool() };
    let signed_in = sign_in(&script, pool).await.expect("tokens");
    assert!(signed_in.refresh_grant().is_none());
    assert_eq!(
        script.requests()[0].1,
        json!({"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": "client",
            "AuthParameters": {"USERNAME": "alias@example.com", "PASSWORD": "hunter22"}})
    );
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_needs_a_person() {
    let script = Script::new([
        password_verifier(),
        refused("NotAuthorizedException", "Incorrect username or password."),
    ]);
    let error = sign_in(&script, pool()).await.expect_err("refused");
    assert_eq!(error.cause(), Some(Cause::WrongPassword));
    assert!(matches!(error.verdict(), Verdict::PersonNeeded { .. }));
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn an_unanswered_challenge_is_named_with_advice() {
    let challenge = json!({"ChallengeName": "SOFTWARE_TOKEN_MFA", "Session": "s",
        "ChallengeParameters": {"USER_ID_FOR_SRP": "internal"}});
    let script = Script::new([password_verifier(), answer(200, &challenge)]);
    let error = sign_in(&script, pool()).await.expect_err("unanswered");
    let source = std::error::Error::source(&error).expect("the question").to_string();
    assert!(source.contains("SOFTWARE_TOKEN_MFA") && source.contains("totp-secret-file"), "{source}");
}

#[tokio::test]
async fn a_wrong_code_is_asked_for_again_with_the_same_session() {
    let challenge = json!({"ChallengeName": "SOFTWARE_TOKEN_MFA", "Session": "session-1",
        "ChallengeParameters": {"USER_ID_FOR_SRP": "internal"}});
    let script = Script::new([
        password_verifier(),
        answer(200, &challenge),
        refused("CodeMismatchException", "Invalid code received for user"),
        tokens(Some("refresh-1")),
    ]);
    tokio::time::pause();
    let password = SecretString::from("hunter22");
    let mut answers = Unattended::new(Some(&SecretString::from("GEZDGNBVGY3TQOJQ"))).expect("base32");
    script.client(pool()).sign_in(&user(&password), &mut answers).await.expect("tokens");
    let requests = script.requests();
    let codes: Vec<_> = requests[2..]
        .iter()
        .map(|(_, body)| {
            assert_eq!(body["Session"], "session-1");
            assert_eq!(body["ChallengeResponses"]["SECRET_HASH"], hash_for("internal"));
            body["ChallengeResponses"]["SOFTWARE_TOKEN_MFA_CODE"].clone()
        })
        .collect();
    assert_eq!(codes.len(), 2);
    assert_ne!(codes[0], codes[1]);
}

#[tokio::test]
async fn renewal_sends_the_client_secret_itself_and_takes_the_rotated_token() {
    let script = Script::new([tokens(Some("refresh-2"))]);
    let tokens = script.client(pool()).refresh(&grant()).await.expect("tokens");
    assert_eq!(
        script.requests(),
        [(
            "AWSCognitoIdentityProviderService.GetTokensFromRefreshToken".to_owned(),
            json!({"RefreshToken": "refresh-1", "ClientId": "client", "ClientSecret": "s3cret"})
        )]
    );
    assert_eq!(grant().after(&tokens).refresh_token.expose_secret(), "refresh-2");
}

#[tokio::test]
async fn a_pool_without_the_operation_is_renewed_by_flow_from_then_on() {
    let script = Script::new([refused("UnknownOperationException", ""), tokens(None), tokens(None)]);
    let client = script.client(pool());
    let tokens = client.refresh(&grant()).await.expect("tokens");
    assert_eq!(grant().after(&tokens).refresh_token.expose_secret(), "refresh-1");
    client.refresh(&grant()).await.expect("tokens");
    let requests = script.requests();
    assert_eq!(requests.len(), 3);
    for (_, body) in &requests[1..] {
        assert_eq!(
            *body,
            json!({"AuthFlow": "REFRESH_TOKEN_AUTH", "ClientId": "client", "AuthParameters": {
                "REFRESH_TOKEN": "refresh-1", "SECRET_HASH": hash_for("internal")}})
        );
    }
}

#[tokio::test]
async fn http_501_means_that_the_operation_is_unsupported() {
    for missing in [
        answer(501, &json!({})),
        answer(501, &json!({"__type": "SomeException"})),
        refused("UnknownOperation", ""),
    ] {
        let script = Script::new([missing, tokens(None), tokens(None)]);
        let client = script.client(pool());
        for _ in 0..2 {
            client.refresh(&grant()).await.expect("tokens");
        }
        let flows: Vec<_> = script.requests().iter().map(|(_, body)| body["AuthFlow"].clone()).collect();
        assert_eq!(flows, [json!(null), json!("REFRESH_TOKEN_AUTH"), json!("REFRESH_TOKEN_AUTH")]);
    }
}

#[tokio::test]
async fn a_page_in_place_of_an_answer_is_transient_and_its_title_is_logged() {
    for status in [200, 302, 400, 403, 404, 407, 501, 503] {
        let page = || {
            let page = "<html><title>Blocked by ACME</title></html>";
            HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(page))
        };
        let password = SecretString::from("hunter22");
        let client = Script::new([page(), page(), page()]).client(pool());
        for error in [
            client.sign_in(&user(&password), &mut Unattended::default()).await.expect_err("a page"),
            client.refresh(&grant()).await.expect_err("a page"),
        ] {
            assert_eq!(error.verdict(), Verdict::Transient { retry_after: None }, "{status}");
            let text = crate::telemetry::causes(&error);
            let title = format!("HTTP {status} and a page titled \"Blocked by ACME\"");
            assert!(text.ends_with(&title), "{text}");
        }
    }
}

#[tokio::test]
async fn a_proof_that_can_never_be_made_is_not_asked_for_again() {
    let challenge = json!({"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": {
        "SALT": "abc", "SRP_B": "1234567", "SECRET_BLOCK": "not base64!", "USERNAME": "internal"}});
    let password = SecretString::from("hunter22");
    let client = Script::new([answer(200, &challenge)]).client(pool());
    let error = client.sign_in(&user(&password), &mut Unattended::default()).await.expect_err("no proof");
    assert!(matches!(error.verdict(), Verdict::Misconfigured { .. }), "{error}");
}

#[tokio::test]
async fn a_server_error_without_a_type_keeps_the_refresh_token() {
    let script =
        Script::new([answer(500, &json!({})), refused("NotAuthorizedException", "Invalid Refresh Token")]);
    let error = script.client(pool()).refresh(&grant()).await.expect_err("both fail");
    assert_eq!(error.verdict(), Verdict::Transient { retry_after: None });
}

#[tokio::test]
async fn of_two_refusals_the_one_about_the_refresh_token_is_told() {
    let missing = || refused("UnknownOperationException", "");
    for (second, cause) in [
        (refused("NotAuthorizedException", "Refresh Token has expired"), Cause::RefreshTokenInvalid),
        (refused("InvalidParameterException", "Auth flow not enabled for this client"), Cause::Unsupported),
        (refused("UnsupportedOperationException", ""), Cause::Unsupported),
    ] {
        let script = Script::new([missing(), second]);
        let error = script.client(pool()).refresh(&grant()).await.expect_err("both fail");
        assert_eq!((error.cause(), script.requests().len()), (Some(cause), 2));
    }
}

#[tokio::test]
async fn a_refused_refresh_token_ends_the_session() {
    for (code, message) in [
        ("NotAuthorizedException", "Refresh Token has been revoked"),
        ("RefreshTokenReuseException", "Refresh token reuse"),
    ] {
        let script = Script::new([refused(code, message)]);
        let error = script.client(pool()).refresh(&grant()).await.expect_err("refused");
        assert_eq!(error.verdict(), Verdict::SessionOver);
        assert_eq!(script.requests().len(), 1);
    }
}

#[tokio::test]
async fn throttling_says_when_to_come_back() {
    let in_a_minute = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 60));
    let page = || HttpResponse::new(503.try_into().expect("a status"), SdkBody::from("<html>busy</html>"));
    for (value, seconds) in [("7", Some(7)), (in_a_minute.as_str(), Some(60)), ("soon", None)] {
        for mut response in [refused("TooManyRequestsException", "Rate exceeded"), page()] {
            response.headers_mut().insert("retry-after", value.to_owned());
            let script = Script::new([response]);
            let password = SecretString::from("hunter22");
            let client = script.client(pool());
            let error = client.sign_in(&user(&password), &mut Unattended::default()).await.expect_err("busy");
            let retry_after = seconds.map(Duration::from_secs);
            assert_eq!(error.verdict(), Verdict::Transient { retry_after }, "{value}: {error}");
        }
    }
}

#[tokio::test]
async fn a_date_to_come_back_at_is_one_of_the_pools_clock() {
    let clock = clock();
    let hour = Duration::from_secs(3_600);
    clock.observe(clock.local() + hour, clock.local());
    let mut response = refused("TooManyRequestsException", "Rate exceeded");
    let in_a_minute = httpdate::fmt_http_date(clock.now() + Duration::from_secs(60));
    response.headers_mut().insert("retry-after", in_a_minute);
    let connector = SharedHttpConnector::new(Script::new([response]));
    let error = UserPoolClient::new(pool(), connector, clock).refresh(&grant()).await.expect_err("refused");
    assert_eq!(error.verdict(), Verdict::Transient { retry_after: Some(Duration::from_secs(60)) });
}

#[tokio::test]
async fn a_device_that_nobody_named_is_no_reason_to_start_over() {
    let unknown = || refused("ResourceNotFoundException", "Device does not exist.");
    let script = Script::new([unknown(), unknown(), unknown()]);
    let error = sign_in(&script, pool()).await.expect_err("refused");
    assert_eq!((error.cause(), script.requests().len()), (Some(Cause::DeviceUnknown), 1));
}

#[test]
fn tokens_without_a_user_name_belong_to_their_subject() {
    let claims = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        json!({"iss": "https://pool.test/a", "sub": "sub-1", "exp": NOW}).to_string(),
    );
    let result = json!({"AccessToken": "access", "IdToken": format!("e30.{claims}.c2ln")});
    let result = serde_json::from_value(result).expect("a result");
    assert_eq!(Tokens::new(result).expect("tokens").username, "sub-1");
}

#[tokio::test]
async fn revocation_names_token_and_client() {
    let script = Script::new([answer(200, &json!({}))]);
    script.client(pool()).revoke(&SecretString::from("refresh-1")).await.expect("done");
    assert_eq!(
        script.requests(),
        [(
            "AWSCognitoIdentityProviderService.RevokeToken".to_owned(),
            json!({"Token": "refresh-1", "ClientId": "client", "ClientSecret": "s3cret"})
        )]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_never_answers_is_given_up_after_ten_seconds() {
    let started = tokio::time::Instant::now();
    let error = Script::default().client(pool()).refresh(&grant()).await.expect_err("no answer");
    assert!(matches!(error, Error::ExchangeError(ExchangeError::TimedOut)));
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(error.verdict(), Verdict::Transient { retry_after: None });
}

#[tokio::test]
async fn answers_of_unreasonable_size_are_not_read() {
    let response = HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(vec![b' '; 1_100_000]));
    let error = Script::new([response]).client(pool()).refresh(&grant()).await.expect_err("too large");
    assert!(matches!(error, Error::ExchangeError(ExchangeError::TooLarge)));
}

#[tokio::test]
async fn debug_output_shows_no_secret() {
    let script = Script::new([password_verifier(), tokens(Some("refresh-secret"))]);
    let password = SecretString::from("hunter22");
    let client = script.client(pool());
    let signed_in = client.sign_in(&user(&password), &mut Unattended::default()).await.expect("tokens");
    let text = format!(
        "{:?} {:?} {signed_in:?} {:?}",
        user(&password),
        client.pool,
        signed_in.refresh_grant().expect("a refresh token")
    );
    for secret in ["hunter22", "s3cret", "refresh-secret", "access", &token("internal")] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn calls_can_run_on_any_thread() {
    fn assert_send<T: Send>(_: &T) {}
    let client = Script::default().client(pool());
    let mut answers = Unattended::default();
    let user = User { username: "u", password: None, device: None };
    assert_send(&client.sign_in(&user, &mut answers));
    assert_send(&client.refresh(&grant()));
}

mod challenges;
