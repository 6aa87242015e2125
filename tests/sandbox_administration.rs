//! The administrator's operations of the sandbox's user pool.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::sandbox::{Group, PoolRules, Purpose, Sandbox, Settings, User};
use sandbox_client::{Answer, answer, error, has_tokens, idp, initiate, start, start_with, start_with_users};
use serde_json::{Value, json};

const PASSWORD: &str = "Secret-password-1";
const NEW_PASSWORD: &str = "Another-password-2";

fn ann() -> User {
    User { aliases: vec!["ann@example.com".to_owned()], ..User::new("ann", PASSWORD) }
}

/// An operation on a user of the pool.
async fn admin(sandbox: &Sandbox, operation: &str, username: &str, mut request: Value) -> Answer {
    request["UserPoolId"] = sandbox.user_pool_id().into();
    request["Username"] = username.into();
    idp(sandbox, operation, request).await
}

async fn sign_in(sandbox: &Sandbox, username: &str, password: &str) -> Answer {
    initiate(sandbox, "USER_PASSWORD_AUTH", json!({ "USERNAME": username, "PASSWORD": password })).await
}

async fn status(sandbox: &Sandbox, username: &str) -> Value {
    admin(sandbox, "AdminGetUser", username, json!({})).await.json()["UserStatus"].take()
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().expect("a token").split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn a_created_user_replaces_the_temporary_password_and_fills_in_what_is_required() {
    let rules = PoolRules { required_attributes: vec!["given_name".to_owned()], ..PoolRules::default() };
    let sandbox = start_with(Settings { rules, ..Settings::default() }).await;
    let request = json!({ "UserAttributes": [
        { "Name": "email", "Value": "bob@example.com" }, { "Name": "email_verified", "Value": "true" },
    ] });
    let created = admin(&sandbox, "AdminCreateUser", "bob", request).await.json();
    assert_eq!((&created["User"]["Username"], &created["User"]["Enabled"]), (&json!("bob"), &json!(true)));
    assert_eq!(created["User"]["UserStatus"], "FORCE_CHANGE_PASSWORD");
    let invitation = sandbox.messages().pop().expect("an invitation");
    assert_eq!(
        (invitation.purpose, invitation.address.as_str()),
        (Purpose::AdminCreateUser, "bob@example.com")
    );

    let challenge = sign_in(&sandbox, "bob", &invitation.code).await.json();
    assert_eq!(challenge["ChallengeName"], "NEW_PASSWORD_REQUIRED");
    let required = &challenge["ChallengeParameters"]["requiredAttributes"];
    assert_eq!(required, "[\"userAttributes.given_name\"]");
    let whole = json!({
        "USERNAME": "bob", "NEW_PASSWORD": NEW_PASSWORD, "userAttributes.given_name": "Bob",
        "userAttributes.email": "bob@example.com", "userAttributes.email_verified": "true",
    });
    assert!(has_tokens(&answer(&sandbox, &challenge, whole).await));
    let user = admin(&sandbox, "AdminGetUser", "bob", json!({})).await.json();
    assert_eq!(user["UserStatus"], "CONFIRMED");
    let attributes = user["UserAttributes"].as_array().expect("attributes");
    assert!(attributes.contains(&json!({ "Name": "email_verified", "Value": "true" })), "{user}");
}

#[tokio::test]
async fn an_invitation_is_suppressed_or_sent_again() {
    let sandbox = start().await;
    let create = |action: Value| {
        let request = json!({
            "MessageAction": action, "UserAttributes": [{ "Name": "email", "Value": "bob@example.com" }],
        });
        admin(&sandbox, "AdminCreateUser", "bob", request)
    };
    assert_eq!(create(json!("RESEND")).await.error().0, "UserNotFoundException");
    assert_eq!(create(json!("SUPPRESS")).await.status, 200);
    assert!(sandbox.messages().is_empty());
    assert_eq!(
        create(Value::Null).await.error(),
        error("UsernameExistsException", "User account already exists")
    );
    assert_eq!(create(json!("RESEND")).await.status, 200);
    let password = sandbox.messages().pop().expect("an invitation").code;
    assert_eq!(sign_in(&sandbox, "bob", &password).await.json()["ChallengeName"], "NEW_PASSWORD_REQUIRED");
    admin(&sandbox, "AdminSetUserPassword", "bob", json!({ "Password": PASSWORD, "Permanent": true })).await;
    assert_eq!(create(json!("RESEND")).await.error().0, "UnsupportedUserStateException");
}

#[tokio::test]
async fn a_password_is_set_for_good_or_until_the_next_sign_in() {
    let sandbox = start_with_users(vec![ann()]).await;
    let set = |password: &str, permanent: bool| {
        let request = json!({ "Password": password, "Permanent": permanent });
        admin(&sandbox, "AdminSetUserPassword", "ann", request)
    };
    assert_eq!(set("weak", true).await.error().0, "InvalidPasswordException");
    assert_eq!(set(NEW_PASSWORD, true).await.json(), json!({}));
    assert!(has_tokens(&sign_in(&sandbox, "ann", NEW_PASSWORD).await));
    assert_eq!(set(PASSWORD, false).await.json(), json!({}));
    assert_eq!(status(&sandbox, "ann").await, "FORCE_CHANGE_PASSWORD");
    assert_eq!(sign_in(&sandbox, "ann", PASSWORD).await.json()["ChallengeName"], "NEW_PASSWORD_REQUIRED");
}

#[tokio::test]
async fn a_sign_up_is_confirmed_without_a_code_once() {
    let sandbox = start().await;
    let request = json!({ "ClientId": sandbox.client_id(), "Username": "bob", "Password": PASSWORD });
    let signed_up = idp(&sandbox, "SignUp", request).await.json();
    assert_eq!(signed_up["CodeDeliveryDetails"], Value::Null);
    assert_eq!(admin(&sandbox, "AdminConfirmSignUp", "bob", json!({})).await.json(), json!({}));
    assert!(has_tokens(&sign_in(&sandbox, "bob", PASSWORD).await));
    assert_eq!(
        admin(&sandbox, "AdminConfirmSignUp", "bob", json!({})).await.error(),
        error("NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED")
    );
}

#[tokio::test]
async fn a_disabled_user_is_out_until_enabled_and_gets_no_old_token_back() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = sign_in(&sandbox, "ann", PASSWORD).await.json()["AuthenticationResult"].take();
    let own = || idp(&sandbox, "GetUser", json!({ "AccessToken": tokens["AccessToken"] }));
    assert_eq!(admin(&sandbox, "AdminDisableUser", "ann", json!({})).await.json(), json!({}));
    let disabled = error("NotAuthorizedException", "User is disabled.");
    assert_eq!(own().await.error(), disabled);
    assert_eq!(sign_in(&sandbox, "ann", PASSWORD).await.error(), disabled);
    let user = admin(&sandbox, "AdminGetUser", "ann", json!({})).await.json();
    assert_eq!((&user["Enabled"], &user["UserStatus"]), (&json!(false), &json!("CONFIRMED")));

    admin(&sandbox, "AdminEnableUser", "ann", json!({})).await;
    assert!(has_tokens(&sign_in(&sandbox, "ann", PASSWORD).await));
    assert_eq!(own().await.error(), error("NotAuthorizedException", "Access Token has been revoked"));
}

