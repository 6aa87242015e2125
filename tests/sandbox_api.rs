//! The sandbox's API: what it verifies, echoes and forwards, and its planned faults.
#![cfg(feature = "sandbox")]

mod sandbox_client;

use std::time::Duration;

use bytes::Bytes;
use countersign::sandbox::{
    ApiRoute, Authorization, Fault, INVOKE, Sandbox, Service, Settings, Verdict, pattern,
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use sandbox_client::{
    Answer, credentials, exchange, get, idp, send, sign_in, signed, signed_at, signed_get, start, start_with,
};
use serde_json::{Value, json};

const MAX_WAIT: Duration = Duration::from_millis(300);

fn refusal(answer: &Answer) -> (StatusCode, String, String) {
    let body = answer.json();
    assert!(!answer.header("x-amzn-requestid").is_empty() && !answer.header("x-amz-apigw-id").is_empty());
    let message = body["message"].as_str().unwrap_or_default().to_owned();
    (answer.status, answer.header("x-amzn-errortype").to_owned(), message)
}

fn request(sandbox: &Sandbox, method: &str, path: &str, body: &'static str) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(format!("{}{path}", sandbox.api_url()))
        .body(Bytes::from(body))
        .expect("a valid request")
}

#[tokio::test]
async fn a_signed_request_is_echoed_as_the_event_of_a_lambda_integration() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let mut request = request(&sandbox, "POST", "/a%2Fb/c?x=1&x=2+3&y=%26&flag", "{\"hello\":\"wörld\"}");
    let headers = request.headers_mut();
    headers.insert("content-type", "application/json".parse().expect("valid"));
    headers.append("x-amz-meta", "one".parse().expect("valid"));
    headers.append("x-amz-meta", "two".parse().expect("valid"));
    let answer = exchange(signed(&sandbox, &credentials, request)).await;
    let event = answer.json();
    assert_eq!(answer.status, StatusCode::OK, "{event}");
    assert_eq!(
        (&event["httpMethod"], &event["path"], &event["body"]),
        (&json!("POST"), &json!("/a%2Fb/c"), &json!("{\"hello\":\"wörld\"}"))
    );
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event["queryStringParameters"], json!({ "x": "2 3", "y": "&", "flag": "" }));
    assert_eq!(
        event["multiValueQueryStringParameters"],
        json!({ "x": ["1", "2 3"], "y": ["&"], "flag": [""] })
    );
    assert_eq!(event["multiValueHeaders"]["x-amz-meta"], json!(["one", "two"]));
    assert_eq!(event["headers"]["authorization"], Value::Null);
    assert_eq!(event["multiValueHeaders"]["x-amz-security-token"], Value::Null);
    let context = &event["requestContext"];
    assert_eq!(context["requestId"], answer.header("x-amzn-requestid"));
    assert_eq!(context["extendedRequestId"], answer.header("x-amz-apigw-id"));
    assert_eq!((&context["stage"], &context["path"]), (&json!("prod"), &json!("/prod/a%2Fb/c")));
    let identity = &context["identity"];
    assert_eq!(identity["accessKey"], credentials.access_key_id());
    assert_eq!(identity["cognitoIdentityPoolId"], sandbox.identity_pool_id());
    assert_eq!(identity["cognitoAuthenticationType"], "authenticated");
    assert_eq!(
        identity["userArn"],
        "arn:aws:sts::123456789012:assumed-role/sandbox-authenticated/CognitoIdentityCredentials"
    );
}

