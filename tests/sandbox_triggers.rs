//! The triggers of the sandbox's user pool: hooks that get Lambda's events.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use axum::{
    Router,
    body::{Body, Bytes},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::sandbox::{
    PoolRules, Sandbox, Settings, TokenEventVersion, Trigger, TriggerHooks, User, UserState, Usernames,
};
use sandbox_client::{
    Answer, Srp, answer, error, has_tokens, identity, idp, initiate, json_request, respond, srp_sign_in,
    start_with,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    task::JoinSet,
};

const PASSWORD: &str = "Secret-password-1";

/// A server that gets events.
struct Hook {
    url: String,
    events: Arc<Mutex<Vec<Value>>>,
    _serving: JoinSet<()>,
}

impl Hook {
    /// Answers each event by what `script` makes of it.
    async fn start<F, A>(script: F) -> Self
    where
        F: Fn(Value) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send,
    {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = events.clone();
        let router = Router::new().fallback(move |body: Bytes| {
            let event: Value = serde_json::from_slice(&body).expect("an event");
            seen.lock().expect("no panic").push(event.clone());
            let script = script.clone();
            async move { script(event).await }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, events, _serving: serving }
    }

    /// Returns each event with the response that `respond` makes of it.
    async fn responding(respond: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static) -> Self {
        Self::start(move |mut event| {
            event["response"] = respond(&event);
            async move { json_answer(200, &event) }
        })
        .await
    }

    fn events(&self) -> Vec<Value> {
        self.events.lock().expect("no panic").clone()
    }

    fn sources(&self) -> Vec<String> {
        let text = |event: &Value| event["triggerSource"].as_str().expect("text").to_owned();
        self.events().iter().map(text).collect()
    }

    fn hooks(&self, triggers: &[Trigger]) -> TriggerHooks {
        hooks_at(&self.url, triggers)
    }

    async fn sandbox(&self, triggers: &[Trigger]) -> Sandbox {
        start_with_hooks(self.hooks(triggers)).await
    }
}

fn hooks_at(url: &str, triggers: &[Trigger]) -> TriggerHooks {
    let url: http::Uri = url.parse().expect("a URL");
    let urls: BTreeMap<Trigger, http::Uri> = triggers.iter().map(|trigger| (*trigger, url.clone())).collect();
    TriggerHooks { urls, ..TriggerHooks::default() }
}

async fn start_with_hooks(triggers: TriggerHooks) -> Sandbox {
    let users = vec![User { groups: vec!["staff".to_owned()], ..User::new("ann", PASSWORD) }];
    start_with(Settings { users, triggers, ..Settings::default() }).await
}

fn json_answer(status: u16, body: &Value) -> Response {
    plain_answer(status, body.to_string())
}

fn plain_answer(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).expect("an answer")
}

async fn sign_up(sandbox: &Sandbox) -> Answer {
    let request = json!({
        "ClientId": sandbox.client_id(), "Username": "bob", "Password": PASSWORD,
        "UserAttributes": [{ "Name": "email", "Value": "bob@example.com" }],
        "ValidationData": [{ "Name": "invitation", "Value": "42" }],
        "ClientMetadata": { "page": "welcome" },
    });
    idp(sandbox, "SignUp", request).await
}

async fn by_password(sandbox: &Sandbox) -> Answer {
    initiate(sandbox, "USER_PASSWORD_AUTH", json!({ "USERNAME": "ann", "PASSWORD": PASSWORD })).await
}

fn claims(tokens: &Value, token: &str) -> Value {
    let token = tokens[token].as_str().unwrap_or_else(|| panic!("{tokens}"));
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    serde_json::from_slice(&claims).expect("JSON")
}

fn tokens_of(answer: &Answer) -> Value {
    let body = answer.json();
    assert!(body["AuthenticationResult"].is_object(), "{body}");
    body["AuthenticationResult"].clone()
}

