//! The challenges of the sandbox's user pool, one behaviour each.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::{Duration, UNIX_EPOCH};

use countersign::sandbox::{CustomChallenge, Medium, Mfa, Sandbox, Settings, User, UserState};
use sandbox_client::{
    Srp, answer, challenge_after_password, error, has_tokens, idp, initiate, respond, start, start_with,
    start_with_users,
};
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

const PASSWORD: &str = "Secret-password-1";
const AUTHENTICATOR: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn ann() -> User {
    User {
        aliases: vec!["ann@example.com".to_owned(), "+441234567890".to_owned()],
        ..User::new("ann", PASSWORD)
    }
}

fn authenticator() -> Mfa {
    Mfa::Authenticator { secret: AUTHENTICATOR.into() }
}

async fn start_with_ann(user: User) -> Sandbox {
    start_with_users(vec![user]).await
}

async fn after_password(sandbox: &Sandbox) -> Value {
    challenge_after_password(sandbox, "ann", PASSWORD).await
}

fn code_of(sandbox: &Sandbox, secret: &str) -> String {
    let secret = Secret::try_from_base32(secret).expect("base32");
    let seconds = sandbox.clock().now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    Builder::new().with_secret(secret).build_noncompliant().generate(seconds).to_string()
}

fn sent_code(sandbox: &Sandbox) -> String {
    sandbox.messages().pop().expect("a message").code
}

