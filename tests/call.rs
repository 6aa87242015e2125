//! `countersign call`: one signed request from the command line.

#![cfg(feature = "sandbox")]

mod support;

use std::process::Stdio;

use countersign::sandbox::{self, Sandbox, Verdict};
use serde_json::Value;
use support::{
    program::{self, Ended},
    soon,
};
use tokio::io::AsyncWriteExt;

async fn call(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("order.json"), "{\"n\":1}").expect("a file");
    let arguments = [&["call"], arguments].concat();
    program::run(program::signed_in(&arguments, sandbox, folder.path())).await
}

async fn start() -> Sandbox {
    sandbox::start(sandbox::Settings::default()).await.expect("free ports")
}

#[tokio::test]
async fn the_body_of_the_answer_and_nothing_else_goes_to_stdout() {
    let sandbox = start().await;
    let ended = call(&sandbox, &["GET", "/items?a=1", "--query", "b=x y&z", "-H", "x-custom: 1"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let event: Value = serde_json::from_str(&ended.stdout).expect("the event and nothing else");
    assert_eq!(event["queryStringParameters"]["a"], "1");
    assert_eq!(event["queryStringParameters"]["b"], "x y&z");
    assert_eq!(event["headers"]["x-custom"], "1");
    assert_eq!(ended.stderr, "");
    let requests = sandbox.requests();
    assert_eq!(requests.len(), 1);
    assert!(matches!(requests[0].verdict, Verdict::Verified { .. }));
}

#[tokio::test]
async fn a_whole_url_is_sent_below_the_upstream_and_refused_elsewhere() {
    let sandbox = start().await;
    let ended = call(&sandbox, &["GET", &format!("{}/orders?x=1", sandbox.api_url())]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(sandbox.requests()[0].target, "/prod/orders?x=1");
    for url in ["https://other.example/prod/orders", "http://127.0.0.1:1/prod/orders"] {
        let ended = call(&sandbox, &["GET", url]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        let upstream = sandbox.api_url();
        let start = format!("countersign: {url} is not below the upstream {upstream}; write a URL below it");
        assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
    }
    assert_eq!(sandbox.requests().len(), 1);
}

#[tokio::test]
async fn typed_paths_and_queries_are_encoded_for_the_wire() {
    let sandbox = start().await;
    let ended = call(&sandbox, &["GET", "/größe und maß/#1?q=ä b"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let target = "/prod/gr%C3%B6%C3%9Fe%20und%20ma%C3%9F/%231?q=%C3%A4%20b";
    assert_eq!(sandbox.requests()[0].target, target);
}

#[tokio::test]
async fn a_body_comes_from_the_command_line_from_a_file_or_from_stdin() {
    let sandbox = start().await;
    for (data, body) in [("a=1", "a=1"), ("@order.json", "{\"n\":1}"), ("@-", "from stdin")] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("order.json"), "{\"n\":1}").expect("a file");
        let mut command =
            program::signed_in(&["call", "POST", "/orders", "-d", data], &sandbox, folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a program");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"from stdin").await.expect("a reader");
        drop(stdin);
        assert!(soon("the end", child.wait()).await.expect("a status").success());
        let requests = sandbox.requests();
        let received = requests.last().expect("a request");
        assert_eq!(received.body, body.as_bytes());
        let json = body.starts_with('{').then_some("application/json");
        assert_eq!(received.header("content-type"), json);
    }
}

#[tokio::test]
async fn upstream_errors_exit_with_22_and_print_the_body() {
    let sandbox = start().await;
    for (path, code) in
        [("/status/200", 0), ("/status/304", 0), ("/status/404", 22), ("/status/503", 22), ("/denied", 22)]
    {
        assert_eq!(call(&sandbox, &["GET", path]).await.code, Some(code), "{path}");
    }
    let denied = call(&sandbox, &["GET", "/denied"]).await;
    assert!(denied.stdout.contains("not authorized to perform"), "{}", denied.stdout);
    let start = "countersign: the gateway refused the request: the role ";
    assert!(denied.stderr.starts_with(start), "{}", denied.stderr);
    assert!(denied.stderr.contains("\n  tip: add a statement to a policy of the role "), "{}", denied.stderr);
    let of_application = call(&sandbox, &["GET", "/status/404"]).await;
    assert_eq!(of_application.stderr, "");
}

#[tokio::test]
async fn the_head_is_printed_when_it_is_asked_for() {
    let sandbox = start().await;
    let ended = call(&sandbox, &["-i", "GET", "/items"]).await;
    let (head, body) = ended.stdout.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nx-amzn-requestid: "), "{head}");
    assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
}

#[tokio::test]
async fn a_refused_call_is_explained_without_its_secrets() {
    let sandbox = start().await;
    let ended = call(&sandbox, &["-v", "GET", "/denied?a=b+c"]).await;
    let text = &ended.stderr;
    assert!(text.contains("canonical request") && text.contains("string to sign"), "{text}");
    assert!(text.contains("GET /prod/denied?a=b%20c"), "{text}");
    let received = &sandbox.requests()[0];
    for name in ["x-amz-security-token", "authorization"] {
        let value = received.header(name).expect(name);
        let secret = value.rsplit("Signature=").next().expect("a value");
        assert!(!text.contains(secret), "{name}");
    }
    let silent = call(&sandbox, &["-v", "GET", "/items"]).await;
    assert_eq!(silent.stderr, "");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure() {
    let sandbox = start().await;
    let ended = call(&sandbox, &["GET", "/truncated/1000"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
}

#[tokio::test]
async fn a_failed_sign_in_is_reported_and_no_request_is_sent() {
    let sandbox = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program::signed_in(&["call", "GET", "/"], &sandbox, folder.path());
    command.env("COUNTERSIGN_USERNAME", "nobody");
    let ended = program::run(command).await;
    assert_eq!(ended.code, Some(1));
    assert!(!ended.stderr.is_empty());
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn contradicting_arguments_are_wrong_usage() {
    let sandbox = start().await;
    for arguments in [
        &["GE T", "/"][..],
        &["GET", "https://example.com/"],
        &["GET", "/", "-H", "authorization: x"],
        &["GET", "/", "-H", "no colon"],
    ] {
        assert_eq!(call(&sandbox, arguments).await.code, Some(2), "{arguments:?}");
    }
    assert_eq!(call(&sandbox, &["GET", "/%zz"]).await.code, Some(1));
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn the_options_of_apig_test_send_the_same_request() {
    let sandbox = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = sandbox.api_url();
    let mut command = program::signed_in(
        &[
            "call",
            "--path-template=/users/{id}",
            "--params={\"id\":\"a b\"}",
            "--method=POST",
            "--body={\"x\":1}",
            "--additional-params={\"queryParams\":{\"q\":\"1\"},\"headers\":{\"x-a\":\"b\"}}",
            "--api-key=key",
            "--invoke-url",
            &url,
            "--api-gateway-region",
            sandbox.region(),
            "--app-client-id",
            sandbox.client_id(),
        ],
        &sandbox,
        folder.path(),
    );
    command.env_remove("COUNTERSIGN_UPSTREAM").env_remove("COUNTERSIGN_CLIENT_ID");
    let ended = program::run(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let received = &sandbox.requests()[0];
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/prod/users/a%20b?q=1"));
    assert_eq!(received.body, "{\"x\":1}");
    assert_eq!(received.header("x-api-key").expect("a key"), "key");
    assert_eq!(received.header("x-a").expect("a header"), "b");
}
