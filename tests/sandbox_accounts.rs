//! Users of the sandbox's user pool who sign up, look after their own account, and leave.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::{Duration, UNIX_EPOCH};

use countersign::sandbox::{
    AttributeKind, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, CustomAttribute, Medium, PoolRules,
    Purpose, Sandbox, Settings, User, UserState, Usernames,
};
use sandbox_client::{
    Answer, error, has_tokens, idp, initiate, secret_hash, start, start_with, start_with_users,
};
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

const PASSWORD: &str = "Secret-password-1";
const NEW_PASSWORD: &str = "Another-password-2";

fn ann() -> User {
    User { aliases: vec!["ann@example.com".to_owned()], ..User::new("ann", PASSWORD) }
}

async fn start_with_rules(rules: PoolRules) -> Sandbox {
    start_with(Settings { rules, ..Settings::default() }).await
}

async fn sign_up(sandbox: &Sandbox, username: &str, attributes: Value) -> Answer {
    let request = json!({
        "ClientId": sandbox.client_id(), "Username": username, "Password": PASSWORD, "UserAttributes": attributes,
    });
    idp(sandbox, "SignUp", request).await
}

fn email(address: &str) -> Value {
    json!([{ "Name": "email", "Value": address }])
}

async fn with_code(sandbox: &Sandbox, operation: &str, username: &str, code: &str) -> Answer {
    let request = json!({
        "ClientId": sandbox.client_id(), "Username": username, "ConfirmationCode": code, "Password": NEW_PASSWORD,
    });
    idp(sandbox, operation, request).await
}

async fn of_user(sandbox: &Sandbox, operation: &str, username: &str) -> Answer {
    idp(sandbox, operation, json!({ "ClientId": sandbox.client_id(), "Username": username })).await
}

async fn password_sign_in(sandbox: &Sandbox, username: &str, password: &str) -> Answer {
    initiate(sandbox, "USER_PASSWORD_AUTH", json!({ "USERNAME": username, "PASSWORD": password })).await
}

async fn tokens_of(sandbox: &Sandbox, username: &str, password: &str) -> Value {
    let answer = password_sign_in(sandbox, username, password).await;
    assert!(has_tokens(&answer), "{}", answer.json());
    answer.json()["AuthenticationResult"].take()
}

/// An operation with the access token of `tokens` in it.
async fn own(sandbox: &Sandbox, operation: &str, tokens: &Value, mut request: Value) -> Answer {
    request["AccessToken"] = tokens["AccessToken"].clone();
    idp(sandbox, operation, request).await
}

fn sent_code(sandbox: &Sandbox) -> String {
    sandbox.messages().pop().expect("a message").code
}

fn other_than(code: &str) -> &'static str {
    if code == "000000" { "111111" } else { "000000" }
}

fn attribute(user: &Value, name: &str) -> Value {
    let attributes = user["UserAttributes"].as_array().unwrap_or_else(|| panic!("{user}"));
    let found = attributes.iter().find(|attribute| attribute["Name"] == name);
    found.map_or(Value::Null, |attribute| attribute["Value"].clone())
}

#[tokio::test]
async fn a_user_who_signs_up_confirms_with_the_code_and_signs_in() {
    let sandbox = start().await;
    let answer = sign_up(&sandbox, "bob", email("bob@example.com")).await.json();
    assert_eq!(
        answer["CodeDeliveryDetails"],
        json!({ "AttributeName": "email", "DeliveryMedium": "EMAIL", "Destination": "b***@e***" })
    );
    assert_eq!(answer["UserConfirmed"], false);
    let message = sandbox.messages().pop().expect("a message");
    assert_eq!((message.purpose, message.medium), (Purpose::SignUp, Medium::Email));
    assert_eq!((message.username.as_str(), message.address.as_str()), ("bob", "bob@example.com"));

    let early = password_sign_in(&sandbox, "bob", PASSWORD).await;
    assert_eq!(early.error(), error("UserNotConfirmedException", "User is not confirmed."));
    let wrong = with_code(&sandbox, "ConfirmSignUp", "bob", other_than(&message.code)).await;
    assert_eq!(
        wrong.error(),
        error("CodeMismatchException", "Invalid verification code provided, please try again.")
    );
    let right = with_code(&sandbox, "ConfirmSignUp", "bob", &message.code).await;
    assert_eq!(right.status, 200);
    assert_eq!(
        with_code(&sandbox, "ConfirmSignUp", "bob", &message.code).await.error(),
        error("NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED")
    );

    let tokens = tokens_of(&sandbox, "bob", PASSWORD).await;
    let user = own(&sandbox, "GetUser", &tokens, json!({})).await.json();
    assert_eq!(user["Username"], "bob");
    assert_eq!(attribute(&user, "sub"), answer["UserSub"]);
    assert_eq!(attribute(&user, "email_verified"), "true");
}