#[tokio::test]
async fn a_temporary_password_must_be_replaced_with_the_required_attributes() {
    let state = UserState::TemporaryPassword { required_attributes: vec!["given_name".to_owned()] };
    let sandbox = start_with_ann(User { state, ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    assert_eq!(challenge["ChallengeName"], "NEW_PASSWORD_REQUIRED");
    let parameters = &challenge["ChallengeParameters"];
    assert_eq!(parameters["requiredAttributes"], "[\"userAttributes.given_name\"]");
    let attributes = parameters["userAttributes"].as_str().expect("JSON as text");
    assert_eq!(
        serde_json::from_str::<Value>(attributes).expect("JSON"),
        json!({
            "email": "ann@example.com", "email_verified": "true",
            "phone_number": "+441234567890", "phone_number_verified": "true",
        })
    );

    let short = json!({ "USERNAME": "ann", "NEW_PASSWORD": "short" });
    assert_eq!(
        answer(&sandbox, &challenge, short).await.error(),
        error("InvalidPasswordException", "Password did not conform with policy: Password not long enough")
    );
    let bare = json!({ "USERNAME": "ann", "NEW_PASSWORD": "Another-password-2" });
    assert_eq!(answer(&sandbox, &challenge, bare).await.error().0, "InvalidParameterException");
    let whole = json!({
        "USERNAME": "ann", "NEW_PASSWORD": "Another-password-2", "userAttributes.given_name": "Ann",
    });
    assert!(has_tokens(&answer(&sandbox, &challenge, whole).await));
    let old = challenge_after_password(&sandbox, "ann", PASSWORD).await;
    assert_eq!(old["message"], "Incorrect username or password.");
    let new = challenge_after_password(&sandbox, "ann", "Another-password-2").await;
    assert!(new["AuthenticationResult"].is_object());
}

#[tokio::test]
async fn a_temporary_password_is_replaced_once() {
    let state = UserState::TemporaryPassword { required_attributes: Vec::new() };
    let sandbox = start_with_ann(User { state, ..ann() }).await;
    let [first, second] = [after_password(&sandbox).await, after_password(&sandbox).await];
    let replace = |password: &str| json!({ "USERNAME": "ann", "NEW_PASSWORD": password });
    assert!(has_tokens(&answer(&sandbox, &first, replace("Another-password-2")).await));
    assert_eq!(
        answer(&sandbox, &second, replace("Another-password-3")).await.error(),
        error("NotAuthorizedException", "Invalid session for the user.")
    );
}

#[tokio::test]
async fn a_user_who_was_disabled_after_the_password_gets_no_tokens_for_the_second_factor() {
    let sandbox = start_with_ann(User { mfa: vec![authenticator()], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    sandbox.set_user_state("ann", UserState::Disabled);
    let right = json!({ "USERNAME": "ann", "SOFTWARE_TOKEN_MFA_CODE": code_of(&sandbox, AUTHENTICATOR) });
    let refused = answer(&sandbox, &challenge, right).await;
    assert_eq!(refused.error(), error("NotAuthorizedException", "User is disabled."));
}

#[tokio::test]
async fn a_code_by_text_message_is_the_second_factor() {
    let sandbox = start_with_ann(User { mfa: vec![Mfa::Sms], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    assert_eq!(challenge["ChallengeName"], "SMS_MFA");
    let parameters = &challenge["ChallengeParameters"];
    assert_eq!(parameters["CODE_DELIVERY_DELIVERY_MEDIUM"], "SMS");
    assert_eq!(parameters["CODE_DELIVERY_DESTINATION"], "+********7890");
    let message = sandbox.messages().pop().expect("a message");
    assert_eq!((message.medium, message.address.as_str()), (Medium::Sms, "+441234567890"));

    let wrong = json!({ "USERNAME": "ann", "SMS_MFA_CODE": "none" });
    assert_eq!(
        answer(&sandbox, &challenge, wrong).await.error(),
        error("CodeMismatchException", "Invalid code or auth state for the user.")
    );
    let right = json!({ "USERNAME": "ann", "SMS_MFA_CODE": message.code });
    assert!(has_tokens(&answer(&sandbox, &challenge, right).await));
}

#[tokio::test]
async fn a_code_by_email_is_the_second_factor() {
    let sandbox = start_with_ann(User { mfa: vec![Mfa::Email], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    assert_eq!(challenge["ChallengeName"], "EMAIL_OTP");
    assert_eq!(challenge["ChallengeParameters"]["CODE_DELIVERY_DESTINATION"], "a***@e***");
    let right = json!({ "USERNAME": "ann", "EMAIL_OTP_CODE": sent_code(&sandbox) });
    assert!(has_tokens(&answer(&sandbox, &challenge, right).await));
}

#[tokio::test]
async fn an_authenticators_code_is_valid_once() {
    let sandbox = start_with_ann(User { mfa: vec![authenticator()], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    assert_eq!(challenge["ChallengeName"], "SOFTWARE_TOKEN_MFA");
    let code = code_of(&sandbox, AUTHENTICATOR);
    let responses = |code: &str| json!({ "USERNAME": "ann", "SOFTWARE_TOKEN_MFA_CODE": code });
    let wrong = if code == "000000" { "111111" } else { "000000" };
    assert_eq!(
        answer(&sandbox, &challenge, responses(wrong)).await.error(),
        error("CodeMismatchException", "Invalid code received for user")
    );
    assert!(has_tokens(&answer(&sandbox, &challenge, responses(&code)).await));

    let again = after_password(&sandbox).await;
    assert_eq!(
        answer(&sandbox, &again, responses(&code)).await.error(),
        error("ExpiredCodeException", "Your software token has already been used once.")
    );
    sandbox.advance_clock(Duration::from_secs(30));
    let next = code_of(&sandbox, AUTHENTICATOR);
    assert!(has_tokens(&answer(&sandbox, &again, responses(&next)).await));
}

#[tokio::test]
async fn several_second_factors_are_a_choice() {
    let sandbox = start_with_ann(User { mfa: vec![Mfa::Sms, authenticator(), Mfa::Email], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    assert_eq!(challenge["ChallengeName"], "SELECT_MFA_TYPE");
    let choices = &challenge["ChallengeParameters"]["MFAS_CAN_CHOOSE"];
    assert_eq!(choices, "[\"SMS_MFA\",\"SOFTWARE_TOKEN_MFA\",\"EMAIL_OTP\"]");
    let choose = |choice: &str| json!({ "USERNAME": "ann", "ANSWER": choice });
    let refused = answer(&sandbox, &challenge, choose("CARRIER_PIGEON")).await;
    assert_eq!(refused.error().0, "InvalidParameterException");
    let chosen = answer(&sandbox, &challenge, choose("EMAIL_MFA")).await.json();
    assert_eq!(chosen["ChallengeName"], "EMAIL_OTP");
    let right = json!({ "USERNAME": "ann", "EMAIL_OTP_CODE": sent_code(&sandbox) });
    assert!(has_tokens(&answer(&sandbox, &chosen, right).await));
}

#[tokio::test]
async fn a_second_factor_that_is_required_is_set_up_at_sign_in() {
    let settings = Settings { users: vec![ann()], mfa_required: true, ..Settings::default() };
    let sandbox = start_with(settings).await;
    let challenge = after_password(&sandbox).await;
    assert_eq!(challenge["ChallengeName"], "MFA_SETUP");
    assert_eq!(challenge["ChallengeParameters"]["MFAS_CAN_SETUP"], "[\"SOFTWARE_TOKEN_MFA\"]");
    let session = json!({ "Session": challenge["Session"] });
    let associated = idp(&sandbox, "AssociateSoftwareToken", session).await.json();
    let secret = associated["SecretCode"].as_str().expect("a secret").to_owned();

    let verify = |code: String| {
        let request = json!({ "Session": associated["Session"], "UserCode": code });
        idp(&sandbox, "VerifySoftwareToken", request)
    };
    assert_eq!(
        verify("none".to_owned()).await.error(),
        error("EnableSoftwareTokenMFAException", "Code mismatch and fail enable Software Token MFA")
    );
    let verified = verify(code_of(&sandbox, &secret)).await.json();
    assert_eq!(verified["Status"], "SUCCESS");
    let client = sandbox.client_id();
    let finished =
        respond(&sandbox, client, "MFA_SETUP", &verified["Session"], &json!({ "USERNAME": "ann" })).await;
    assert!(has_tokens(&finished));
    assert_eq!(after_password(&sandbox).await["ChallengeName"], "SOFTWARE_TOKEN_MFA");
}

#[tokio::test]
async fn a_session_is_valid_for_three_minutes() {
    let sandbox = start_with_ann(User { mfa: vec![Mfa::Sms], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    sandbox.advance_clock(Duration::from_secs(181));
    let right = json!({ "USERNAME": "ann", "SMS_MFA_CODE": sent_code(&sandbox) });
    assert_eq!(
        answer(&sandbox, &challenge, right).await.error(),
        error("NotAuthorizedException", "Invalid session for the user, session is expired.")
    );
}

#[tokio::test]
async fn an_answered_session_is_gone() {
    let sandbox = start_with_ann(User { mfa: vec![Mfa::Sms, Mfa::Email], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    let choice = json!({ "USERNAME": "ann", "ANSWER": "SMS_MFA" });
    assert_eq!(answer(&sandbox, &challenge, choice.clone()).await.json()["ChallengeName"], "SMS_MFA");
    assert_eq!(
        answer(&sandbox, &challenge, choice).await.error(),
        error("NotAuthorizedException", "Invalid session for the user.")
    );
}

#[tokio::test]
async fn a_session_does_not_survive_five_wrong_codes() {
    let sandbox = start_with_ann(User { mfa: vec![Mfa::Sms], ..ann() }).await;
    let challenge = after_password(&sandbox).await;
    let wrong = json!({ "USERNAME": "ann", "SMS_MFA_CODE": "none" });
    for _ in 0..5 {
        assert_eq!(answer(&sandbox, &challenge, wrong.clone()).await.error().0, "CodeMismatchException");
    }
    let right = json!({ "USERNAME": "ann", "SMS_MFA_CODE": sent_code(&sandbox) });
    assert_eq!(
        answer(&sandbox, &challenge, right).await.error(),
        error("NotAuthorizedException", "Invalid session for the user.")
    );
}

#[tokio::test]
async fn a_session_belongs_to_its_user_and_its_challenge() {
    let users = vec![User { mfa: vec![Mfa::Sms], ..ann() }, User::new("bob", PASSWORD)];
    let sandbox = start_with_users(users).await;
    for (username, challenge_name) in [("bob", "SMS_MFA"), ("ann", "EMAIL_OTP")] {
        let challenge = after_password(&sandbox).await;
        let code = sent_code(&sandbox);
        let responses = json!({ "USERNAME": username, "SMS_MFA_CODE": code, "EMAIL_OTP_CODE": code });
        let client = sandbox.client_id();
        let answer = respond(&sandbox, client, challenge_name, &challenge["Session"], &responses).await;
        assert_eq!(answer.error(), error("NotAuthorizedException", "Invalid session for the user."));
    }
}

#[tokio::test]
async fn users_who_may_not_sign_in_learn_the_reason_after_the_password() {
    let sandbox = start_with_ann(ann()).await;
    for (state, expected) in [
        (UserState::Disabled, error("NotAuthorizedException", "User is disabled.")),
        (UserState::Unconfirmed, error("UserNotConfirmedException", "User is not confirmed.")),
        (
            UserState::ResetRequired,
            error("PasswordResetRequiredException", "Password reset required for the user"),
        ),
    ] {
        sandbox.set_user_state("ann", state);
        let parameters = |password| json!({ "USERNAME": "ann", "PASSWORD": password });
        let right = initiate(&sandbox, "USER_PASSWORD_AUTH", parameters(PASSWORD)).await;
        assert_eq!(right.error(), expected);
        let wrong = initiate(&sandbox, "USER_PASSWORD_AUTH", parameters("wrong")).await;
        assert_eq!(wrong.error().1, "Incorrect username or password.");
    }
}

#[tokio::test]
async fn a_disabled_user_cannot_refresh() {
    let sandbox = start_with_ann(ann()).await;
    let tokens = after_password(&sandbox).await;
    sandbox.set_user_state("ann", UserState::Disabled);
    let token = &tokens["AuthenticationResult"]["RefreshToken"];
    let request = json!({ "ClientId": sandbox.client_id(), "RefreshToken": token });
    let answer = idp(&sandbox, "GetTokensFromRefreshToken", request).await;
    assert_eq!(answer.error(), error("NotAuthorizedException", "User is disabled."));
}

#[tokio::test]
async fn a_global_sign_out_revokes_every_sign_in() {
    let sandbox = start_with_ann(ann()).await;
    let [first, second] = [after_password(&sandbox).await, after_password(&sandbox).await];
    let access = &first["AuthenticationResult"]["AccessToken"];
    assert_eq!(idp(&sandbox, "GlobalSignOut", json!({ "AccessToken": access })).await.json(), json!({}));
    let token = &second["AuthenticationResult"]["RefreshToken"];
    let request = json!({ "ClientId": sandbox.client_id(), "RefreshToken": token });
    assert_eq!(
        idp(&sandbox, "GetTokensFromRefreshToken", request).await.error(),
        error("NotAuthorizedException", "Refresh Token has been revoked")
    );
}

#[tokio::test]
async fn user_auth_without_a_preference_offers_what_the_user_has() {
    let sandbox = start_with_ann(User { passkey: true, ..ann() }).await;
    let challenge = initiate(&sandbox, "USER_AUTH", json!({ "USERNAME": "ann" })).await.json();
    assert_eq!(challenge["ChallengeName"], "SELECT_CHALLENGE");
    assert_eq!(
        challenge["AvailableChallenges"],
        json!(["PASSWORD_SRP", "PASSWORD", "EMAIL_OTP", "SMS_OTP", "WEB_AUTHN"])
    );
    let nobody = initiate(&sandbox, "USER_AUTH", json!({ "USERNAME": "nobody" })).await.json();
    assert_eq!(nobody["AvailableChallenges"], json!(["PASSWORD_SRP", "PASSWORD"]));
}

#[tokio::test]
async fn user_auth_takes_the_password_with_the_choice_or_after_it() {
    let sandbox = start_with_ann(ann()).await;
    let begin = || initiate(&sandbox, "USER_AUTH", json!({ "USERNAME": "ann" }));
    let inline = json!({ "USERNAME": "ann", "ANSWER": "PASSWORD", "PASSWORD": PASSWORD });
    assert!(has_tokens(&answer(&sandbox, &begin().await.json(), inline).await));

    let choice = json!({ "USERNAME": "ann", "ANSWER": "PASSWORD" });
    let challenge = answer(&sandbox, &begin().await.json(), choice).await.json();
    assert_eq!(challenge["ChallengeName"], "PASSWORD");
    let password = json!({ "USERNAME": "ann", "PASSWORD": PASSWORD });
    assert!(has_tokens(&answer(&sandbox, &challenge, password).await));

    let preferred = json!({ "USERNAME": "ann", "PREFERRED_CHALLENGE": "PASSWORD", "PASSWORD": PASSWORD });
    assert!(has_tokens(&initiate(&sandbox, "USER_AUTH", preferred).await));
}

#[tokio::test]
async fn user_auth_by_srp_carries_a_session() {
    let sandbox = start_with_ann(ann()).await;
    let srp = Srp::for_pool(&sandbox);
    let preferred = json!({ "USERNAME": "ann", "PREFERRED_CHALLENGE": "PASSWORD_SRP", "SRP_A": srp.srp_a() });
    let challenge = initiate(&sandbox, "USER_AUTH", preferred).await.json();
    assert!(challenge["Session"].is_string());
    let responses = srp.responses(&challenge, PASSWORD);
    assert!(has_tokens(&answer(&sandbox, &challenge, responses).await));

    let choice = json!({ "USERNAME": "ann", "ANSWER": "PASSWORD_SRP", "SRP_A": srp.srp_a() });
    let begun = initiate(&sandbox, "USER_AUTH", json!({ "USERNAME": "ann" })).await.json();
    let challenge = answer(&sandbox, &begun, choice).await.json();
    let responses = srp.responses(&challenge, PASSWORD);
    let client = sandbox.client_id();
    let stray = respond(&sandbox, client, "PASSWORD_VERIFIER", &Value::Null, &responses).await;
    assert_eq!(stray.error(), error("NotAuthorizedException", "Invalid session for the user."));
}

#[tokio::test]
async fn user_auth_takes_a_sent_code_as_the_only_factor() {
    let sandbox = start_with_ann(User { mfa: vec![authenticator()], ..ann() }).await;
    for (preferred, name) in [("EMAIL_OTP", "EMAIL_OTP"), ("SMS_OTP", "SMS_OTP")] {
        let parameters = json!({ "USERNAME": "ann", "PREFERRED_CHALLENGE": preferred });
        let challenge = initiate(&sandbox, "USER_AUTH", parameters).await.json();
        assert_eq!(challenge["ChallengeName"], name);
        let mut responses = json!({ "USERNAME": "ann" });
        responses[format!("{name}_CODE")] = sent_code(&sandbox).into();
        assert!(has_tokens(&answer(&sandbox, &challenge, responses).await));
    }
}

#[tokio::test]
async fn a_preference_that_is_not_available_becomes_a_choice() {
    let sandbox = start_with_users(vec![User::new("ann", PASSWORD)]).await;
    let parameters = json!({ "USERNAME": "ann", "PREFERRED_CHALLENGE": "EMAIL_OTP" });
    let challenge = initiate(&sandbox, "USER_AUTH", parameters).await.json();
    assert_eq!(challenge["ChallengeName"], "SELECT_CHALLENGE");
    let choice = json!({ "USERNAME": "ann", "ANSWER": "EMAIL_OTP" });
    assert_eq!(answer(&sandbox, &challenge, choice).await.error().0, "InvalidParameterException");
}

fn with_questions() -> User {
    let round = |question: &str, answer: &str| CustomChallenge {
        parameters: vec![("question".to_owned(), question.to_owned())],
        answer: answer.to_owned(),
    };
    User { custom_challenges: vec![round("colour?", "blue"), round("pet?", "cat")], ..ann() }
}

#[tokio::test]
async fn custom_challenges_come_one_after_the_other() {
    let sandbox = start_with_ann(with_questions()).await;
    let first = initiate(&sandbox, "CUSTOM_AUTH", json!({ "USERNAME": "ann" })).await.json();
    assert_eq!(first["ChallengeName"], "CUSTOM_CHALLENGE");
    assert_eq!(first["ChallengeParameters"]["question"], "colour?");
    let reply = |answer: &str| json!({ "USERNAME": "ann", "ANSWER": answer });
    let repeated = answer(&sandbox, &first, reply("red")).await.json();
    assert_eq!(repeated["ChallengeParameters"]["question"], "colour?");
    assert_ne!(repeated["Session"], first["Session"]);
    let second = answer(&sandbox, &repeated, reply("blue")).await.json();
    assert_eq!(second["ChallengeParameters"]["question"], "pet?");
    assert!(has_tokens(&answer(&sandbox, &second, reply("cat")).await));
}

#[tokio::test]
async fn three_wrong_answers_end_a_custom_sign_in() {
    let sandbox = start_with_ann(with_questions()).await;
    let mut challenge = initiate(&sandbox, "CUSTOM_AUTH", json!({ "USERNAME": "ann" })).await.json();
    let wrong = json!({ "USERNAME": "ann", "ANSWER": "red" });
    for _ in 0..2 {
        challenge = answer(&sandbox, &challenge, wrong.clone()).await.json();
    }
    assert_eq!(
        answer(&sandbox, &challenge, wrong).await.error(),
        error("NotAuthorizedException", "Incorrect username or password.")
    );
}

#[tokio::test]
async fn a_custom_sign_in_can_begin_with_the_password() {
    let sandbox = start_with_ann(with_questions()).await;
    let srp = Srp::for_pool(&sandbox);
    let parameters = json!({ "USERNAME": "ann", "SRP_A": srp.srp_a(), "CHALLENGE_NAME": "SRP_A" });
    let challenge = initiate(&sandbox, "CUSTOM_AUTH", parameters).await.json();
    assert_eq!(challenge["ChallengeName"], "PASSWORD_VERIFIER");
    let responses = srp.responses(&challenge, PASSWORD);
    let next = answer(&sandbox, &challenge, responses).await.json();
    assert_eq!(next["ChallengeParameters"]["question"], "colour?");
}

#[tokio::test]
async fn custom_sign_in_needs_custom_challenges() {
    let sandbox = start().await;
    let answer = initiate(&sandbox, "CUSTOM_AUTH", json!({ "USERNAME": "demo" })).await;
    let message = "Custom auth lambda trigger is not configured for the user pool.";
    assert_eq!(answer.error(), error("InvalidParameterException", message));
}
