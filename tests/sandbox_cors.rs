//! What the sandbox's services tell browsers about other origins.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use sandbox_client::{Answer, credentials, exchange, get, json_request, signed, start};
use serde_json::json;

const ORIGIN: &str = "http://localhost:5173";

fn preflight(url: &str, method: &str, headers: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::OPTIONS)
        .uri(url)
        .header("origin", ORIGIN)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", headers)
        .body(Full::default())
        .expect("a valid request")
}

fn from_page(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().insert("origin", ORIGIN.parse().expect("a value"));
    request
}

fn allowed_origin(headers: &HeaderMap) -> Option<&str> {
    headers.get("access-control-allow-origin").map(|value| value.to_str().expect("text"))
}

fn assert_preflight(answer: &Answer, status: StatusCode, method: &str, headers: &str) {
    assert_eq!((answer.status, answer.body.len()), (status, 0));
    assert_eq!(allowed_origin(&answer.headers), Some("*"));
    assert!(answer.header("access-control-allow-methods").split(',').any(|allowed| allowed == method));
    assert_eq!(answer.header("access-control-allow-headers"), headers);
}

#[tokio::test]
async fn the_preflights_of_amplify_and_the_sdk_pass() {
    let sandbox = start().await;
    let sdk =
        "amz-sdk-invocation-id,amz-sdk-request,cache-control,content-type,x-amz-target,x-amz-user-agent";
    for url in [sandbox.user_pool_endpoint(), sandbox.identity_pool_endpoint()] {
        let answer = exchange(preflight(&format!("{url}/"), "POST", sdk)).await;
        assert_preflight(&answer, StatusCode::OK, "POST", sdk);
        assert_eq!(answer.header("access-control-max-age"), "172800");
    }
    let signed = "authorization,x-amz-date,x-amz-security-token";
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let answer = exchange(preflight(&format!("{}/items", sandbox.api_url()), method, signed)).await;
        assert_preflight(&answer, StatusCode::NO_CONTENT, method, signed);
    }
    assert!(sandbox.requests().is_empty(), "a preflight reaches no integration");
}

#[tokio::test]
async fn pages_may_read_answers_and_the_headers_that_the_sdks_need() {
    let sandbox = start().await;
    let target = "AWSCognitoIdentityProviderService.InitiateAuth";
    let request = json_request(&sandbox.user_pool_endpoint(), target, &json!({}));
    let refused = exchange(from_page(request)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(allowed_origin(&refused.headers), Some("*"));
    let exposed = refused.header("access-control-expose-headers").to_ascii_lowercase();
    for name in ["x-amzn-requestid", "x-amzn-errortype", "date"] {
        assert!(exposed.split(',').any(|header| header == name), "{name}: {exposed}");
    }
    let unsigned = exchange(from_page(get(&format!("{}/items", sandbox.api_url())))).await;
    assert_eq!(unsigned.status, StatusCode::FORBIDDEN);
    assert_eq!(allowed_origin(&unsigned.headers), Some("*"));
    let request = Request::get(format!("{}/items", sandbox.api_url()));
    let request = request.body(Bytes::new()).expect("a valid request");
    let answered = exchange(from_page(signed(&sandbox, &credentials(&sandbox).await, request))).await;
    assert_eq!(answered.status, StatusCode::OK);
    assert!(answered.header("access-control-expose-headers").contains("x-amz-apigw-id"));
}

#[tokio::test]
async fn documents_and_the_token_endpoint_are_for_scripts_and_pages_are_not() {
    let sandbox = start().await;
    let origin_of = async |path: &str| {
        let answer = exchange(from_page(get(&format!("{}{path}", sandbox.user_pool_endpoint())))).await;
        allowed_origin(&answer.headers).map(str::to_owned)
    };
    let pool = sandbox.user_pool_id();
    for path in
        [&format!("/{pool}/.well-known/jwks.json"), &format!("/{pool}/.well-known/openid-configuration")]
    {
        assert_eq!(origin_of(path).await.as_deref(), Some("*"), "{path}");
    }
    for path in ["/login?client_id=a", "/oauth2/authorize", "/_sandbox/outbox", "/_sandbox/faults"] {
        assert_eq!(origin_of(path).await, None, "{path}");
    }
    let token = format!("{}/oauth2/token", sandbox.user_pool_endpoint());
    let answer = exchange(preflight(&token, "POST", "authorization")).await;
    assert_preflight(&answer, StatusCode::OK, "POST", "authorization");
    for path in ["/login", "/_sandbox/faults"] {
        let url = format!("{}{path}", sandbox.user_pool_endpoint());
        let answer = exchange(preflight(&url, "POST", "content-type")).await;
        assert_eq!(allowed_origin(&answer.headers), None, "{path}");
    }
}

#[tokio::test]
async fn without_an_origin_nothing_is_said_about_origins() {
    let sandbox = start().await;
    let answer = exchange(get(&format!("{}/items", sandbox.api_url()))).await;
    assert_eq!(allowed_origin(&answer.headers), None);
    let mut options = get(&format!("{}/items", sandbox.api_url()));
    *options.method_mut() = Method::OPTIONS;
    let answer = exchange(options).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "OPTIONS alone needs a signature like any method");
}