#[tokio::test]
async fn a_taken_name_is_refused_in_any_case() {
    let sandbox = start().await;
    assert_eq!(
        sign_up(&sandbox, "Demo", json!([])).await.error(),
        error("UsernameExistsException", "User already exists")
    );
}

#[tokio::test]
async fn a_password_must_keep_to_the_policy_wherever_it_is_set() {
    let sandbox = start_with_users(vec![ann()]).await;
    let violation = error(
        "InvalidPasswordException",
        "Password did not conform with policy: Password must have uppercase characters",
    );
    let request = json!({ "ClientId": sandbox.client_id(), "Username": "bob", "Password": "password-1" });
    assert_eq!(idp(&sandbox, "SignUp", request).await.error(), violation);
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let request = json!({ "PreviousPassword": PASSWORD, "ProposedPassword": "password-1" });
    assert_eq!(own(&sandbox, "ChangePassword", &tokens, request).await.error(), violation);
    of_user(&sandbox, "ForgotPassword", "ann").await;
    let code = sent_code(&sandbox);
    let weak = json!({
        "ClientId": sandbox.client_id(), "Username": "ann", "ConfirmationCode": code, "Password": "password-1",
    });
    assert_eq!(idp(&sandbox, "ConfirmForgotPassword", weak).await.error(), violation);
    assert_eq!(with_code(&sandbox, "ConfirmForgotPassword", "ann", &code).await.status, 200);
}

#[tokio::test]
async fn attributes_must_exist_be_writable_and_have_their_form() {
    let rules = PoolRules {
        required_attributes: vec!["name".to_owned()],
        custom_attributes: Some(vec![CustomAttribute::text("custom:plan")]),
        ..PoolRules::default()
    };
    let sandbox = start_with_rules(rules).await;
    let with = |name: &str, value: &str| json!([{ "Name": "name", "Value": "Bob" }, { "Name": name, "Value": value }]);
    let schema = |problem: &str| {
        error("InvalidParameterException", &format!("Attributes did not conform to the schema: {problem}\n"))
    };
    for (attributes, expected) in [
        (json!([]), schema("name: The attribute is required")),
        (with("custom:other", "x"), schema("custom:other: Attribute does not exist in the schema.")),
        (with("favourite", "x"), schema("favourite: Attribute does not exist in the schema.")),
        (with("email", "nobody"), error("InvalidParameterException", "Invalid email address format.")),
        (with("phone_number", "123"), error("InvalidParameterException", "Invalid phone number format.")),
        (
            with("email_verified", "true"),
            error("NotAuthorizedException", "A client attempted to write unauthorized attribute"),
        ),
    ] {
        assert_eq!(sign_up(&sandbox, "bob", attributes).await.error(), expected);
    }
    assert_eq!(sign_up(&sandbox, "bob", with("custom:plan", "free")).await.status, 200);
}

#[tokio::test]
async fn a_closed_pool_takes_no_sign_ups() {
    let sandbox = start_with_rules(PoolRules { self_sign_up: false, ..PoolRules::default() }).await;
    assert_eq!(
        sign_up(&sandbox, "bob", json!([])).await.error(),
        error("NotAuthorizedException", "SignUp is not permitted for this user pool")
    );
}

#[tokio::test]
async fn a_confidential_client_signs_users_up_with_a_hash() {
    let sandbox = start().await;
    let with_hash = |hash: Option<String>| {
        let request = json!({
            "ClientId": CONFIDENTIAL_CLIENT_ID, "Username": "bob", "Password": PASSWORD, "SecretHash": hash,
        });
        idp(&sandbox, "SignUp", request)
    };
    assert_eq!(with_hash(None).await.error().0, "NotAuthorizedException");
    assert_eq!(with_hash(Some("wrong".to_owned())).await.error().0, "NotAuthorizedException");
    let right = secret_hash(CONFIDENTIAL_CLIENT_SECRET, "bob", CONFIDENTIAL_CLIENT_ID);
    assert_eq!(with_hash(Some(right)).await.status, 200);
}

