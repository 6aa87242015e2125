//! The pages of managed login in the sandbox, as a browser fills them in, and the endpoints for signed-in users.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::UNIX_EPOCH;

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign::sandbox::{AppClient, Issuer, Mfa, PoolRules, Sandbox, Settings, User, UserState};
use http::Request;
use http_body_util::Full;
use sandbox_client::{Answer, exchange, get, identity, start, start_with, start_with_users};
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

const PASSWORD: &str = "Secret-password-1";
const NEW_PASSWORD: &str = "Another-password-2";
const QUERY: &str = "response_type=code&state=s-1&scope=openid%20email\
                     &redirect_uri=http%3A%2F%2Flocalhost%3A8976%2Fcallback";

fn ann() -> User {
    User { aliases: vec!["ann@example.com".to_owned()], ..User::new("ann", PASSWORD) }
}

fn page_url(sandbox: &Sandbox, page: &str) -> String {
    format!("{}/{page}?client_id={}&{QUERY}", sandbox.user_pool_endpoint(), sandbox.client_id())
}

/// A page as a browser has it, with the fields of its form.
struct Shown {
    answer: Answer,
    html: String,
}

impl Shown {
    fn of(answer: Answer) -> Self {
        let html = String::from_utf8(answer.body.to_vec()).expect("text");
        Self { answer, html }
    }

    fn attribute(&self, after: &str, name: &str) -> String {
        let rest = self.html.split_once(after).unwrap_or_else(|| panic!("{after} in {}", self.html)).1;
        let value = rest.split_once(&format!("{name}=\"")).expect("the attribute").1;
        unescaped(value.split_once('"').expect("its end").0)
    }

    /// Sends the form with its hidden fields and these.
    async fn send(&self, sandbox: &Sandbox, fields: &[(&str, &str)]) -> Self {
        let url = format!("{}{}", sandbox.user_pool_endpoint(), self.attribute("<form", "action"));
        let hidden = self.html.match_indices("type=\"hidden\"").map(|(at, _)| {
            let rest = Self { html: self.html[at..].to_owned(), answer: empty() };
            (rest.attribute("", "name"), rest.attribute("", "value"))
        });
        let given = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let body: Vec<String> =
            hidden.chain(given).map(|(name, value)| format!("{name}={}", encoded(&value))).collect();
        let request = Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(body.join("&")))
            .expect("a valid request");
        Self::of(exchange(request).await)
    }

    fn says(&self, text: &str) -> bool {
        unescaped(&self.html).contains(text)
    }

    fn is_back_at_the_client(&self) -> bool {
        self.answer.status == 302
            && self.answer.header("location").starts_with("http://localhost:8976/callback?code=")
    }
}