#[tokio::test]
async fn an_administrator_signs_a_user_out_everywhere() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = sign_in(&sandbox, "ann", PASSWORD).await.json()["AuthenticationResult"].take();
    assert_eq!(admin(&sandbox, "AdminUserGlobalSignOut", "ann", json!({})).await.json(), json!({}));
    let refresh = json!({ "ClientId": sandbox.client_id(), "RefreshToken": tokens["RefreshToken"] });
    assert_eq!(
        idp(&sandbox, "GetTokensFromRefreshToken", refresh).await.error(),
        error("NotAuthorizedException", "Refresh Token has been revoked")
    );
}

#[tokio::test]
async fn a_reset_by_an_administrator_demands_a_new_password() {
    let sandbox = start_with_users(vec![ann()]).await;
    assert_eq!(admin(&sandbox, "AdminResetUserPassword", "ann", json!({})).await.json(), json!({}));
    assert_eq!(status(&sandbox, "ann").await, "RESET_REQUIRED");
    assert_eq!(sign_in(&sandbox, "ann", PASSWORD).await.error().0, "PasswordResetRequiredException");
    let code = sandbox.messages().pop().expect("a message").code;
    let confirm = json!({
        "ClientId": sandbox.client_id(), "Username": "ann", "ConfirmationCode": code, "Password": NEW_PASSWORD,
    });
    assert_eq!(idp(&sandbox, "ConfirmForgotPassword", confirm).await.status, 200);
    assert!(has_tokens(&sign_in(&sandbox, "ann", NEW_PASSWORD).await));
}

#[tokio::test]
async fn a_deleted_user_does_not_exist() {
    let sandbox = start_with_users(vec![ann(), User::new("bob", PASSWORD)]).await;
    let deleted = admin(&sandbox, "AdminDeleteUser", "ann@example.com", json!({})).await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (200, 0));
    assert_eq!(
        admin(&sandbox, "AdminGetUser", "ann", json!({})).await.error(),
        error("UserNotFoundException", "User does not exist.")
    );
}