#[tokio::test]
async fn a_sign_up_is_confirmed_as_the_hook_says() {
    let hook = Hook::responding(|_| json!({ "autoConfirmUser": true, "autoVerifyEmail": true })).await;
    let sandbox = hook.sandbox(&[Trigger::PreSignUp, Trigger::PostConfirmation]).await;
    let answer = sign_up(&sandbox).await.json();
    assert_eq!(answer["UserConfirmed"], true);
    assert!(answer["CodeDeliveryDetails"].is_null() && sandbox.messages().is_empty());
    let [before, after] = &hook.events()[..] else { panic!("{:?}", hook.sources()) };
    let expected = json!({
        "version": "1",
        "triggerSource": "PreSignUp_SignUp",
        "region": sandbox.region(),
        "userPoolId": sandbox.user_pool_id(),
        "userName": "bob",
        "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": sandbox.client_id() },
        "request": {
            "userAttributes": { "email": "bob@example.com" },
            "validationData": { "invitation": "42" },
            "clientMetadata": { "page": "welcome" },
        },
        "response": { "autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false },
    });
    assert_eq!(*before, expected);
    assert_eq!(after["triggerSource"], "PostConfirmation_ConfirmSignUp");
    assert_eq!(
        after["request"]["userAttributes"],
        json!({
            "sub": answer["UserSub"], "email": "bob@example.com", "email_verified": "true",
            "cognito:user_status": "CONFIRMED",
        })
    );
    let sign_in = json!({ "USERNAME": "bob", "PASSWORD": PASSWORD });
    assert!(has_tokens(&initiate(&sandbox, "USER_PASSWORD_AUTH", sign_in).await));
}

#[tokio::test]
async fn a_hook_that_returns_its_event_changes_nothing() {
    let hook = Hook::start(async |event| json_answer(200, &event)).await;
    let sandbox = hook.sandbox(&[Trigger::PreSignUp, Trigger::PreTokenGeneration]).await;
    assert_eq!(sign_up(&sandbox).await.json()["UserConfirmed"], false);
    assert_eq!(sandbox.messages().len(), 1);
    let id = claims(&tokens_of(&by_password(&sandbox).await), "IdToken");
    assert_eq!(id["cognito:groups"], json!(["staff"]));
}

#[tokio::test]
async fn a_hook_refuses_a_sign_up_in_its_own_words() {
    let hook =
        Hook::start(async |_| json_answer(500, &json!({ "errorMessage": "only by invitation" }))).await;
    let sandbox = hook.sandbox(&[Trigger::PreSignUp]).await;
    let message = "PreSignUp failed with error only by invitation.";
    assert_eq!(sign_up(&sandbox).await.error(), error("UserLambdaValidationException", message));
    let create = json!({ "UserPoolId": sandbox.user_pool_id(), "Username": "bob" });
    assert_eq!(idp(&sandbox, "AdminCreateUser", create).await.error().0, "UserLambdaValidationException");
    assert_eq!(hook.sources(), ["PreSignUp_SignUp", "PreSignUp_AdminCreateUser"]);
    let bob = json!({ "UserPoolId": sandbox.user_pool_id(), "Username": "bob" });
    assert_eq!(idp(&sandbox, "AdminGetUser", bob).await.error().0, "UserNotFoundException");
}

#[tokio::test]
async fn the_event_has_the_internal_name_where_users_sign_up_by_address() {
    let hook = Hook::start(async |event| json_answer(200, &event)).await;
    let rules = PoolRules { usernames: Usernames::Email, ..PoolRules::default() };
    let triggers = hook.hooks(&[Trigger::PreSignUp]);
    let sandbox = start_with(Settings { rules, triggers, ..Settings::default() }).await;
    let request = json!({
        "ClientId": sandbox.client_id(), "Username": "bob@example.com", "Password": PASSWORD,
    });
    let answer = idp(&sandbox, "SignUp", request).await.json();
    assert_eq!(hook.events()[0]["userName"], answer["UserSub"]);
    assert_eq!(hook.events()[0]["request"]["userAttributes"], json!({ "email": "bob@example.com" }));
}

#[tokio::test]
async fn an_address_that_is_not_there_cannot_be_verified() {
    let hook = Hook::responding(|_| json!({ "autoConfirmUser": true, "autoVerifyPhone": true })).await;
    let sandbox = hook.sandbox(&[Trigger::PreSignUp]).await;
    assert_eq!(sign_up(&sandbox).await.error().0, "InvalidLambdaResponseException");
}