#[tokio::test]
async fn a_new_code_replaces_the_one_before_and_expires_after_a_day() {
    let sandbox = start().await;
    sign_up(&sandbox, "bob", email("bob@example.com")).await;
    let resent = of_user(&sandbox, "ResendConfirmationCode", "bob").await.json();
    assert_eq!(resent["CodeDeliveryDetails"]["Destination"], "b***@e***");
    let codes: Vec<String> = sandbox.messages().into_iter().map(|message| message.code).collect();
    // One in a million runs draws the same code twice.
    if codes[0] != codes[1] {
        let old = with_code(&sandbox, "ConfirmSignUp", "bob", &codes[0]).await;
        assert_eq!(old.error().0, "CodeMismatchException");
    }
    sandbox.advance_clock(Duration::from_secs(24 * 3600));
    assert_eq!(
        with_code(&sandbox, "ConfirmSignUp", "bob", &codes[1]).await.error(),
        error("ExpiredCodeException", "Invalid code provided, please request a code again.")
    );
    of_user(&sandbox, "ResendConfirmationCode", "bob").await;
    assert_eq!(with_code(&sandbox, "ConfirmSignUp", "bob", &sent_code(&sandbox)).await.status, 200);
    assert_eq!(
        of_user(&sandbox, "ResendConfirmationCode", "bob").await.error(),
        error("InvalidParameterException", "User is already confirmed.")
    );
}

#[tokio::test]
async fn five_wrong_codes_are_the_limit_for_an_hour() {
    let sandbox = start().await;
    sign_up(&sandbox, "bob", email("bob@example.com")).await;
    let code = sent_code(&sandbox);
    for _ in 0..5 {
        let answer = with_code(&sandbox, "ConfirmSignUp", "bob", other_than(&code)).await;
        assert_eq!(answer.error().0, "CodeMismatchException");
    }
    assert_eq!(
        with_code(&sandbox, "ConfirmSignUp", "bob", &code).await.error(),
        error("LimitExceededException", "Attempt limit exceeded, please try after some time.")
    );
    sandbox.advance_clock(Duration::from_secs(3600));
    assert_eq!(with_code(&sandbox, "ConfirmSignUp", "bob", &code).await.status, 200);
}

