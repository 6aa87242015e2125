use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::credentials::user_pool::script::{NOW, clock, pool};

/// A token endpoint that gives one answer and remembers the request.
#[derive(Clone, Debug, Default)]
struct TokenEndpoint {
    answer: Arc<Mutex<Option<(u16, Value)>>>,
    requests: Arc<Mutex<Vec<Received>>>,
}

#[derive(Clone, Debug)]
struct Received {
    url: String,
    authorization: Option<String>,
    body: String,
}

impl HttpConnector for TokenEndpoint {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let authorization = request.headers().get("authorization").map(str::to_owned);
        let body = String::from_utf8(request.body().bytes().expect("in memory").to_vec()).expect("UTF-8");
        let received = Received { url: request.uri().to_owned(), authorization, body };
        self.requests.lock().expect("not poisoned").push(received);
        let (status, body) = self.answer.lock().expect("not poisoned").take().expect("an answer");
        let body = SdkBody::from(body.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().expect("a status"), body)))
    }
}

struct Scene {
    endpoint: TokenEndpoint,
    client: UserPoolClient,
}

impl Scene {
    fn new() -> Self {
        Self::with(UserPool { domain: Some("login.test".to_owned()), redirect_port: 0, ..pool() })
    }

    fn with(pool: UserPool) -> Self {
        let endpoint = TokenEndpoint::default();
        let client = UserPoolClient::new(pool, SharedHttpConnector::new(endpoint.clone()), clock());
        Self { endpoint, client }
    }

    fn will_answer(&self, status: u16, body: Value) {
        *self.endpoint.answer.lock().expect("not poisoned") = Some((status, body));
    }

    fn will_give_tokens(&self, claims: &Value) {
        let id_token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        self.will_answer(
            200,
            json!({"id_token": id_token, "access_token": "access", "refresh_token": "refresh-1",
                "token_type": "Bearer", "expires_in": 3600}),
        );
    }
}

fn query(url: &str) -> HashMap<String, String> {
    let (_, query) = url.split_once('?').expect("a query");
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn claims(nonce: &str) -> Value {
    json!({"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123", "sub": "sub-1",
        "aud": "client", "exp": NOW + 3600, "nonce": nonce, "cognito:username": "internal"})
}

fn port(sign_in: &BrowserSignIn<'_>) -> u16 {
    let uri: http::Uri = query(&sign_in.url)["redirect_uri"].parse().expect("a URI");
    uri.port_u16().expect("a port")
}

async fn connect(sign_in: &BrowserSignIn<'_>) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port(sign_in))).await.expect("listening")
}

async fn request(stream: &mut TcpStream, head: &str) -> String {
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

/// Requests `target` as a browser would and gives the answer.
async fn visit(sign_in: &BrowserSignIn<'_>, target: &str) -> String {
    let port = port(sign_in);
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    request(&mut connect(sign_in).await, &head).await
}

fn success(sign_in: &BrowserSignIn<'_>) -> String {
    format!("/callback?code=the-code&state={}", query(&sign_in.url)["state"])
}

/// Brings the browser back and gives what came of it.
async fn come_back(scene: &Scene, target: &str) -> Result<SignedIn, BrowserError> {
    let sign_in = scene.client.start_browser_sign_in().await.expect("listening");
    let target = target.replace("STATE", &query(&sign_in.url)["state"]);
    let (result, _) = tokio::join!(sign_in.fetch_tokens(), visit(&sign_in, &target));
    result
}

#[tokio::test]
async fn the_page_is_asked_for_a_code_with_all_precautions() {
    let scene = Scene::new();
    let sign_in = scene.client.start_browser_sign_in().await.expect("listening");
    assert!(sign_in.url().starts_with("https://login.test/oauth2/authorize?"));
    let query = query(sign_in.url());
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "client"),
        ("scope", "openid"),
        ("code_challenge_method", "S256"),
        ("redirect_uri", &format!("http://localhost:{}/callback", port(&sign_in))),
    ] {
        assert_eq!(query[name], value, "{name}");
    }
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(query[name].len(), 43, "{name}");
    }
    assert!(!sign_in.url().contains(sign_in.verifier.expose_secret()));
}