#[tokio::test]
async fn confirmations_reach_the_hook_after_the_fact() {
    let hook = Hook::start(async |_| json_answer(500, &json!({ "errorMessage": "no" }))).await;
    let sandbox = hook.sandbox(&[Trigger::PostConfirmation]).await;
    sign_up(&sandbox).await;
    let code = sandbox.messages().pop().expect("a message").code;
    let confirm = json!({
        "ClientId": sandbox.client_id(), "Username": "bob", "ConfirmationCode": code,
        "ClientMetadata": { "page": "code" },
    });
    let message = "PostConfirmation failed with error no.";
    let answer = idp(&sandbox, "ConfirmSignUp", confirm).await;
    assert_eq!(answer.error(), error("UserLambdaValidationException", message));
    assert_eq!(hook.events()[0]["request"]["clientMetadata"], json!({ "page": "code" }));
    let sign_in = json!({ "USERNAME": "bob", "PASSWORD": PASSWORD });
    assert!(has_tokens(&initiate(&sandbox, "USER_PASSWORD_AUTH", sign_in).await), "bob is confirmed");
}

#[tokio::test]
async fn the_hook_changes_the_claims_of_each_id_token() {
    let hook = Hook::responding(|event| {
        let source = event["triggerSource"].clone();
        let groups = json!({ "groupsToOverride": ["admins"], "preferredRole": "arn:aws:iam::1:role/admin" });
        json!({ "claimsOverrideDetails": {
            "claimsToAddOrOverride": { "source": source, "sub": "forged", "cognito:username": "bob" },
            "claimsToSuppress": ["cognito:username"],
            "groupOverrideDetails": groups,
        } })
    })
    .await;
    let sandbox = hook.sandbox(&[Trigger::PreTokenGeneration]).await;
    let tokens = tokens_of(&by_password(&sandbox).await);
    let (id, access) = (claims(&tokens, "IdToken"), claims(&tokens, "AccessToken"));
    assert_eq!(id["source"], "TokenGeneration_Authentication");
    assert_eq!(id["cognito:preferred_role"], "arn:aws:iam::1:role/admin");
    assert!(id["cognito:username"] == "ann" && access["source"].is_null());
    assert_eq!([&id["cognito:groups"], &access["cognito:groups"]], [&json!(["admins"]); 2]);
    assert_eq!(id["sub"], access["sub"]);
    let event = &hook.events()[0];
    assert_eq!(
        event["request"]["groupConfiguration"],
        json!({ "groupsToOverride": ["staff"], "iamRolesToOverride": [], "preferredRole": null })
    );

    let refresh = json!({
        "ClientId": sandbox.client_id(), "RefreshToken": tokens["RefreshToken"],
        "ClientMetadata": { "tenant": "acme" },
    });
    let refreshed = tokens_of(&idp(&sandbox, "GetTokensFromRefreshToken", refresh).await);
    assert_eq!(claims(&refreshed, "IdToken")["source"], "TokenGeneration_RefreshTokens");
    assert_eq!(hook.events()[1]["request"]["clientMetadata"], json!({ "tenant": "acme" }));

    let logins = json!({ sandbox_client::provider(&sandbox): refreshed["IdToken"] });
    let id = identity(
        &sandbox,
        "GetId",
        json!({ "IdentityPoolId": sandbox.identity_pool_id(), "Logins": logins }),
    );
    assert_eq!(id.await.status, 200, "the token is signed with the changed claims");
}

#[tokio::test]
async fn the_second_version_changes_the_access_token_as_well() {
    let hook = Hook::responding(|_| {
        json!({ "claimsAndScopeOverrideDetails": { "accessTokenGeneration": {
            "claimsToAddOrOverride": { "limits": { "rate": 5 } },
            "scopesToAdd": ["api/read"],
        } } })
    })
    .await;
    let hooks =
        TriggerHooks { token_event: TokenEventVersion::V2, ..hook.hooks(&[Trigger::PreTokenGeneration]) };
    let sandbox = start_with_hooks(hooks).await;
    let tokens = tokens_of(&by_password(&sandbox).await);
    let access = claims(&tokens, "AccessToken");
    assert_eq!(access["limits"], json!({ "rate": 5 }));
    assert_eq!(access["scope"], "aws.cognito.signin.user.admin api/read");
    let event = &hook.events()[0];
    assert_eq!(event["version"], "2");
    assert_eq!(event["request"]["scopes"], json!(["aws.cognito.signin.user.admin"]));
}