#[tokio::test]
async fn twenty_codes_an_hour_are_the_limit() {
    let sandbox = start_with_users(vec![ann()]).await;
    for _ in 0..20 {
        assert_eq!(of_user(&sandbox, "ForgotPassword", "ann").await.status, 200);
    }
    assert_eq!(of_user(&sandbox, "ForgotPassword", "ann").await.error().0, "LimitExceededException");
    sandbox.advance_clock(Duration::from_secs(3600));
    assert_eq!(of_user(&sandbox, "ForgotPassword", "ann").await.status, 200);
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_with_a_code() {
    let sandbox = start_with_users(vec![ann()]).await;
    let answer = of_user(&sandbox, "ForgotPassword", "ann").await.json();
    assert_eq!(answer["CodeDeliveryDetails"]["Destination"], "a***@e***");
    let message = sandbox.messages().pop().expect("a message");
    assert_eq!(message.purpose, Purpose::ForgotPassword);
    assert_eq!(with_code(&sandbox, "ConfirmForgotPassword", "ann", &message.code).await.json(), json!({}));
    assert_eq!(
        with_code(&sandbox, "ConfirmForgotPassword", "ann", &message.code).await.error().0,
        "ExpiredCodeException"
    );
    assert_eq!(password_sign_in(&sandbox, "ann", PASSWORD).await.error().0, "NotAuthorizedException");
    tokens_of(&sandbox, "ann", NEW_PASSWORD).await;

    of_user(&sandbox, "ForgotPassword", "ann").await;
    sandbox.advance_clock(Duration::from_secs(3600));
    let late = with_code(&sandbox, "ConfirmForgotPassword", "ann", &sent_code(&sandbox)).await;
    assert_eq!(late.error().0, "ExpiredCodeException");
}

#[tokio::test]
async fn a_new_password_ends_a_lockout_and_a_demanded_reset() {
    let sandbox = start_with_users(vec![ann()]).await;
    for _ in 0..8 {
        password_sign_in(&sandbox, "ann", "wrong").await;
    }
    sandbox.set_user_state("ann", UserState::ResetRequired);
    of_user(&sandbox, "ForgotPassword", "ann").await;
    with_code(&sandbox, "ConfirmForgotPassword", "ann", &sent_code(&sandbox)).await;
    tokens_of(&sandbox, "ann", NEW_PASSWORD).await;
}

#[tokio::test]
async fn a_password_cannot_be_reset_without_a_verified_address() {
    let sandbox = start().await;
    assert_eq!(
        of_user(&sandbox, "ForgotPassword", "demo").await.error(),
        error(
            "InvalidParameterException",
            "Cannot reset password for the user as there is no registered/verified email or phone_number"
        )
    );
    sign_up(&sandbox, "bob", email("bob@example.com")).await;
    assert_eq!(of_user(&sandbox, "ForgotPassword", "bob").await.error().0, "InvalidParameterException");
}

#[tokio::test]
async fn unknown_users_look_like_known_ones_unless_the_pool_says_otherwise() {
    let hidden = start().await;
    let details =
        &of_user(&hidden, "ForgotPassword", "nobody@example.com").await.json()["CodeDeliveryDetails"];
    assert_eq!(details["Destination"], "n***@e***");
    assert!(
        of_user(&hidden, "ResendConfirmationCode", "nobody").await.json()["CodeDeliveryDetails"].is_object()
    );
    let code = with_code(&hidden, "ConfirmSignUp", "nobody", "123456").await;
    assert_eq!(code.error().0, "ExpiredCodeException");
    let code = with_code(&hidden, "ConfirmForgotPassword", "nobody", "123456").await;
    assert_eq!(code.error().0, "CodeMismatchException");
    assert!(hidden.messages().is_empty());

    let open = start_with_rules(PoolRules { hide_unknown_users: false, ..PoolRules::default() }).await;
    let unknown = error("UserNotFoundException", "Username/client id combination not found.");
    assert_eq!(of_user(&open, "ForgotPassword", "nobody").await.error(), unknown);
    assert_eq!(of_user(&open, "ResendConfirmationCode", "nobody").await.error(), unknown);
    assert_eq!(with_code(&open, "ConfirmSignUp", "nobody", "123456").await.error(), unknown);
    assert_eq!(
        password_sign_in(&open, "nobody", PASSWORD).await.error(),
        error("UserNotFoundException", "User does not exist.")
    );
}

#[tokio::test]
async fn a_password_is_changed_with_the_one_before() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let change = |previous: &str| {
        let request = json!({ "PreviousPassword": previous, "ProposedPassword": NEW_PASSWORD });
        own(&sandbox, "ChangePassword", &tokens, request)
    };
    assert_eq!(
        change("wrong").await.error(),
        error("NotAuthorizedException", "Incorrect username or password.")
    );
    assert_eq!(change(PASSWORD).await.json(), json!({}));
    tokens_of(&sandbox, "ann", NEW_PASSWORD).await;
    for _ in 0..5 {
        change("wrong").await;
    }
    assert_eq!(
        change(NEW_PASSWORD).await.error(),
        error("LimitExceededException", "Attempt limit exceeded, please try after some time.")
    );
}

#[tokio::test]
async fn a_new_address_is_unverified_until_its_code_comes_back() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let update = json!({ "UserAttributes": email("ann@new.example") });
    let answer = own(&sandbox, "UpdateUserAttributes", &tokens, update).await.json();
    assert_eq!(answer["CodeDeliveryDetailsList"][0]["Destination"], "a***@n***");
    let user = own(&sandbox, "GetUser", &tokens, json!({})).await.json();
    assert_eq!(attribute(&user, "email"), "ann@new.example");
    assert_eq!(attribute(&user, "email_verified"), "false");

    let verify = |code: String| {
        let request = json!({ "AttributeName": "email", "Code": code });
        own(&sandbox, "VerifyUserAttribute", &tokens, request)
    };
    tokens_of(&sandbox, "ann@example.com", PASSWORD).await;
    assert_eq!(
        password_sign_in(&sandbox, "ann@new.example", PASSWORD).await.error().0,
        "NotAuthorizedException"
    );
    let code = sent_code(&sandbox);
    assert_eq!(verify(other_than(&code).to_owned()).await.error().0, "CodeMismatchException");
    let request = json!({ "AttributeName": "email" });
    let again = own(&sandbox, "GetUserAttributeVerificationCode", &tokens, request).await.json();
    assert_eq!(again["CodeDeliveryDetails"]["AttributeName"], "email");
    assert_eq!(verify(sent_code(&sandbox)).await.json(), json!({}));
    let user = own(&sandbox, "GetUser", &tokens, json!({})).await.json();
    assert_eq!(attribute(&user, "email_verified"), "true");
    tokens_of(&sandbox, "ann@new.example", PASSWORD).await;
    assert_eq!(
        password_sign_in(&sandbox, "ann@example.com", PASSWORD).await.error().0,
        "NotAuthorizedException"
    );
}