#[tokio::test]
async fn difficult_targets_verify() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    for path in [
        "",
        "/",
        "//",
        "/a//b/",
        "/a/./b",
        "/a/../b",
        "/a%20b",
        "/a+b",
        "/@x:y",
        "/%2F%2f",
        "/~*'()!",
        "/%25",
        "/a?",
        "/a?b",
        "/a?b=",
        "/a?=c",
        "/a?b=c&&d=e&",
        "/a?z=1&a=2&a=1",
        "/a?b=c+d",
        "/a?b=%2B",
        "/a?b=c=d",
        "/a?p[]=1&p[]=2",
        "/a?b=%7e*'()!",
        "/a?q=%E2%82%AC",
    ] {
        let answer = signed_get(&sandbox, &credentials, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
    }
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_requests_are_refused() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let now = sandbox.clock().now();
    let plain = || request(&sandbox, "GET", "/x", "");
    let missing = "Missing Authentication Token";
    let unsigned = exchange(get(&format!("{}/x", sandbox.api_url()))).await;
    assert_eq!(
        refusal(&unsigned),
        (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException".to_owned(), missing.to_owned())
    );

    let mut tampered = signed(&sandbox, &credentials, plain());
    *tampered.body_mut() = Full::from("smuggled");
    let (_, kind, message) = refusal(&exchange(tampered).await);
    assert_eq!(kind, "InvalidSignatureException");
    assert!(message.contains("The Canonical String for this request should have been"), "{message}");

    let elsewhere = signed_at(now, "us-east-1", "lambda", &credentials, plain());
    let (_, kind, message) = refusal(&exchange(elsewhere).await);
    assert_eq!(kind, "InvalidSignatureException");
    assert_eq!(
        message,
        "Credential should be scoped to a valid region. \
         Credential should be scoped to correct service: 'execute-api'. "
    );

    let late = now - Duration::from_secs(400);
    let (_, kind, message) =
        refusal(&exchange(signed_at(late, "eu-west-1", "execute-api", &credentials, plain())).await);
    assert_eq!(kind, "InvalidSignatureException");
    assert!(message.starts_with("Signature expired: "), "{message}");
}

#[tokio::test]
async fn an_unknown_stage_looks_like_a_missing_token() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let url = sandbox.api_url().replace("/prod", "/production/x");
    let request = Request::get(url).body(Bytes::new()).expect("a valid request");
    let (status, kind, _) = refusal(&exchange(signed(&sandbox, &credentials, request)).await);
    assert_eq!((status, kind.as_str()), (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException"));
}

#[tokio::test]
async fn credentials_are_refused_once_expired_or_invalidated() {
    let sandbox = start().await;
    let old = credentials(&sandbox).await;
    sandbox.expire_credentials();
    let (_, kind, message) = refusal(&signed_get(&sandbox, &old, "/x").await);
    assert_eq!(
        (kind.as_str(), message.as_str()),
        ("ExpiredTokenException", "The security token included in the request is expired")
    );
    let fresh = credentials(&sandbox).await;
    assert_eq!(signed_get(&sandbox, &fresh, "/x").await.status, StatusCode::OK);
    sandbox.invalidate_credentials();
    let (_, kind, _) = refusal(&signed_get(&sandbox, &fresh, "/x").await);
    assert_eq!(kind, "UnrecognizedClientException");
    let fresh = credentials(&sandbox).await;
    sandbox.advance_clock(Duration::from_secs(3601));
    let (_, kind, _) = refusal(&signed_get(&sandbox, &fresh, "/x").await);
    assert_eq!(kind, "ExpiredTokenException");
}

#[tokio::test]
async fn requests_are_recorded_with_their_verdict() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    signed_get(&sandbox, &credentials, "/x%2Fy?a=1").await;
    exchange(get(&format!("{}/unsigned", sandbox.api_url()))).await;
    let requests = sandbox.requests();
    let seen: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(seen, ["/prod/x%2Fy?a=1", "/prod/unsigned"]);
    let Verdict::Verified { access_key, .. } = &requests[0].verdict else { panic!("{:?}", requests[0]) };
    assert_eq!(access_key, credentials.access_key_id());
    assert_eq!(requests[1].verdict, Verdict::Refused("MissingAuthenticationTokenException".to_owned()));
    assert!(requests[0].header("Authorization").is_some());
    assert_eq!(sandbox.calls().count(INVOKE), 2);
    sandbox.clear_requests();
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn special_paths_answer_as_documented() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let fetch = async |path: &str| signed_get(&sandbox, &credentials, path).await;
    assert_eq!(fetch("/status/418").await.status, 418);
    assert_eq!(fetch("/status/204").await.body, Bytes::new());
    let bytes = fetch("/bytes/100000").await;
    assert_eq!((bytes.header("content-length"), &bytes.body), ("100000", &pattern(0, 100_000)));
    let chunked = fetch("/chunked/100000").await;
    assert!(!chunked.headers.contains_key("content-length"));
    assert_eq!(chunked.body, pattern(0, 100_000));
    let events = fetch("/events/3?interval=1").await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert_eq!(events.body, "id: 0\ndata: event 0\n\nid: 1\ndata: event 1\n\nid: 2\ndata: event 2\n\n");
    assert_eq!(fetch("/headers").await.headers.get_all("set-cookie").iter().count(), 3);
    let redirect = fetch("/redirect?to=https%3A%2F%2Fexample.com%2Fa").await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (302, "https://example.com/a"));
    let (status, kind, message) = refusal(&fetch("/denied").await);
    assert_eq!((status.as_u16(), kind.as_str()), (403, "AccessDeniedException"));
    assert!(
        message
            .contains("is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:")
    );
    assert_eq!(fetch("/slow/1").await.json()["path"], "/slow/1");
}

