//! The authorization code flow against managed login.

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::{
    http::HttpConnector,
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use countersign::{
    credentials::user_pool::{BrowserError, UserPoolClient},
    sandbox::{AppClient, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Settings},
};

use crate::pool::{PASSWORD, Pool};

/// A sandbox whose confidential client has registered a redirect to a port that is free.
async fn pool() -> Pool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let client = AppClient {
        secret: Some(CONFIDENTIAL_CLIENT_SECRET.into()),
        redirect_uris: vec![format!("http://localhost:{port}/callback")],
        ..AppClient::new(CONFIDENTIAL_CLIENT_ID)
    };
    let mut pool = Pool::with(Settings { clients: vec![client], ..Settings::default() }).await.confidential();
    pool.settings.domain = Some(pool.sandbox.user_pool_endpoint());
    pool.settings.redirect_port = port;
    pool
}

async fn send(method: &str, url: &str, body: &str) -> HttpResponse {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method).expect("a method");
    request.set_uri(url).expect("a URL");
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
    Connector::builder().build_http().call(request).await.expect("answered")
}

fn location(response: &HttpResponse) -> String {
    response.headers().get("location").expect("a redirect").to_owned()
}

/// Does what a browser and its user do: the login page, the form, the redirect.
async fn browse(url: &str) -> u16 {
    assert_eq!(send("GET", url, "").await.status().as_u16(), 200);
    let form = format!("username=demo&password={PASSWORD}");
    let redirect = send("POST", &url.replace("/oauth2/authorize?", "/login?"), &form).await;
    send("GET", &location(&redirect), "").await.status().as_u16()
}

#[tokio::test]
async fn a_browser_sign_in_gives_tokens_that_can_be_renewed() {
    let pool = pool().await;
    let client: UserPoolClient = pool.client();
    let sign_in = client.start_browser_sign_in().await.expect("listening");
    let url = sign_in.url().to_owned();
    let (signed_in, status) = tokio::join!(sign_in.complete(), browse(&url));
    assert_eq!(status, 200);
    let grant = signed_in.expect("tokens").refresh_grant().expect("a refresh token");
    assert_eq!(grant.username, "demo");
    client.refresh(&grant).await.expect("renewed");
    client.revoke(&grant.refresh_token).await.expect("revoked");
    assert!(client.refresh(&grant).await.is_err());
}

#[tokio::test]
async fn a_wrong_client_secret_is_reported_by_setting() {
    let mut pool = pool().await;
    pool.settings.client_secret = Some("wrong".into());
    let client = pool.client();
    let sign_in = client.start_browser_sign_in().await.expect("listening");
    let url = sign_in.url().to_owned();
    let (signed_in, _) = tokio::join!(sign_in.complete(), browse(&url));
    let error = signed_in.expect_err("refused");
    assert!(matches!(&error, BrowserError::TokensRefused(code) if code == "invalid_client"), "{error}");
    assert!(error.to_string().contains("client-secret-file"), "{error}");
}

#[tokio::test]
async fn a_forged_redirect_gets_no_further_than_the_listener() {
    let pool = pool().await;
    let client = pool.client();
    let sign_in = client.start_browser_sign_in().await.expect("listening");
    let url = sign_in.url().to_owned();
    let forged =
        format!("http://127.0.0.1:{}/callback?code=forged&state=forged", pool.settings.redirect_port);
    let (signed_in, ()) = tokio::join!(sign_in.complete(), async {
        assert_eq!(send("GET", &forged, "").await.status().as_u16(), 400);
        assert_eq!(browse(&url).await, 200);
    });
    signed_in.expect("the right redirect still counts");
    assert_eq!(pool.sandbox.calls().count("oauth2/token"), 1);
}