#[tokio::test]
async fn the_code_is_exchanged_with_verifier_and_client_secret() {
    let scene = Scene::new();
    let sign_in = scene.client.start_browser_sign_in().await.expect("listening");
    let sent = query(&sign_in.url);
    scene.will_give_tokens(&claims(&sent["nonce"]));
    let target = success(&sign_in);
    let (result, page) = tokio::join!(sign_in.fetch_tokens(), visit(&sign_in, &target));

    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("You may close this window"), "{page}");
    assert!(page.contains("referrer-policy: no-referrer") && !page.contains("the-code"), "{page}");
    let grant = result.expect("tokens").refresh_grant().expect("a grant");
    assert_eq!((grant.refresh_token.expose_secret(), grant.username.as_str()), ("refresh-1", "internal"));

    let Received { url, authorization, body } =
        scene.endpoint.requests.lock().expect("not poisoned")[0].clone();
    assert_eq!(url, "https://login.test/oauth2/token");
    assert_eq!(authorization.as_deref(), Some("Basic Y2xpZW50OnMzY3JldA=="));
    let form = query(&format!("?{body}"));
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!((&form["code"], &form["client_id"]), (&"the-code".to_owned(), &"client".to_owned()));
    assert_eq!(form["redirect_uri"], sent["redirect_uri"]);
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"])), sent["code_challenge"]);
}

