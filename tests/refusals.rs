//! What the log says when a gateway refuses a signed request, while the answer goes down untouched.

#![cfg(feature = "sandbox")]

mod support;

use countersign::sandbox;
use support::{
    Connection,
    program::{self, Program},
    upstream::Upstream,
};

/// A running `serve` and a connection to it.
async fn connect(program: &Program) -> Connection {
    let url = program.logged("ready", "url").await;
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    Connection::open(address.expect("an address")).await
}

#[tokio::test]
async fn a_denial_names_the_action_and_the_resource() {
    let sandbox = sandbox::start(sandbox::Settings::default()).await.expect("free ports");
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::start(program::serve(&sandbox, folder.path()));
    let mut client = connect(&program).await;
    client.write("GET /denied HTTP/1.1\r\nhost: localhost\r\nx-request-id: the-one\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert_eq!(head.status, 403);
    assert!(String::from_utf8_lossy(&body).contains("is not authorized to perform"));
    let line = program.stderr_line("\"meaning\":\"denied\"").await;
    for expected in ["a policy denies execute-api:Invoke to ", "arn:aws:execute-api:", "the-one", "WARN"] {
        assert!(line.contains(expected), "{expected}\n{line}");
    }
}

#[tokio::test]
async fn an_api_that_takes_no_sigv4a_is_explained_by_the_setting() {
    let sandbox = sandbox::start(sandbox::Settings::default()).await.expect("free ports");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program::serve(&sandbox, folder.path());
    command.env_remove("COUNTERSIGN_REGION").env("COUNTERSIGN_REGION_SET", "eu-*");
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert_eq!(head.status, 403);
    assert!(String::from_utf8_lossy(&body).contains("Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'"));
    let line = program.stderr_line("\"meaning\":\"wrong-algorithm\"").await;
    assert!(
        line.contains("set region instead of region-set") && line.contains("\"region_set\":\"eu-*\""),
        "{line}"
    );
    assert!(!line.contains("\"region\":"), "{line}");
}

const HEAD: &str =
    "HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: id-1\r\nx-amzn-errortype: InvalidSignatureException\r\n";

#[tokio::test]
async fn a_different_signature_is_explained_with_the_changed_part() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let field = |name: &str| {
                let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.expect("a signed request").to_owned()
            };
            let (host, date, token) = (field("host"), field("x-amz-date"), field("x-amz-security-token"));
            let body = serde_json::json!({ "message": format!(
                "The request signature we calculated does not match the signature you provided.\n\n\
                 The Canonical String for this request should have been\n\
                 'GET\n/changed\na=2\nhost:{host}\nx-amz-date:{date}\nx-amz-security-token:{token}\n\n\
                 host;x-amz-date;x-amz-security-token\n\
                 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'\n\n\
                 The String-to-Sign should have been\n'x'\n"
            ) })
            .to_string();
            wire.write(format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len())).await;
        }
    })
    .await;
    let sandbox = sandbox::start(sandbox::Settings::default()).await.expect("free ports");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program::serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write("GET /sent?a=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (_, body) = client.answer().await;
    assert!(String::from_utf8_lossy(&body).contains("/changed"));
    let line = program.stderr_line("\"meaning\":\"signature-differs\"").await;
    assert!(line.contains("differs in: path, query\""), "{line}");
    let request = upstream.requests().remove(0);
    let token = request.lines().find_map(|line| line.strip_prefix("x-amz-security-token: "));
    assert!(!line.contains(token.expect("a token")), "{line}");
}

#[tokio::test]
async fn a_403_of_the_backend_is_not_interpreted() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 23\r\n\r\n{\"message\":\"Forbidden\"}")
                .await;
        }
    })
    .await;
    let sandbox = sandbox::start(sandbox::Settings::default()).await.expect("free ports");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program::serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.1, b"{\"message\":\"Forbidden\"}");
    program.stderr_line("\"message\":\"request\"").await;
    program.signal("TERM").await;
    assert!(!program.ended().await.stderr.contains("meaning"));
}