#[tokio::test]
async fn a_code_does_not_verify_the_address_that_came_after_it() {
    let rules = PoolRules { verified_by: Vec::new(), ..PoolRules::default() };
    let sandbox = start_with(Settings { rules, users: vec![ann()], ..Settings::default() }).await;
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let request = json!({ "AttributeName": "email" });
    own(&sandbox, "GetUserAttributeVerificationCode", &tokens, request).await;
    let update = json!({ "UserAttributes": email("eve@example.com") });
    own(&sandbox, "UpdateUserAttributes", &tokens, update).await;
    let verify = json!({ "AttributeName": "email", "Code": sent_code(&sandbox) });
    let answer = own(&sandbox, "VerifyUserAttribute", &tokens, verify).await;
    assert_eq!(answer.error().0, "ExpiredCodeException");
}

#[tokio::test]
async fn attributes_are_set_and_deleted() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let update = json!({ "UserAttributes": [
        { "Name": "name", "Value": "Ann" }, { "Name": "custom:plan", "Value": "free" },
    ] });
    let answer = own(&sandbox, "UpdateUserAttributes", &tokens, update).await;
    assert_eq!(answer.json(), json!({ "CodeDeliveryDetailsList": [] }));
    let delete =
        |name: &str| own(&sandbox, "DeleteUserAttributes", &tokens, json!({ "UserAttributeNames": [name] }));
    assert_eq!(delete("custom:plan").await.json(), json!({}));
    assert_eq!(
        delete("nonsense").await.error(),
        error("InvalidParameterException", "user.nonsense: Attribute does not exist in the schema.\n")
    );
    let user = own(&sandbox, "GetUser", &tokens, json!({})).await.json();
    assert_eq!((attribute(&user, "name"), attribute(&user, "custom:plan")), (json!("Ann"), Value::Null));
}

#[tokio::test]
async fn an_authenticator_is_asked_for_once_the_user_prefers_it() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let prefer = json!({ "SoftwareTokenMfaSettings": { "Enabled": true, "PreferredMfa": true } });
    assert_eq!(
        own(&sandbox, "SetUserMFAPreference", &tokens, prefer.clone()).await.error(),
        error("InvalidParameterException", "User has not verified software token mfa")
    );
    let unasked = own(&sandbox, "VerifySoftwareToken", &tokens, json!({ "UserCode": "123456" })).await;
    assert_eq!(unasked.error().0, "SoftwareTokenMFANotFoundException");
    let associated = own(&sandbox, "AssociateSoftwareToken", &tokens, json!({})).await.json();
    let secret = associated["SecretCode"].as_str().expect("a secret").to_owned();
    let wrong = own(&sandbox, "VerifySoftwareToken", &tokens, json!({ "UserCode": "none" })).await;
    assert_eq!(wrong.error().0, "EnableSoftwareTokenMFAException");
    let code = json!({ "UserCode": totp(&sandbox, &secret) });
    let verified = own(&sandbox, "VerifySoftwareToken", &tokens, code).await.json();
    assert_eq!(verified, json!({ "Status": "SUCCESS" }));
    tokens_of(&sandbox, "ann", PASSWORD).await;

    assert_eq!(own(&sandbox, "SetUserMFAPreference", &tokens, prefer).await.json(), json!({}));
    let both = json!({ "EmailMfaSettings": { "Enabled": true } });
    own(&sandbox, "SetUserMFAPreference", &tokens, both).await;
    let user = own(&sandbox, "GetUser", &tokens, json!({})).await.json();
    assert_eq!(user["UserMFASettingList"], json!(["SOFTWARE_TOKEN_MFA", "EMAIL_OTP"]));
    assert_eq!(user["PreferredMfaSetting"], "SOFTWARE_TOKEN_MFA");
    let challenge = password_sign_in(&sandbox, "ann", PASSWORD).await.json();
    assert_eq!(challenge["ChallengeName"], "SOFTWARE_TOKEN_MFA");

    let off = json!({
        "SoftwareTokenMfaSettings": { "Enabled": false }, "EmailMfaSettings": { "Enabled": false },
    });
    own(&sandbox, "SetUserMFAPreference", &tokens, off).await;
    tokens_of(&sandbox, "ann", PASSWORD).await;
}

fn totp(sandbox: &Sandbox, secret: &str) -> String {
    let secret = Secret::try_from_base32(secret).expect("base32");
    let seconds = sandbox.clock().now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    Builder::new().with_secret(secret).build_noncompliant().generate(seconds).to_string()
}