fn empty() -> Answer {
    Answer { status: http::StatusCode::OK, headers: http::HeaderMap::new(), body: bytes::Bytes::new() }
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn show(sandbox: &Sandbox, page: &str) -> Shown {
    Shown::of(exchange(get(&page_url(sandbox, page))).await)
}

async fn log_in(sandbox: &Sandbox, username: &str, password: &str) -> Shown {
    let page = show(sandbox, "login").await;
    page.send(sandbox, &[("username", username), ("password", password)]).await
}

fn sent_code(sandbox: &Sandbox) -> String {
    sandbox.messages().pop().expect("a message").code
}

async fn tokens_of(sandbox: &Sandbox, username: &str) -> Value {
    let back = log_in(sandbox, username, PASSWORD).await;
    let location = back.answer.header("location").to_owned();
    let code = location.split_once("code=").and_then(|(_, rest)| rest.split_once('&')).expect("a code").0;
    let form = format!(
        "grant_type=authorization_code&client_id={}&code={code}\
         &redirect_uri=http%3A%2F%2Flocalhost%3A8976%2Fcallback",
        sandbox.client_id()
    );
    let request = Request::post(format!("{}/oauth2/token", sandbox.user_pool_endpoint()));
    exchange(request.body(Full::from(form)).expect("a valid request")).await.json()
}

#[tokio::test]
async fn a_user_signs_up_confirms_and_signs_in_by_pages() {
    let sandbox = start().await;
    let form = show(&sandbox, "signup").await;
    let taken = [("username", "demo"), ("email", "demo@example.com"), ("password", PASSWORD)];
    let refused = form.send(&sandbox, &taken).await;
    assert_eq!(refused.answer.status, 400);
    assert!(refused.says("User already exists"), "{}", refused.html);

    let fields = [("username", "bob"), ("email", "bob@example.com"), ("password", PASSWORD)];
    let confirm = form.send(&sandbox, &fields).await;
    assert!(confirm.says("A code was sent to b***@e***."), "{}", confirm.html);
    let early = log_in(&sandbox, "bob", PASSWORD).await;
    assert!(early.says("User is not confirmed."), "{}", early.html);
    let wrong = confirm.send(&sandbox, &[("username", "bob"), ("code", "none")]).await;
    assert!(wrong.says("Invalid verification code provided"), "{}", wrong.html);
    let code = sent_code(&sandbox);
    let done = wrong.send(&sandbox, &[("username", "bob"), ("code", &code)]).await;
    assert!(done.says("Your sign-up is confirmed."), "{}", done.html);
    let back = done.send(&sandbox, &[("username", "bob"), ("password", PASSWORD)]).await;
    assert!(back.is_back_at_the_client(), "{:?}", back.answer);
    assert!(back.answer.header("location").ends_with("&state=s-1"));
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_pages() {
    let sandbox = start_with_users(vec![ann()]).await;
    let form = show(&sandbox, "forgotPassword").await;
    let reset = form.send(&sandbox, &[("username", "ann")]).await;
    assert!(reset.says("A code was sent to a***@e***."), "{}", reset.html);
    let code = sent_code(&sandbox);
    let weak = reset.send(&sandbox, &[("username", "ann"), ("code", &code), ("password", "weak")]).await;
    assert!(weak.says("Password did not conform with policy"), "{}", weak.html);
    let fields = [("username", "ann"), ("code", code.as_str()), ("password", NEW_PASSWORD)];
    let done = weak.send(&sandbox, &fields).await;
    assert!(done.says("Your password is changed."), "{}", done.html);
    assert!(log_in(&sandbox, "ann", NEW_PASSWORD).await.is_back_at_the_client());
}

#[tokio::test]
async fn a_demanded_reset_begins_at_the_sign_in() {
    let sandbox = start_with_users(vec![User { state: UserState::ResetRequired, ..ann() }]).await;
    let reset = log_in(&sandbox, "ann", PASSWORD).await;
    assert!(reset.says("Your password must be reset."), "{}", reset.html);
    let code = sent_code(&sandbox);
    let fields = [("username", "ann"), ("code", code.as_str()), ("password", NEW_PASSWORD)];
    assert!(reset.send(&sandbox, &fields).await.says("Your password is changed."));
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_may_be_tried_again() {
    let sandbox = start_with_users(vec![User { mfa: vec![Mfa::Email], ..ann() }]).await;
    let asked = log_in(&sandbox, "ann", PASSWORD).await;
    assert!(asked.says("A code was sent to a***@e***."), "{}", asked.html);
    let wrong = asked.send(&sandbox, &[("code", "none")]).await;
    assert!(wrong.says("Invalid code or auth state for the user."), "{}", wrong.html);
    let back = wrong.send(&sandbox, &[("code", &sent_code(&sandbox))]).await;
    assert!(back.is_back_at_the_client(), "{}", back.html);
}

#[tokio::test]
async fn a_second_factor_is_chosen_or_set_up() {
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let both = vec![Mfa::Email, Mfa::Authenticator { secret: secret.into() }];
    let settings = Settings {
        users: vec![User { mfa: both, ..ann() }, User::new("bob", PASSWORD)],
        mfa_required: true,
        ..Settings::default()
    };
    let sandbox = start_with(settings).await;
    let choice = log_in(&sandbox, "ann", PASSWORD).await;
    let asked = choice.send(&sandbox, &[("code", "SOFTWARE_TOKEN_MFA")]).await;
    let back = asked.send(&sandbox, &[("code", &totp(&sandbox, secret))]).await;
    assert!(back.is_back_at_the_client(), "{}", back.html);

    let setup = log_in(&sandbox, "bob", PASSWORD).await;
    let secret = setup.attribute("name=\"secret\"", "value");
    assert!(setup.says(&secret));
    let wrong = setup.send(&sandbox, &[("code", "none")]).await;
    assert!(wrong.says("Code mismatch and fail enable Software Token MFA"), "{}", wrong.html);
    let back = wrong.send(&sandbox, &[("code", &totp(&sandbox, &secret))]).await;
    assert!(back.is_back_at_the_client(), "{}", back.html);
}

fn totp(sandbox: &Sandbox, secret: &str) -> String {
    let secret = Secret::try_from_base32(secret).expect("base32");
    let seconds = sandbox.clock().now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    Builder::new().with_secret(secret).build_noncompliant().generate(seconds).to_string()
}

#[tokio::test]
async fn a_temporary_password_is_replaced_by_a_page() {
    let state = UserState::TemporaryPassword { required_attributes: vec!["given_name".to_owned()] };
    let sandbox = start_with_users(vec![User { state, ..ann() }]).await;
    let form = log_in(&sandbox, "ann", PASSWORD).await;
    let weak = form.send(&sandbox, &[("password", "weak"), ("userAttributes.given_name", "Ann")]).await;
    assert!(weak.says("Password did not conform with policy"), "{}", weak.html);
    let fields = [("password", NEW_PASSWORD), ("userAttributes.given_name", "Ann")];
    assert!(weak.send(&sandbox, &fields).await.is_back_at_the_client());
}

#[tokio::test]
async fn a_browser_that_has_signed_in_is_not_asked_again_until_it_logs_out() {
    let sandbox = start_with_users(vec![ann()]).await;
    let back = log_in(&sandbox, "ann", PASSWORD).await;
    let cookie = back.answer.header("set-cookie").to_owned();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax"), "{cookie}");
    let pair = cookie.split_once(';').expect("attributes").0.to_owned();
    let visit = |path: &str| {
        let url = format!("{}{path}", sandbox.user_pool_endpoint());
        let request = Request::get(url).header("cookie", &format!("theme=dark; {pair}"));
        exchange(request.body(Full::default()).expect("a valid request"))
    };
    let authorize = format!("/oauth2/authorize?client_id={}&{QUERY}", sandbox.client_id());
    let silent = visit(&format!("{authorize}&prompt=none")).await;
    assert!(silent.header("location").contains("?code="), "{silent:?}");
    assert_eq!(visit(&format!("{authorize}&prompt=login")).await.status, 200);

    let logout = format!("/logout?client_id={}", sandbox.client_id());
    let left = visit(&format!("{logout}&logout_uri=http%3A%2F%2Flocalhost%3A8976%2F")).await;
    assert_eq!((left.status.as_u16(), left.header("location")), (302, "http://localhost:8976/"));
    assert!(left.header("set-cookie").starts_with("cognito=; Path=/; Max-Age=0;"));
    let gone = visit(&format!("{authorize}&prompt=none")).await;
    assert!(gone.header("location").contains("?error=login_required"), "{gone:?}");
}

#[tokio::test]
async fn logging_out_leads_only_where_the_client_allows_it() {
    let client = AppClient {
        logout_uris: vec!["http://localhost:3000/bye".to_owned()],
        ..AppClient::new("theclient")
    };
    let sandbox = start_with(Settings { clients: vec![client], ..Settings::default() }).await;
    let log_out = |query: &str| {
        let url = format!("{}/logout?client_id=theclient{query}", sandbox.user_pool_endpoint());
        async move { exchange(get(&url)).await }
    };
    let allowed = log_out("&logout_uri=http%3A%2F%2Flocalhost%3A3000%2Fbye").await;
    assert_eq!(allowed.header("location"), "http://localhost:3000/bye");
    let again = log_out("&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A8976%2Fcallback").await;
    assert!(again.header("location").starts_with("/login?client_id=theclient&"), "{again:?}");
    for query in
        ["", "&logout_uri=http%3A%2F%2Fevil.example%2F", "&redirect_uri=http%3A%2F%2Fevil.example%2F"]
    {
        let refused = log_out(query).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(!refused.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn pages_have_labels_and_run_nothing() {
    let sandbox = start().await;
    for page in ["login", "signup", "forgotPassword"] {
        let shown = show(&sandbox, page).await;
        let policy = shown.answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!shown.html.contains("<script") && !shown.html.contains("://"), "{}", shown.html);
        assert!(shown.html.contains("<html lang=\"en\">"));
        let inputs: Vec<&str> = shown.html.split("<input id=\"").skip(1).collect();
        assert!(!inputs.is_empty());
        for input in inputs {
            let id = input.split_once('"').expect("an id").0;
            assert!(shown.html.contains(&format!("<label for=\"{id}\">")), "{id}");
        }
    }
}

#[tokio::test]
async fn what_is_typed_and_what_the_query_says_is_never_markup() {
    let sandbox = start().await;
    let url = format!("{}&login_hint=%22%3E%3Cscript%3E&state=%22%3Ex", page_url(&sandbox, "login"));
    let shown = Shown::of(exchange(get(&url)).await);
    assert_eq!(shown.attribute("id=\"username\"", "value"), "\"><script>");
    assert!(!shown.html.contains("<script>"), "{}", shown.html);
    let form = show(&sandbox, "signup").await;
    let fields = [("username", "<b>x</b>"), ("email", "b@example.com"), ("password", PASSWORD)];
    let confirm = form.send(&sandbox, &fields).await;
    assert!(!confirm.html.contains("<b>"), "{}", confirm.html);
}

#[tokio::test]
async fn user_info_shows_what_the_scopes_allow() {
    let user = User { attributes: [("name".to_owned(), "Ann".to_owned())].into(), ..ann() };
    let sandbox = start_with_users(vec![user]).await;
    let tokens = tokens_of(&sandbox, "ann").await;
    let ask = |authorization: Option<String>| {
        let mut request = Request::get(format!("{}/oauth2/userInfo", sandbox.user_pool_endpoint()));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        exchange(request.body(Full::default()).expect("a valid request"))
    };
    let access = format!("Bearer {}", tokens["access_token"].as_str().expect("a token"));
    let mut claims = ask(Some(access)).await.json();
    assert!(claims["sub"].take().is_string());
    let expected =
        json!({ "sub": null, "username": "ann", "email": "ann@example.com", "email_verified": "true" });
    assert_eq!(claims, expected);
    for authorization in [None, Some("Bearer rubbish".to_owned())] {
        let refused = ask(authorization).await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").starts_with("Bearer error=\"invalid_"));
    }
}

#[tokio::test]
async fn a_token_without_the_administrators_scope_does_not_manage_the_account() {
    let sandbox = start_with_users(vec![ann()]).await;
    let tokens = tokens_of(&sandbox, "ann").await;
    let answer =
        sandbox_client::idp(&sandbox, "GetUser", json!({ "AccessToken": tokens["access_token"] })).await;
    assert_eq!(
        answer.error(),
        sandbox_client::error("NotAuthorizedException", "Access Token does not have required scopes")
    );
}

#[tokio::test]
async fn basic_credentials_are_form_decoded() {
    let client = AppClient { secret: Some("a+b c:%/".into()), ..AppClient::new("the client") };
    let sandbox = start_with(Settings { clients: vec![client], ..Settings::default() }).await;
    let basic = STANDARD.encode("the+client:a%2Bb+c%3A%25%2F");
    let request = Request::post(format!("{}/oauth2/token", sandbox.user_pool_endpoint()))
        .header("authorization", format!("basic {basic}"))
        .body(Full::from("grant_type=authorization_code&code=none"))
        .expect("a valid request");
    assert_eq!(exchange(request).await.json(), json!({ "error": "invalid_grant" }));
}

#[tokio::test]
async fn the_discovery_document_points_at_the_sandbox() {
    let sandbox = start().await;
    let (base, pool) = (sandbox.user_pool_endpoint(), sandbox.user_pool_id());
    let document = exchange(get(&format!("{base}/{pool}/.well-known/openid-configuration"))).await.json();
    assert_eq!(document["issuer"], format!("https://cognito-idp.eu-west-1.amazonaws.com/{pool}"));
    for (name, path) in [
        ("authorization_endpoint", "/oauth2/authorize"),
        ("token_endpoint", "/oauth2/token"),
        ("userinfo_endpoint", "/oauth2/userInfo"),
        ("revocation_endpoint", "/oauth2/revoke"),
        ("end_session_endpoint", "/logout"),
    ] {
        assert_eq!(document[name], format!("{base}{path}"), "{name}");
    }
    let keys = exchange(get(document["jwks_uri"].as_str().expect("a URL"))).await.json();
    assert_eq!(keys["keys"][0]["alg"], "RS256");
}

#[tokio::test]
async fn a_local_issuer_is_the_same_provider_for_the_identity_pool() {
    let rules = PoolRules { issuer: Issuer::Local, ..PoolRules::default() };
    let sandbox = start_with(Settings { rules, ..Settings::default() }).await;
    let issuer = format!("{}/{}", sandbox.user_pool_endpoint(), sandbox.user_pool_id());
    assert_eq!(sandbox.issuer(), issuer);
    let document = exchange(get(&format!("{issuer}/.well-known/openid-configuration"))).await.json();
    assert_eq!(document["issuer"], *issuer);
    let tokens = sandbox_client::sign_in(&sandbox).await;
    let mut ids = Vec::new();
    for provider in [sandbox_client::provider(&sandbox), issuer.replace("http://", ""), issuer.clone()] {
        let logins = json!({ provider: tokens["IdToken"] });
        let request = json!({ "IdentityPoolId": sandbox.identity_pool_id(), "Logins": logins });
        ids.push(identity(&sandbox, "GetId", request).await.json()["IdentityId"].take());
    }
    assert!(ids[0].is_string() && ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
}