#[tokio::test]
async fn a_range_of_bytes_is_partial_content() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let mut request = request(&sandbox, "GET", "/bytes/1000", "");
    request.headers_mut().insert("range", "bytes=10-19".parse().expect("valid"));
    let answer = exchange(signed(&sandbox, &credentials, request)).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (206, "bytes 10-19/1000"));
    assert_eq!(answer.body, pattern(10, 10));
}

#[tokio::test]
async fn a_head_request_learns_the_length() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let request = request(&sandbox, "HEAD", "/bytes/1000", "");
    let answer = exchange(signed(&sandbox, &credentials, request)).await;
    assert_eq!((answer.header("content-length"), answer.body.len()), ("1000", 0));
}

#[tokio::test]
async fn trailers_follow_the_body_for_clients_that_accept_them() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let mut request = request(&sandbox, "GET", "/trailers/10", "");
    request.headers_mut().insert("te", "trailers".parse().expect("valid"));
    let answer = send(signed(&sandbox, &credentials, request)).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a whole body");
    assert_eq!(
        body.trailers().map(|trailers| &trailers["x-sandbox-bytes"]),
        Some(&"10".parse().expect("valid"))
    );
    assert_eq!(body.to_bytes(), pattern(0, 10));
}

#[tokio::test]
async fn responses_can_be_truncated() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let signed = |path| signed(&sandbox, &credentials, request(&sandbox, "GET", path, ""));
    assert!(send(signed("/hangup")).await.is_err());
    let answer = send(signed("/truncated/10")).await.expect("a head");
    assert_eq!(answer.headers()["content-length"], "20");
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_payload_over_ten_mebibytes_is_refused_as_the_gateway_does() {
    let sandbox = start().await;
    let body = Full::from(vec![0_u8; 10 * 1024 * 1024 + 1]);
    let request = Request::post(format!("{}/x", sandbox.api_url())).body(body).expect("a valid request");
    // The answer may be overtaken by the end of a connection whose payload nobody reads.
    if let Ok(answer) = send(request).await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn planned_faults_of_the_api_happen_and_pass() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    let faults = sandbox.faults();
    faults.next(INVOKE, 2, Fault::expired_token());
    for _ in 0..2 {
        let (_, kind, _) = refusal(&signed_get(&sandbox, &credentials, "/x").await);
        assert_eq!(kind, "ExpiredTokenException");
    }
    assert_eq!(signed_get(&sandbox, &credentials, "/x").await.status, StatusCode::OK);

    let url = format!("{}/x", sandbox.api_url());
    faults.next(INVOKE, 1, Fault::Disconnect);
    assert!(send(get(&url)).await.is_err());
    faults.next(INVOKE, 1, Fault::Truncate);
    let answer = send(get(&url)).await.expect("a head");
    assert!(answer.into_body().collect().await.is_err());
    faults.next(INVOKE, 1, Fault::Hang);
    assert!(tokio::time::timeout(MAX_WAIT, send(get(&url))).await.is_err());
    faults.next(INVOKE, 1, Fault::Status(500));
    assert_eq!(exchange(get(&url)).await.status, 500);
    faults.next(INVOKE, 1, Fault::Delay(Duration::from_millis(1)));
    assert_eq!(signed_get(&sandbox, &credentials, "/x").await.status, StatusCode::OK);
}