#[tokio::test]
async fn a_second_factor_needs_an_address() {
    let sandbox = start().await;
    let tokens = tokens_of(&sandbox, "demo", "Sandbox-password-1").await;
    let sms = json!({ "SMSMfaSettings": { "Enabled": true } });
    assert_eq!(
        own(&sandbox, "SetUserMFAPreference", &tokens, sms).await.error(),
        error("InvalidParameterException", "User does not have delivery config set to turn on SMS_MFA")
    );
    let factors = own(&sandbox, "GetUserAuthFactors", &tokens, json!({})).await.json();
    assert_eq!(factors, json!({ "Username": "demo", "ConfiguredUserAuthFactors": ["PASSWORD"] }));
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_a_new_one_of_the_same_name_is_another_user() {
    let sandbox = start_with_users(vec![ann(), User::new("bob", PASSWORD)]).await;
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let deleted = own(&sandbox, "DeleteUser", &tokens, json!({})).await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (200, 0));
    let gone = error("UserNotFoundException", "User does not exist.");
    assert_eq!(own(&sandbox, "GetUser", &tokens, json!({})).await.error(), gone);
    assert_eq!(password_sign_in(&sandbox, "ann", PASSWORD).await.error().0, "NotAuthorizedException");
    let refresh = json!({ "ClientId": sandbox.client_id(), "RefreshToken": tokens["RefreshToken"] });
    assert_eq!(idp(&sandbox, "GetTokensFromRefreshToken", refresh).await.error().0, "NotAuthorizedException");

    sign_up(&sandbox, "ann", email("ann@example.com")).await;
    with_code(&sandbox, "ConfirmSignUp", "ann", &sent_code(&sandbox)).await;
    assert_eq!(own(&sandbox, "GetUser", &tokens, json!({})).await.error(), gone);
}

#[tokio::test]
async fn the_sub_of_a_name_is_the_same_in_every_sandbox() {
    let sub = async || {
        let sandbox = start().await;
        sign_up(&sandbox, "bob", json!([])).await.json()["UserSub"].take()
    };
    assert_eq!(sub().await, sub().await);
}

#[tokio::test]
async fn a_globally_signed_out_user_keeps_no_token() {
    let sandbox = start_with_users(vec![ann()]).await;
    let [first, second] =
        [tokens_of(&sandbox, "ann", PASSWORD).await, tokens_of(&sandbox, "ann", PASSWORD).await];
    own(&sandbox, "GlobalSignOut", &first, json!({})).await;
    for tokens in [&first, &second] {
        assert_eq!(
            own(&sandbox, "GetUser", tokens, json!({})).await.error(),
            error("NotAuthorizedException", "Access Token has been revoked")
        );
    }
}

#[tokio::test]
async fn only_refresh_tokens_of_the_client_itself_are_revoked() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = tokens_of(&sandbox, "ann", PASSWORD).await;
    let revoke = |client: &str, token: &Value| {
        idp(&sandbox, "RevokeToken", json!({ "ClientId": client, "Token": token }))
    };
    let access = revoke(sandbox.client_id(), &tokens["AccessToken"]).await;
    assert_eq!(access.error().0, "UnsupportedTokenTypeException");
    let foreign = revoke(countersign::sandbox::ROTATING_CLIENT_ID, &tokens["RefreshToken"]).await;
    assert_eq!(foreign.error().0, "UnauthorizedException");
    assert_eq!(own(&sandbox, "GetUser", &tokens, json!({})).await.status, 200);
    assert_eq!(revoke(sandbox.client_id(), &json!("unknown")).await.json(), json!({}));
}

#[tokio::test]
async fn where_the_name_is_the_address_the_sub_is_the_user_name() {
    let rules = PoolRules { usernames: Usernames::Email, ..PoolRules::default() };
    let sandbox = start_with_rules(rules).await;
    assert_eq!(
        sign_up(&sandbox, "bob", json!([])).await.error(),
        error("InvalidParameterException", "Username should be an email.")
    );
    let answer = sign_up(&sandbox, "bob@example.com", json!([])).await.json();
    assert_eq!(
        sign_up(&sandbox, "Bob@example.com", json!([])).await.error(),
        error("UsernameExistsException", "An account with the given email already exists.")
    );
    with_code(&sandbox, "ConfirmSignUp", "bob@example.com", &sent_code(&sandbox)).await;
    let tokens = tokens_of(&sandbox, "bob@example.com", PASSWORD).await;
    let user = own(&sandbox, "GetUser", &tokens, json!({})).await.json();
    assert_eq!(user["Username"], answer["UserSub"]);
    assert_eq!(attribute(&user, "email"), "bob@example.com");
}

