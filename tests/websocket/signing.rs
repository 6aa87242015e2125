//! Signatures of handshakes, checked by an implementation of the test's own.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use countersign::proxy::WebsocketSigning;

use crate::{
    echo,
    support::{Running, Setup, websocket::open},
};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn signature(secret: &str, scope: &str, time: &str, canonical: &str) -> String {
    let hash = hex(&Sha256::digest(canonical));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
    hex(&hmac(&key, &to_sign))
}

fn field<'a>(request: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    request.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default()
}

async fn secret(running: &Running) -> (String, String) {
    let issued = running.proxy.credentials.valid().await.expect("credentials");
    let token = issued.credentials.session_token().expect("temporary credentials").to_owned();
    (issued.credentials.secret_access_key().to_owned(), token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_is_signed_in_headers() {
    let upstream = echo().await;
    let running = Setup::new().upstream(upstream.url() + "/prod").start().await;
    let (_client, head) = open(&running.proxy, "/a%20b?z=1&a=2", "").await;
    assert_eq!(head.status, 101);
    let (secret, token) = secret(&running).await;
    let [request] = upstream.requests().try_into().expect("one request");
    let (time, host) = (field(&request, "x-amz-date"), field(&request, "host"));
    assert_eq!(field(&request, "x-amz-security-token"), token);
    let canonical = format!(
        "GET\n/prod/a%2520b\na=2&z=1\nhost:{host}\nx-amz-date:{time}\nx-amz-security-token:{token}\n\n\
         host;x-amz-date;x-amz-security-token\n{EMPTY}"
    );
    let authorization = field(&request, "authorization");
    let scope = authorization.split_once('/').and_then(|(_, rest)| rest.split(',').next()).expect("a scope");
    assert!(
        authorization.ends_with(&format!("Signature={}", signature(&secret, scope, time, &canonical))),
        "{request}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_is_signed_in_the_query_with_the_token_where_the_service_expects_it() {
    for (service, is_token_signed) in [("execute-api", true), ("iotdevicegateway", false)] {
        let upstream = echo().await;
        let running = Setup::new()
            .upstream(upstream.url())
            .proxy(move |settings| {
                let route = &mut settings.proxy.routes[0];
                route.service = service.to_owned();
                route.websocket_signing = WebsocketSigning::Query;
            })
            .start()
            .await;
        let (_client, head) = open(&running.proxy, "/mqtt?a=1", "x-plain: 1\r\n").await;
        assert_eq!(head.status, 101);
        let (secret, token) = secret(&running).await;
        let [request] = upstream.requests().try_into().expect("one request");
        assert_eq!(field(&request, "authorization"), "");
        assert_eq!((field(&request, "x-amz-date"), field(&request, "x-amz-security-token")), ("", ""));
        let target = request.split(' ').nth(1).expect("a target");
        let (path, query) = target.split_once('?').expect("a query");
        let value = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap_or_default()
        };
        let token: String = percent_encoding::utf8_percent_encode(&token, UNRESERVED).to_string();
        assert_eq!(value("X-Amz-Security-Token"), token);
        assert_eq!(query.ends_with(&format!("X-Amz-Security-Token={token}")), !is_token_signed, "{query}");
        assert_eq!((value("X-Amz-SignedHeaders"), value("X-Amz-Expires")), ("host", "300"));
        let mut signed: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.starts_with("X-Amz-Signature="))
            .filter(|pair| is_token_signed || !pair.starts_with("X-Amz-Security-Token="))
            .collect();
        signed.sort_unstable();
        let host = field(&request, "host");
        let canonical = format!("GET\n{path}\n{}\nhost:{host}\n\nhost\n{EMPTY}", signed.join("&"));
        let scope = value("X-Amz-Credential").split_once("%2F").expect("a scope").1.replace("%2F", "/");
        let expected = signature(&secret, &scope, value("X-Amz-Date"), &canonical);
        assert_eq!(value("X-Amz-Signature"), expected, "{service}: {canonical}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_with_parameters_of_a_signature_is_not_signed_in_the_query() {
    for (signing, status) in [(WebsocketSigning::Query, 400), (WebsocketSigning::Headers, 101)] {
        let upstream = echo().await;
        let running = Setup::new()
            .upstream(upstream.url())
            .proxy(move |settings| settings.proxy.routes[0].websocket_signing = signing)
            .start()
            .await;
        for query in
            ["X-Amz-Date=1", "a=1&x-amz-security-token=t&b", "%58-Amz-Expires", "X-Amz-SignedHeaders="]
        {
            let (_client, head) = open(&running.proxy, &format!("/?{query}"), "").await;
            assert_eq!(head.status, status, "{query}");
        }
        for query in ["X-Amz-CustomAuthorizer-Name=mine", "a=X-Amz-Date", ""] {
            let (_client, head) = open(&running.proxy, &format!("/?{query}"), "").await;
            assert_eq!(head.status, 101, "{query}");
        }
    }
}

/// All bytes except those that SigV4 leaves as they are.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
