//! `countersign explain`: how a request is signed, and where a gateway sees another request.

#![cfg(feature = "sandbox")]

mod support;

use std::path::Path;

use support::program::{self, Ended};

const UPSTREAM: &str = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod";

async fn explain(folder: &Path, arguments: &[&str]) -> Ended {
    let arguments = [&["explain", "--upstream", UPSTREAM], arguments].concat();
    let mut command = program::command(&arguments);
    command.current_dir(folder);
    program::run(command).await
}

#[tokio::test]
async fn a_signature_is_explained_without_a_network_and_without_an_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = explain(folder.path(), &["POST", "/a b?x=1+2", "-d", "{}", "-H", "cookie: secret"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let text = ended.stdout;
    for expected in [
        "request to https://abc123.execute-api.eu-west-1.amazonaws.com, signed for execute-api in eu-west-1",
        "  POST /prod/a%20b?x=1%202\n",
        "  content-type: application/json\n",
        "  cookie: (redacted)\n",
        "  x-amz-security-token: (redacted)\n",
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=(redacted)\n",
        "canonical request\n\n  POST\n  /prod/a%2520b\n  x=1%202\n",
        "  x-amz-security-token:(redacted)\n",
        "string to sign\n\n  AWS4-HMAC-SHA256\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("secret\n") && !text.contains("example-session-token"), "{text}");
}

#[tokio::test]
async fn an_unsigned_payload_is_shown_as_it_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program::command(&["explain", "PUT", "/key", "-d", "hi", "--payload", "unsigned"]);
    command.current_dir(folder.path()).env("COUNTERSIGN_UPSTREAM", "https://s3.eu-west-1.amazonaws.com");
    let ended = program::run(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for expected in [
        "  x-amz-content-sha256: UNSIGNED-PAYLOAD\n",
        "  content-length: 2\n",
        "  UNSIGNED-PAYLOAD\n\nstring to sign",
    ] {
        assert!(ended.stdout.contains(expected), "{expected}\n{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_gateways_refusal_shows_where_it_saw_another_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let canonical = "GET\n/prod/a%20b\n\nhost:abc123.execute-api.eu-west-1.amazonaws.com\n\
                     x-amz-date:20260101T000000Z\nx-amz-security-token:TOKENSECRET\n\n\
                     host;x-amz-date;x-amz-security-token\n\
                     e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let message = format!(
        "The request signature we calculated does not match.\n\nThe Canonical String for this request should \
         have been\n'{canonical}'\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256'\n"
    );
    let refusal = serde_json::json!({ "message": message }).to_string();
    std::fs::write(folder.path().join("refusal"), refusal).expect("a file");
    let ended = explain(folder.path(), &["GET", "/a b", "--compare", "refusal"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let expected = "- path: /prod/a%2520b\n+ path: /prod/a%20b\n                 ^\n";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n1 line differs\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("TOKENSECRET"), "{}", ended.stdout);
    let cause = "\n\nthe gateway refused the request: the gateway received another request than was signed; these parts \
                 differ: path\n";
    assert!(ended.stdout.contains(cause), "{}", ended.stdout);
}

#[tokio::test]
async fn a_saved_answer_is_explained_without_a_canonical_request_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let head =
        "HTTP/2 403\r\nx-amzn-requestid: 1\r\nx-amzn-errortype: MissingAuthenticationTokenException\r\n\r\n";
    let body = "{\"message\":\"Missing Authentication Token\"}";
    let meaning = "\n\nthe gateway refused the request: the stage has no route GET /prod/a; API Gateway calls that \
                   \"Missing Authentication Token\"\n  tip: compare upstream and the path with the invoke URL of the \
                   stage, and deploy the API if the route is new; if the route is there, something on the way removes \
                   Authorization\n";
    let problem = "{\"type\":\"urn:countersign:no-route\",\"code\":\"no-route\",\"detail\":\"No route.\"}";
    for (saved, end) in [
        (format!("{head}{body}"), meaning),
        (body.to_owned(), meaning),
        (problem.to_owned(), "\n\nthe proxy itself answered (no-route): No route.\n"),
    ] {
        std::fs::write(folder.path().join("refusal"), &saved).expect("a file");
        let ended = explain(folder.path(), &["GET", "/a?x=1", "--compare", "refusal"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.ends_with(end), "{saved}\n{}", ended.stdout);
    }
}

#[tokio::test]
async fn an_answer_of_the_application_is_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    for saved in ["{\"error\":\"no\"}", "HTTP/1.1 403 Forbidden\r\n\r\n{\"message\":\"Forbidden\"}"] {
        std::fs::write(folder.path().join("refusal"), saved).expect("a file");
        let ended = explain(folder.path(), &["GET", "/", "--compare", "refusal"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{saved}");
        let start = "countersign: --compare refusal: this is no refusal or failure in the words of a gateway";
        assert!(ended.stderr.starts_with(start), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn help_shows_the_command_and_hides_legacy_options() {
    let ended = program::run(program::command(&["call", "--help"])).await;
    assert!(ended.stdout.contains("--query") && !ended.stdout.contains("--path-template"));
}