#[tokio::test]
async fn a_refresh_that_the_hook_spoils_can_be_repeated() {
    let hook = Hook::start(async |event| {
        let refused = event["triggerSource"] == "TokenGeneration_RefreshTokens"
            && event["request"]["clientMetadata"].is_null();
        json_answer(if refused { 500 } else { 200 }, &event)
    })
    .await;
    let sandbox = hook.sandbox(&[Trigger::PreTokenGeneration]).await;
    let client = countersign::sandbox::ROTATING_CLIENT_ID;
    let tokens = tokens_of(&srp_sign_in(&sandbox, client, "ann", PASSWORD).await);
    let refresh = |metadata: Value| {
        let token = &tokens["RefreshToken"];
        let request = json!({ "ClientId": client, "RefreshToken": token, "ClientMetadata": metadata });
        idp(&sandbox, "GetTokensFromRefreshToken", request)
    };
    assert_eq!(refresh(Value::Null).await.error().0, "UserLambdaValidationException");
    tokens_of(&refresh(json!({ "again": "true" })).await);
    assert_eq!(refresh(json!({ "again": "true" })).await.error().0, "RefreshTokenReuseException");
}

#[tokio::test]
async fn sign_ins_reach_the_hooks_before_and_after() {
    let hook = Hook::start(async |event| json_answer(200, &event)).await;
    let sandbox = hook.sandbox(&[Trigger::PreAuthentication, Trigger::PostAuthentication]).await;
    let wrong = json!({
        "AuthFlow": "USER_PASSWORD_AUTH", "ClientId": sandbox.client_id(),
        "AuthParameters": { "USERNAME": "ann", "PASSWORD": "Wrong-password-1" },
        "ClientMetadata": { "from": "page" },
    });
    idp(&sandbox, "InitiateAuth", wrong).await.error();
    let unknown = json!({ "USERNAME": "nobody", "PASSWORD": "Wrong-password-1" });
    initiate(&sandbox, "USER_PASSWORD_AUTH", unknown).await.error();
    by_password(&sandbox).await;
    assert_eq!(
        hook.sources(),
        [
            "PreAuthentication_Authentication",
            "PreAuthentication_Authentication",
            "PreAuthentication_Authentication",
            "PostAuthentication_Authentication"
        ]
    );
    let events = hook.events();
    assert_eq!(events[0]["request"]["validationData"], json!({ "from": "page" }));
    let unknown = json!({ "userAttributes": {}, "validationData": null, "userNotFound": true });
    assert_eq!(events[1]["request"], unknown);
    assert_eq!(events[3]["request"]["newDeviceUsed"], false);
}

/// Asks for the colour until it is right.
fn colour(event: &Value) -> Value {
    let session = event["request"]["session"].as_array().cloned().unwrap_or_default();
    match event["triggerSource"].as_str() {
        Some("DefineAuthChallenge_Authentication") => match session.last() {
            Some(last) if last["challengeName"] == "SRP_A" => json!({ "challengeName": "PASSWORD_VERIFIER" }),
            Some(last) if last["challengeName"] == "CUSTOM_CHALLENGE" && last["challengeResult"] == true => {
                json!({ "issueTokens": true })
            }
            _ if session.len() > 3 => json!({ "failAuthentication": true }),
            _ => json!({ "challengeName": "CUSTOM_CHALLENGE" }),
        },
        Some("CreateAuthChallenge_Authentication") => json!({
            "publicChallengeParameters": { "question": "colour?" },
            "privateChallengeParameters": { "answer": "blue" },
            "challengeMetadata": "COLOUR",
        }),
        _ => {
            let request = &event["request"];
            let right = request["challengeAnswer"] == request["privateChallengeParameters"]["answer"];
            json!({ "answerCorrect": right })
        }
    }
}

const CUSTOM: [Trigger; 3] =
    [Trigger::DefineAuthChallenge, Trigger::CreateAuthChallenge, Trigger::VerifyAuthChallengeResponse];