#[tokio::test]
async fn another_pool_is_not_found() {
    let sandbox = start().await;
    let request = json!({ "UserPoolId": "eu-west-1_Other", "Username": "demo" });
    assert_eq!(
        idp(&sandbox, "AdminGetUser", request).await.error(),
        error("ResourceNotFoundException", "User pool eu-west-1_Other does not exist.")
    );
}

#[tokio::test]
async fn an_administrator_signs_in_with_a_password_that_the_client_may_not_send() {
    let sandbox = start_with_users(vec![ann()]).await;
    let request = json!({
        "UserPoolId": sandbox.user_pool_id(), "ClientId": sandbox.client_id(),
        "AuthFlow": "ADMIN_USER_PASSWORD_AUTH",
        "AuthParameters": { "USERNAME": "ann", "PASSWORD": PASSWORD },
    });
    assert!(has_tokens(&idp(&sandbox, "AdminInitiateAuth", request).await));
}

#[tokio::test]
async fn groups_are_in_both_tokens_and_bring_their_roles() {
    let group = |name: &str, precedence| Group {
        name: name.to_owned(),
        role: Some(format!("arn:aws:iam::123456789012:role/{name}")),
        precedence: Some(precedence),
    };
    let settings = Settings {
        users: vec![User { groups: vec!["readers".to_owned(), "plain".to_owned()], ..ann() }],
        rules: PoolRules { groups: vec![group("readers", 2), group("writers", 1)], ..PoolRules::default() },
        ..Settings::default()
    };
    let sandbox = start_with(settings).await;
    let join = |name: &str| admin(&sandbox, "AdminAddUserToGroup", "ann", json!({ "GroupName": name }));
    assert_eq!(join("absent").await.error(), error("ResourceNotFoundException", "Group not found."));
    let create = || {
        let request = json!({ "UserPoolId": sandbox.user_pool_id(), "GroupName": "new", "Precedence": 9 });
        idp(&sandbox, "CreateGroup", request)
    };
    assert_eq!(create().await.json()["Group"]["Precedence"], 9);
    assert_eq!(create().await.error().0, "GroupExistsException");
    assert_eq!(join("new").await.status, 200);
    assert_eq!(join("writers").await.status, 200);
    let tokens = sign_in(&sandbox, "ann", PASSWORD).await.json()["AuthenticationResult"].take();
    let (id, access) = (claims(&tokens["IdToken"]), claims(&tokens["AccessToken"]));
    let groups = json!(["readers", "plain", "new", "writers"]);
    assert_eq!((&id["cognito:groups"], &access["cognito:groups"]), (&groups, &groups));
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    assert_eq!(id["cognito:roles"], json!([role("writers"), role("readers")]));
    assert_eq!(id["cognito:preferred_role"], role("writers"));

    admin(&sandbox, "AdminRemoveUserFromGroup", "ann", json!({ "GroupName": "plain" })).await;
    let listed = admin(&sandbox, "AdminListGroupsForUser", "ann", json!({})).await.json();
    let names: Vec<&Value> =
        listed["Groups"].as_array().expect("groups").iter().map(|group| &group["GroupName"]).collect();
    assert_eq!(names, ["readers", "new", "writers"]);
}

#[tokio::test]
async fn users_are_listed_by_filter_and_by_page() {
    let users = ["ann", "anna", "bob"]
        .map(|name| User { aliases: vec![format!("{name}@example.com")], ..User::new(name, PASSWORD) });
    let sandbox = start_with_users(users.to_vec()).await;
    let list = |mut request: Value| {
        request["UserPoolId"] = sandbox.user_pool_id().into();
        idp(&sandbox, "ListUsers", request)
    };
    let names = |answer: &Value| -> Vec<String> {
        let users = answer["Users"].as_array().unwrap_or_else(|| panic!("{answer}"));
        users.iter().map(|user| user["Username"].as_str().expect("a name").to_owned()).collect()
    };
    let prefix = list(json!({ "Filter": "username ^= \"ann\"" })).await.json();
    assert_eq!(names(&prefix), ["ann", "anna"]);
    let one =
        list(json!({ "Filter": "email = \"Bob@example.com\"", "AttributesToGet": ["email"] })).await.json();
    assert_eq!(one["Users"][0]["Attributes"], json!([{ "Name": "email", "Value": "bob@example.com" }]));
    let first = list(json!({ "Limit": 2 })).await.json();
    assert_eq!(names(&first), ["ann", "anna"]);
    let rest = list(json!({ "Limit": 2, "PaginationToken": first["PaginationToken"] })).await.json();
    assert_eq!((names(&rest), &rest["PaginationToken"]), (vec!["bob".to_owned()], &Value::Null));
    for request in [json!({ "Filter": "custom:plan = \"x\"" }), json!({ "Limit": 61 })] {
        assert_eq!(list(request).await.error().0, "InvalidParameterException");
    }
}