#[tokio::test]
async fn a_user_name_fills_in_the_required_address() {
    for (usernames, attribute, name) in
        [(Usernames::Email, "email", "bob@example.com"), (Usernames::Phone, "phone_number", "+12025550123")]
    {
        let required_attributes = vec![attribute.to_owned()];
        let sandbox =
            start_with_rules(PoolRules { usernames, required_attributes, ..PoolRules::default() }).await;
        let answer = sign_up(&sandbox, name, json!([])).await.json();
        assert_eq!(answer["CodeDeliveryDetails"]["AttributeName"], attribute, "{answer}");
    }
}

#[tokio::test]
async fn a_verified_address_becomes_an_alias_of_one_user() {
    let rules = PoolRules { usernames: Usernames::ChosenWithAliases, ..PoolRules::default() };
    let sandbox = start_with_rules(rules).await;
    assert_eq!(sign_up(&sandbox, "bob@example.com", json!([])).await.error().0, "InvalidParameterException");
    for name in ["bob", "rob"] {
        sign_up(&sandbox, name, email("bob@example.com")).await;
    }
    let codes: Vec<String> = sandbox.messages().into_iter().map(|message| message.code).collect();
    assert_eq!(
        password_sign_in(&sandbox, "bob@example.com", PASSWORD).await.error().0,
        "NotAuthorizedException"
    );
    with_code(&sandbox, "ConfirmSignUp", "bob", &codes[0]).await;
    tokens_of(&sandbox, "bob@example.com", PASSWORD).await;
    assert_eq!(
        with_code(&sandbox, "ConfirmSignUp", "rob", &codes[1]).await.error(),
        error("AliasExistsException", "An account with the email already exists.")
    );
    let forced = json!({
        "ClientId": sandbox.client_id(), "Username": "rob", "ConfirmationCode": codes[1],
        "ForceAliasCreation": true,
    });
    assert_eq!(idp(&sandbox, "ConfirmSignUp", forced).await.status, 200);
    let tokens = tokens_of(&sandbox, "bob@example.com", PASSWORD).await;
    assert_eq!(own(&sandbox, "GetUser", &tokens, json!({})).await.json()["Username"], "rob");
}

#[tokio::test]
async fn a_user_without_a_password_signs_in_by_code_alone() {
    let sandbox = start().await;
    let request = json!({
        "ClientId": sandbox.client_id(), "Username": "bob", "UserAttributes": email("bob@example.com"),
    });
    assert_eq!(idp(&sandbox, "SignUp", request).await.status, 200);
    with_code(&sandbox, "ConfirmSignUp", "bob", &sent_code(&sandbox)).await;
    assert_eq!(password_sign_in(&sandbox, "bob", "").await.error().0, "NotAuthorizedException");
    let challenge = initiate(&sandbox, "USER_AUTH", json!({ "USERNAME": "bob" })).await.json();
    assert_eq!(challenge["AvailableChallenges"], json!(["EMAIL_OTP"]));
    let choice = json!({ "USERNAME": "bob", "ANSWER": "EMAIL_OTP" });
    let asked = sandbox_client::answer(&sandbox, &challenge, choice).await.json();
    let code = json!({ "USERNAME": "bob", "EMAIL_OTP_CODE": sent_code(&sandbox) });
    assert!(has_tokens(&sandbox_client::answer(&sandbox, &asked, code).await));
}

#[tokio::test]
async fn a_confirmed_sign_up_may_go_on_to_the_tokens_once() {
    let sandbox = start().await;
    sign_up(&sandbox, "bob", email("bob@example.com")).await;
    let confirmed = with_code(&sandbox, "ConfirmSignUp", "bob", &sent_code(&sandbox)).await.json();
    let go_on = |username: &str| {
        let request = json!({
            "AuthFlow": "USER_AUTH", "ClientId": sandbox.client_id(), "Session": confirmed["Session"],
            "AuthParameters": { "USERNAME": username },
        });
        idp(&sandbox, "InitiateAuth", request)
    };
    assert!(has_tokens(&go_on("bob").await));
    let invalid = error("NotAuthorizedException", "Invalid session for the user.");
    assert_eq!(go_on("bob").await.error(), invalid);
}

#[tokio::test]
async fn passkeys_are_refused_by_name() {
    let sandbox = start().await;
    let tokens = tokens_of(&sandbox, "demo", "Sandbox-password-1").await;
    assert_eq!(
        own(&sandbox, "StartWebAuthnRegistration", &tokens, json!({})).await.error(),
        error(
            "WebAuthnNotEnabledException",
            "The sandbox does not support StartWebAuthnRegistration: it keeps no passkeys."
        )
    );
    let listed = own(&sandbox, "ListWebAuthnCredentials", &tokens, json!({})).await.json();
    assert_eq!(listed, json!({ "Credentials": [] }));
}