#[tokio::test]
async fn hooks_define_create_and_verify_custom_challenges() {
    let hook = Hook::responding(colour).await;
    let sandbox = hook.sandbox(&CUSTOM).await;
    let first = initiate(&sandbox, "CUSTOM_AUTH", json!({ "USERNAME": "ann" })).await.json();
    assert_eq!(first["ChallengeName"], "CUSTOM_CHALLENGE");
    assert_eq!(first["ChallengeParameters"], json!({ "USERNAME": "ann", "question": "colour?" }));
    let reply = |answer: &str| json!({ "USERNAME": "ann", "ANSWER": answer });
    let second = answer(&sandbox, &first, reply("red")).await.json();
    let request = json!({
        "ClientId": sandbox.client_id(), "ChallengeName": "CUSTOM_CHALLENGE", "Session": second["Session"],
        "ChallengeResponses": reply("blue"), "ClientMetadata": { "attempt": "2" },
    });
    assert!(has_tokens(&idp(&sandbox, "RespondToAuthChallenge", request).await));
    let last = hook.events().pop().expect("events");
    let answered = |right: bool| json!({ "challengeName": "CUSTOM_CHALLENGE", "challengeResult": right, "challengeMetadata": "COLOUR" });
    assert_eq!(last["request"]["session"], json!([answered(false), answered(true)]));
    assert_eq!(last["request"]["clientMetadata"], json!({ "attempt": "2" }));
    assert_eq!(last["request"]["userNotFound"], false);
    let stale = answer(&sandbox, &first, reply("blue")).await;
    assert_eq!(stale.error(), error("NotAuthorizedException", "Invalid session for the user."));
}

#[tokio::test]
async fn the_hook_ends_a_custom_sign_in_and_never_gets_an_unknown_user_in() {
    let hook = Hook::responding(colour).await;
    let sandbox = hook.sandbox(&CUSTOM).await;
    for (name, answers) in [("ann", &["red"; 4][..]), ("nobody", &["blue"])] {
        let mut challenge = initiate(&sandbox, "CUSTOM_AUTH", json!({ "USERNAME": name })).await;
        for given in answers {
            let reply = json!({ "USERNAME": name, "ANSWER": given });
            challenge = answer(&sandbox, &challenge.json(), reply).await;
        }
        let message = "Incorrect username or password.";
        assert_eq!(challenge.error(), error("NotAuthorizedException", message), "{name}");
    }
}

#[tokio::test]
async fn a_custom_sign_in_asks_for_the_password_where_the_hook_says_so() {
    let hook = Hook::responding(colour).await;
    let sandbox = hook.sandbox(&CUSTOM).await;
    let srp = Srp::for_pool(&sandbox);
    let parameters = json!({ "USERNAME": "ann", "SRP_A": srp.srp_a(), "CHALLENGE_NAME": "SRP_A" });
    let challenge = initiate(&sandbox, "CUSTOM_AUTH", parameters).await.json();
    assert_eq!(challenge["ChallengeName"], "PASSWORD_VERIFIER");
    let responses = srp.responses(&challenge, PASSWORD);
    let question = answer(&sandbox, &challenge, responses).await.json();
    assert_eq!(question["ChallengeParameters"]["question"], "colour?");
    assert_eq!(
        hook.events()[1]["request"]["session"],
        json!([
            { "challengeName": "SRP_A", "challengeResult": true, "challengeMetadata": null },
            { "challengeName": "PASSWORD_VERIFIER", "challengeResult": true, "challengeMetadata": null },
        ])
    );
    let reply = json!({ "USERNAME": "ann", "ANSWER": "blue" });
    assert!(has_tokens(&answer(&sandbox, &question, reply).await));
}

#[tokio::test]
async fn a_challenge_that_the_pool_does_not_know_is_no_output_of_a_hook() {
    let hook = Hook::responding(|_| json!({ "challengeName": "RIDDLE" })).await;
    let sandbox = hook.sandbox(&CUSTOM).await;
    let answer = initiate(&sandbox, "CUSTOM_AUTH", json!({ "USERNAME": "ann" })).await;
    let message = "Unrecognizable lambda output";
    assert_eq!(answer.error(), error("InvalidLambdaResponseException", message));
}