#[tokio::test]
async fn only_the_redirect_of_this_sign_in_counts_and_only_once() {
    let scene = Scene::new();
    let sign_in = scene.client.start_browser_sign_in().await.expect("listening");
    scene.will_give_tokens(&claims(&query(&sign_in.url)["nonce"]));
    let (result, ()) = tokio::join!(sign_in.fetch_tokens(), async {
        for (target, status) in [
            ("/callback?code=forged&state=guess", "400"),
            ("/callback?code=forged", "400"),
            ("/favicon.ico", "404"),
            ("/", "404"),
        ] {
            let page = visit(&sign_in, target).await;
            assert!(page.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {page}");
        }
        let port = port(&sign_in);
        let right = success(&sign_in);
        for (head, status) in [
            (format!("GET {right} HTTP/1.1\r\nHost: evil.test:{port}\r\n\r\n"), "403"),
            (format!("POST {right} HTTP/1.1\r\nHost: localhost:{port}\r\ncontent-length: 0\r\n\r\n"), "405"),
        ] {
            let page = request(&mut connect(&sign_in).await, &head).await;
            assert!(page.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {page}");
        }
        let mut late = connect(&sign_in).await;
        // The late connection is accepted first, so that it is still served after the redirect.
        late.write_all(b"GET ").await.expect("sent");
        assert!(visit(&sign_in, &right).await.starts_with("HTTP/1.1 200"));
        let rest = format!("{right} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        assert!(request(&mut late, &rest).await.starts_with("HTTP/1.1 410"));
    });
    result.expect("tokens");
    let requests = scene.endpoint.requests.lock().expect("not poisoned");
    assert_eq!(requests.len(), 1);
    assert!(requests[0].body.contains("code=the-code"));
}

#[tokio::test]
async fn errors_of_the_login_page_are_reported() {
    let target = "/callback?error=access_denied&error_description=User+said%0Ano&state=STATE";
    let error = come_back(&Scene::new(), target).await.expect_err("refused");
    assert_eq!(error.to_string(), "the login page answered access_denied: User saidno");
    let error = come_back(&Scene::new(), "/callback?error=invalid_scope&state=STATE").await;
    assert!(error.expect_err("refused").to_string().ends_with("; allow the scope openid for the app client"));
}

#[tokio::test]
async fn errors_of_the_token_endpoint_are_reported() {
    for (status, body, text) in [
        (400, json!({"error": "invalid_grant"}), "the token endpoint answered invalid_grant; sign in again"),
        (
            401,
            json!({"error": "invalid_client"}),
            "the token endpoint answered invalid_client; check client-id and client-secret-file",
        ),
        (503, json!("busy"), "the token endpoint was not reached"),
        (200, json!({"access_token": "a"}), "the token endpoint's answer makes no sense"),
    ] {
        let scene = Scene::new();
        scene.will_answer(status, body);
        let error = come_back(&scene, "/callback?code=c&state=STATE").await.expect_err("refused");
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn an_id_token_that_is_not_for_this_sign_in_is_refused() {
    for (claim, value, reason) in [
        ("nonce", json!("other"), "nonce"),
        ("nonce", Value::Null, "nonce"),
        ("aud", json!("other-client"), "client-id"),
        ("aud", Value::Null, "client-id"),
        ("iss", json!("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"), "user-pool-id"),
        ("exp", json!(NOW), "expired"),
    ] {
        let scene = Scene::new();
        let sign_in = scene.client.start_browser_sign_in().await.expect("listening");
        let mut claims = claims(&query(&sign_in.url)["nonce"]);
        claims[claim] = value;
        scene.will_give_tokens(&claims);
        let target = success(&sign_in);
        let (result, _) = tokio::join!(sign_in.fetch_tokens(), visit(&sign_in, &target));
        let error = result.expect_err("refused").to_string();
        assert!(error.contains(reason), "{claim}: {error}");
    }
}

#[tokio::test]
async fn the_domain_is_a_host_or_a_url_of_one() {
    for (domain, base) in [
        ("name.auth.eu-west-1.amazoncognito.com", "https://name.auth.eu-west-1.amazoncognito.com"),
        ("https://login.example.com/", "https://login.example.com"),
        ("http://127.0.0.1:1234", "http://127.0.0.1:1234"),
        ("http://localhost:1234/", "http://localhost:1234"),
    ] {
        assert_eq!(base_url(domain).expect("valid"), base);
    }
    for domain in [
        "",
        "two words",
        "http://login.example.com",
        "ftp://login.example.com",
        "https://login.example.com/path",
        "login.example.com?x=y",
        "https://user@login.example.com",
    ] {
        assert!(matches!(base_url(domain), Err(BrowserError::Domain(_))), "{domain}");
    }
    let scene = Scene::with(UserPool { domain: None, redirect_port: 0, ..pool() });
    let error = scene.client.start_browser_sign_in().await.expect_err("no domain");
    assert!(matches!(error, BrowserError::NoDomain));
}

#[tokio::test]
async fn a_taken_redirect_port_is_an_error_under_either_address() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        // A host without IPv6 has one address to take.
        let Ok(taken) = std::net::TcpListener::bind(address) else { continue };
        let redirect_port = taken.local_addr().expect("bound").port();
        let scene = Scene::with(UserPool { domain: Some("login.test".to_owned()), redirect_port, ..pool() });
        let error = scene.client.start_browser_sign_in().await.expect_err("taken");
        assert!(matches!(error, BrowserError::Listen(port, _) if port == redirect_port));
        assert!(error.to_string().contains("redirect-port"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_never_comes_back_is_given_up_after_five_minutes() {
    let scene = Scene::new();
    let sign_in = scene.client.start_browser_sign_in().await.expect("listening");
    let started = tokio::time::Instant::now();
    assert!(matches!(sign_in.complete().await, Err(BrowserError::TimedOut)));
    assert_eq!(started.elapsed().as_secs(), 300);
}

#[tokio::test]
async fn debug_output_shows_no_secret() {
    let scene = Scene::new();
    let sign_in = scene.client.start_browser_sign_in().await.expect("listening");
    assert_eq!(format!("{sign_in:?}"), r#"BrowserSignIn { domain: "https://login.test", .. }"#);
}