#[tokio::test]
async fn planned_faults_of_cognito_happen_and_pass() {
    let sandbox = start().await;
    sandbox.faults().next("GetId", 1, Fault::throttled());
    sandbox.faults().next("GetId", 1, Fault::MalformedJson);
    sandbox.faults().next("GetId", 1, Fault::Status(503));
    let request = || {
        sandbox_client::identity(&sandbox, "GetId", json!({ "IdentityPoolId": sandbox.identity_pool_id() }))
    };
    assert_eq!(request().await.error().0, "TooManyRequestsException");
    assert!(serde_json::from_slice::<Value>(&request().await.body).is_err());
    let broken = request().await;
    assert_eq!((broken.status.as_u16(), &broken.json()["__type"]), (503, &json!("InternalErrorException")));
    assert!(request().await.json()["IdentityId"].is_string());
    assert_eq!(sandbox.calls().count("GetId"), 4);
}

#[tokio::test]
async fn a_stopped_service_refuses_connections_until_it_is_restarted() {
    let sandbox = start().await;
    let tokens = sign_in(&sandbox).await;
    let endpoint = sandbox.user_pool_endpoint();
    sandbox.stop(Service::UserPool).await;
    assert!(send(get(&endpoint)).await.is_err());
    sandbox.restart(Service::UserPool).await.expect("the port is free");
    assert_eq!(sandbox.user_pool_endpoint(), endpoint);
    let request = json!({ "AccessToken": tokens["AccessToken"] });
    assert_eq!(idp(&sandbox, "GetUser", request).await.json()["Username"], "demo");
}

#[tokio::test]
async fn shutdown_closes_every_listener() {
    let sandbox = start().await;
    let urls = [sandbox.user_pool_endpoint(), sandbox.identity_pool_endpoint(), sandbox.api_url()];
    sandbox.shutdown().await;
    for url in urls {
        assert!(send(get(&url)).await.is_err(), "{url}");
    }
}

#[tokio::test]
async fn verified_requests_reach_the_backend_with_the_identity_in_headers() {
    let backend = start().await;
    let settings = Settings { backend: backend.api_url().parse().ok(), ..Settings::default() };
    let sandbox = start_with(settings).await;
    let credentials = credentials(&sandbox).await;
    let mut request = request(&sandbox, "PUT", "/orders?id=7", "payload");
    request.headers_mut().insert("x-countersign-identity-id", "forged".parse().expect("valid"));
    let answer = exchange(signed(&sandbox, &credentials, request)).await;
    // The backend is an API itself, and refuses what is not signed for it.
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let [seen] = &backend.requests()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", "/prod/orders?id=7"));
    assert_eq!(seen.body, "payload");
    let identity = seen.header("x-countersign-identity-id").expect("an identity");
    assert!(identity.starts_with("eu-west-1:"), "{identity}");
    assert!(seen.header("x-countersign-user-arn").is_some());
    assert_eq!((seen.header("authorization"), seen.header("x-amz-security-token")), (None, None));
    assert_eq!(seen.header("x-amzn-requestid"), Some(answer.header("x-amzn-requestid")));
    assert_eq!(seen.header("x-amz-apigw-id"), Some(answer.header("x-amz-apigw-id")));
}

#[tokio::test]
async fn a_backend_that_is_down_is_a_bad_gateway() {
    let sandbox =
        start_with(Settings { backend: "http://127.0.0.1:9".parse().ok(), ..Settings::default() }).await;
    let credentials = credentials(&sandbox).await;
    let answer = signed_get(&sandbox, &credentials, "/x").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (502, json!({ "message": "Internal server error" })));
}

fn with_routes() -> Settings {
    let route = |path: &str, authorization| ApiRoute { path: path.to_owned(), authorization };
    let api_routes = vec![
        route("/public", Authorization::None),
        route("/public/mine", Authorization::UserPool),
        route("/public/mine/signed", Authorization::Iam),
    ];
    Settings { api_routes, ..Settings::default() }
}

fn with_token(sandbox: &Sandbox, path: &str, value: &str) -> Request<Full<Bytes>> {
    let mut request = get(&format!("{}{path}", sandbox.api_url()));
    request.headers_mut().insert("authorization", value.parse().expect("a value"));
    request
}