#[tokio::test]
async fn each_fault_of_a_hook_has_cognitos_error() {
    let unexpected = |cause: &str| {
        let message = format!("PreSignUp invocation failed due to error {cause}.");
        ("UnexpectedLambdaException".to_owned(), message)
    };
    let unrecognizable = error("InvalidLambdaResponseException", "Unrecognizable lambda output");
    let faults = [
        ("redirect", unexpected("HTTP 307 Temporary Redirect")),
        ("huge", unexpected("output too large")),
        ("text", unrecognizable.clone()),
        ("list", unrecognizable.clone()),
        ("wrong-type", unrecognizable),
        (
            "page",
            error(
                "UserLambdaValidationException",
                "PreSignUp failed with error HTTP 503 Service Unavailable.",
            ),
        ),
    ];
    for (fault, expected) in faults {
        let hook = Hook::start(move |mut event| async move {
            match fault {
                "redirect" => Response::builder()
                    .status(307)
                    .header("location", "http://127.0.0.1:1/")
                    .body(Body::empty())
                    .expect("an answer"),
                "huge" => plain_answer(200, vec![b' '; 7_000_000]),
                "text" => plain_answer(200, "fine"),
                "list" => json_answer(200, &json!([event])),
                "page" => plain_answer(503, "<html>busy</html>"),
                _ => {
                    event["response"] = json!({ "autoConfirmUser": "yes" });
                    json_answer(200, &event)
                }
            }
        })
        .await;
        let sandbox = hook.sandbox(&[Trigger::PreSignUp]).await;
        assert_eq!(sign_up(&sandbox).await.error(), expected, "{fault}");
    }
}

#[tokio::test]
async fn a_hook_that_is_down_is_an_error_with_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let sandbox = start_with_hooks(hooks_at(&url, &[Trigger::PreSignUp])).await;
    let (code, message) = sign_up(&sandbox).await.error();
    assert_eq!(code, "UnexpectedLambdaException");
    assert!(message.contains("Connection refused"), "{message}");
}

#[tokio::test]
async fn each_event_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut answered = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut event = Vec::new();
            while !event.ends_with(b"}") {
                stream.read_buf(&mut event).await.expect("an event");
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"response\":{}}";
            stream.write_all(answer).await.expect("written");
            // Open, but nothing more is read from it.
            answered.push(stream);
        }
    });
    let triggers = [Trigger::PreAuthentication, Trigger::PostAuthentication, Trigger::PreTokenGeneration];
    let sandbox = start_with_hooks(hooks_at(&url, &triggers)).await;
    assert!(has_tokens(&by_password(&sandbox).await));
}

#[tokio::test]
async fn an_answer_may_be_given_again_after_a_hook_could_not_be_reached() {
    let broken = Arc::new(OnceLock::new());
    let once = broken.clone();
    let hook = Hook::start(move |mut event| {
        let is_first_verification =
            event["triggerSource"] == "VerifyAuthChallengeResponse_Authentication" && once.set(()).is_ok();
        event["response"] = colour(&event);
        async move { if is_first_verification { plain_answer(307, "") } else { json_answer(200, &event) } }
    })
    .await;
    let sandbox = hook.sandbox(&CUSTOM).await;
    let challenge = initiate(&sandbox, "CUSTOM_AUTH", json!({ "USERNAME": "ann" })).await.json();
    let reply = json!({ "USERNAME": "ann", "ANSWER": "blue" });
    let failed = answer(&sandbox, &challenge, reply.clone()).await;
    assert_eq!(failed.error().0, "UnexpectedLambdaException");
    assert!(has_tokens(&answer(&sandbox, &challenge, reply).await));
}

#[tokio::test]
async fn a_hook_gets_five_seconds() {
    let called = Arc::new(Notify::new());
    let reached = called.clone();
    let hook = Hook::start(move |_| {
        reached.notify_one();
        std::future::pending()
    })
    .await;
    let sandbox = hook.sandbox(&[Trigger::PreSignUp]).await;
    let until_called = async {
        called.notified().await;
        tokio::time::pause();
    };
    let (answer, ()) = tokio::join!(sign_up(&sandbox), until_called);
    let message = "PreSignUp failed with error Socket timeout while invoking Lambda function.";
    assert_eq!(answer.error(), error("UnexpectedLambdaException", message));
}