#[tokio::test]
async fn custom_attributes_have_their_type_and_may_be_fixed() {
    let attribute = |name: &str, kind| CustomAttribute { kind, ..CustomAttribute::text(name) };
    let rules = PoolRules {
        custom_attributes: Some(vec![
            attribute("custom:level", AttributeKind::Number),
            attribute("custom:staff", AttributeKind::Boolean),
            attribute("custom:since", AttributeKind::DateTime),
            CustomAttribute { mutable: false, ..CustomAttribute::text("custom:tenant") },
        ]),
        ..PoolRules::default()
    };
    let sandbox = start_with_rules(rules).await;
    let with = |name: &str, value: &str| json!([{ "Name": name, "Value": value }]);
    for (name, wrong, right, kind) in [
        ("custom:level", "high", "-3", "number"),
        ("custom:staff", "yes", "true", "boolean"),
        ("custom:since", "2026-11-29", "2026-11-29T01:00:00Z", "datetime"),
    ] {
        let refused = sign_up(&sandbox, "bob", with(name, wrong)).await.error();
        assert_eq!(
            refused,
            error("InvalidParameterException", &format!("user.{name}: Invalid {kind} value\n"))
        );
        assert_eq!(sign_up(&sandbox, kind, with(name, right)).await.status, 200);
    }
    assert_eq!(sign_up(&sandbox, "bob", with("custom:tenant", "acme")).await.status, 200);
    let pool = sandbox.user_pool_id();
    for value in ["other", ""] {
        let attributes = with("custom:tenant", value);
        let update = json!({ "UserPoolId": pool, "Username": "bob", "UserAttributes": attributes });
        let message = "user.custom:tenant: Attribute cannot be updated.\n";
        let refused = idp(&sandbox, "AdminUpdateUserAttributes", update).await.error();
        assert_eq!(refused, error("InvalidParameterException", message));
    }
}

#[tokio::test]
async fn an_address_of_either_kind_is_the_user_name_where_the_pool_says_so() {
    let rules = PoolRules { usernames: Usernames::EmailOrPhone, ..PoolRules::default() };
    let sandbox = start_with_rules(rules).await;
    let refused = sign_up(&sandbox, "bob", json!([])).await.error();
    let message = "Username should be either an email or a phone number.";
    assert_eq!(refused, error("InvalidParameterException", message));
    for (name, attribute) in [("bob@example.com", "email"), ("+12025550123", "phone_number")] {
        let answer = sign_up(&sandbox, name, json!([])).await.json();
        assert_eq!(answer["CodeDeliveryDetails"]["AttributeName"], attribute);
        let again = sign_up(&sandbox, name, json!([])).await.error();
        let message = format!("An account with the given {attribute} already exists.");
        assert_eq!(again, error("UsernameExistsException", &message));
        let user = json!({ "UserPoolId": sandbox.user_pool_id(), "Username": name });
        assert_eq!(idp(&sandbox, "AdminGetUser", user).await.json()["Username"], answer["UserSub"]);
    }
}

#[tokio::test]
async fn codes_expire_and_attempts_run_out_as_the_pool_says() {
    let lifetime = std::time::Duration::from_secs(60);
    let rules = PoolRules { code_lifetime: Some(lifetime), max_attempts: 2, ..PoolRules::default() };
    let sandbox = start_with_rules(rules).await;
    let email = json!([{ "Name": "email", "Value": "bob@example.com" }]);
    assert_eq!(sign_up(&sandbox, "bob", email).await.status, 200);
    for expected in ["CodeMismatchException", "CodeMismatchException", "LimitExceededException"] {
        let confirm = json!({
            "ClientId": sandbox.client_id(), "Username": "bob", "ConfirmationCode": "wrong",
        });
        assert_eq!(idp(&sandbox, "ConfirmSignUp", confirm).await.error().0, expected);
    }
    let email = json!([{ "Name": "email", "Value": "eve@example.com" }]);
    assert_eq!(sign_up(&sandbox, "eve", email).await.status, 200);
    let code = sandbox.messages().pop().expect("a message").code;
    sandbox.set_clock_skew(61_000);
    let confirm = json!({ "ClientId": sandbox.client_id(), "Username": "eve", "ConfirmationCode": code });
    assert_eq!(idp(&sandbox, "ConfirmSignUp", confirm).await.error().0, "ExpiredCodeException");
}