#[tokio::test]
async fn each_route_has_its_authorisation_and_the_longest_path_wins() {
    let sandbox = start_with(with_routes()).await;
    let token = sign_in(&sandbox).await["IdToken"].as_str().expect("a token").to_owned();
    let event = exchange(get(&format!("{}/public/news", sandbox.api_url()))).await.json();
    assert_eq!(event["requestContext"]["identity"]["cognitoIdentityId"], json!(null));
    assert_eq!(event["requestContext"]["authorizer"], json!(null));
    for value in [token.clone(), format!("Bearer {token}")] {
        let event = exchange(with_token(&sandbox, "/public/mine", &value)).await.json();
        let claims = &event["requestContext"]["authorizer"]["claims"];
        assert_eq!((&claims["cognito:username"], &claims["token_use"]), (&json!("demo"), &json!("id")));
        assert!(claims["exp"].is_string(), "REST APIs hand claims on as texts: {claims}");
    }
    let unsigned = exchange(with_token(&sandbox, "/public/mine/signed", &token)).await;
    assert_eq!(unsigned.header("x-amzn-errortype"), "IncompleteSignatureException");
    let unsigned = exchange(get(&format!("{}/publications", sandbox.api_url()))).await;
    assert_eq!(unsigned.header("x-amzn-errortype"), "MissingAuthenticationTokenException");
    let verdicts: Vec<_> = sandbox.requests().into_iter().map(|request| request.verdict).collect();
    assert_eq!(verdicts[0], Verdict::Admitted(Authorization::None));
    assert_eq!(verdicts[1], Verdict::Admitted(Authorization::UserPool));
}

#[tokio::test]
async fn the_user_pool_authoriser_takes_nothing_but_valid_id_tokens_of_its_clients() {
    let sandbox = start_with(with_routes()).await;
    let tokens = sign_in(&sandbox).await;
    let own = tokens["IdToken"].as_str().expect("a token").to_owned();
    let access = tokens["AccessToken"].as_str().expect("a token").to_owned();
    let hour = Duration::from_secs(3600);
    let of_another_client = sandbox.id_token(&sandbox.issuer(), "another", "me", hour);
    let of_another_issuer = sandbox.id_token("https://accounts.example.com", sandbox.client_id(), "me", hour);
    let forged = format!("{}x", &own[..own.len() - 1]);
    for value in [&access, &of_another_client, &of_another_issuer, &forged, "rubbish", "Bearer "] {
        let answer = exchange(with_token(&sandbox, "/public/mine", value)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value}");
        assert_eq!(answer.json(), json!({ "message": "Unauthorized" }));
        assert_eq!(answer.header("x-amzn-errortype"), "UnauthorizedException");
    }
    sandbox.advance_clock(Duration::from_secs(3601));
    let answer = exchange(with_token(&sandbox, "/public/mine", &own)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json(), json!({ "message": "The incoming token has expired" }));
}

#[tokio::test]
async fn a_path_answers_with_each_error_of_the_gateway() {
    let sandbox = start().await;
    let credentials = credentials(&sandbox).await;
    for (name, status, kind) in [
        ("wrong-stage", 403, Some("ForbiddenException")),
        ("api-key", 403, Some("ForbiddenException")),
        ("throttled", 429, Some("TooManyRequestsException")),
        ("quota", 429, Some("LimitExceededException")),
        ("too-large", 413, Some("RequestTooLargeException")),
        ("timeout", 504, None),
    ] {
        let answer = signed_get(&sandbox, &credentials, &format!("/gateway/{name}")).await;
        assert_eq!(answer.status, status, "{name}");
        let named = answer.headers.get("x-amzn-errortype").map(|value| value.to_str().expect("text"));
        assert_eq!(named, kind, "{name}");
        assert!(answer.headers.contains_key("x-amz-apigw-id"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_longer_than_29_seconds_is_a_timeout() {
    let backend = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", backend.local_addr().expect("bound"));
    let sandbox =
        start_with(Settings { backend: Some(url.parse().expect("a URL")), ..Settings::default() }).await;
    let credentials = sandbox.issue_credentials(Duration::from_secs(3600));
    let answer = signed_get(&sandbox, &credentials, "/items").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json(), json!({ "message": "Endpoint request timed out" }));
}