#[tokio::test]
async fn a_hook_may_call_the_sandbox_which_sees_what_it_has_changed() {
    let endpoint: Arc<OnceLock<(String, String)>> = Arc::default();
    let target = endpoint.clone();
    let hook = Hook::start(move |event| {
        let target = target.clone();
        async move {
            let (endpoint, pool) = target.get().expect("it has started");
            let update = json!({
                "UserPoolId": pool, "Username": event["userName"],
                "UserAttributes": [{ "Name": "custom:seen", "Value": event["triggerSource"] }],
            });
            let operation = "AWSCognitoIdentityProviderService.AdminUpdateUserAttributes";
            let updated = sandbox_client::exchange(json_request(endpoint, operation, &update)).await;
            assert_eq!(updated.status, 200);
            json_answer(200, &event)
        }
    })
    .await;
    let sandbox = hook.sandbox(&[Trigger::PostAuthentication]).await;
    endpoint.set((sandbox.user_pool_endpoint(), sandbox.user_pool_id())).expect("once");
    let id = claims(&tokens_of(&by_password(&sandbox).await), "IdToken");
    assert_eq!(id["custom:seen"], "PostAuthentication_Authentication");
}

#[tokio::test]
async fn a_user_who_is_disabled_while_a_hook_runs_gets_no_tokens() {
    let called = Arc::new(Notify::new());
    let go_on = Arc::new(Notify::new());
    let (reached, waiting) = (called.clone(), go_on.clone());
    let hook = Hook::start(move |event| {
        let (reached, waiting) = (reached.clone(), waiting.clone());
        async move {
            reached.notify_one();
            waiting.notified().await;
            json_answer(200, &event)
        }
    })
    .await;
    let sandbox = hook.sandbox(&[Trigger::PreTokenGeneration]).await;
    let disable = async {
        called.notified().await;
        sandbox.set_user_state("ann", UserState::Disabled);
        go_on.notify_one();
    };
    let (answer, ()) = tokio::join!(by_password(&sandbox), disable);
    assert_eq!(answer.error(), error("NotAuthorizedException", "User is disabled."));
}

#[tokio::test]
async fn a_new_password_is_named_as_the_source_of_tokens() {
    let hook = Hook::start(async |event| json_answer(200, &event)).await;
    let state = UserState::TemporaryPassword { required_attributes: Vec::new() };
    let sandbox = start_with(Settings {
        users: vec![User { state, ..User::new("ann", PASSWORD) }],
        triggers: hook.hooks(&[Trigger::PreTokenGeneration]),
        ..Settings::default()
    })
    .await;
    let challenge = by_password(&sandbox).await.json();
    let responses = json!({ "USERNAME": "ann", "NEW_PASSWORD": "Another-password-2" });
    let name = "NEW_PASSWORD_REQUIRED";
    let answer = respond(&sandbox, sandbox.client_id(), name, &challenge["Session"], &responses).await;
    assert!(has_tokens(&answer));
    assert_eq!(hook.sources(), ["TokenGeneration_NewPasswordChallenge"]);
}

#[tokio::test]
async fn the_token_endpoint_is_named_as_the_source_of_tokens() {
    let hook = Hook::start(async |event| json_answer(200, &event)).await;
    let triggers = [Trigger::PreAuthentication, Trigger::PostAuthentication, Trigger::PreTokenGeneration];
    let sandbox = hook.sandbox(&triggers).await;
    let (endpoint, client) = (sandbox.user_pool_endpoint(), sandbox.client_id());
    let post = async |path: &str, form: String| {
        let request = http::Request::post(format!("{endpoint}{path}"))
            .header("content-type", "application/x-www-form-urlencoded");
        sandbox_client::exchange(request.body(form.into()).expect("a request")).await
    };
    let uri = "http%3A%2F%2Flocalhost%3A8976%2F";
    let path = format!("/login?response_type=code&client_id={client}&redirect_uri={uri}");
    let signed_in = post(&path, format!("username=ann&password={PASSWORD}")).await;
    let code = signed_in.header("location").split_once("code=").expect("a code").1;
    let exchange = format!("grant_type=authorization_code&client_id={client}&redirect_uri={uri}&code={code}");
    let answer = post("/oauth2/token", exchange).await;
    assert!(answer.json()["id_token"].is_string());
    let sources = [
        "PreAuthentication_Authentication",
        "PostAuthentication_Authentication",
        "TokenGeneration_HostedAuth",
    ];
    assert_eq!(hook.sources(), sources);
}
