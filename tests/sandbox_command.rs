//! `countersign sandbox` as a person meets it: the first screen, and the line to try.
#![cfg(feature = "sandbox")]

mod support;

use serde_json::Value;
use support::{
    http::Head,
    program::{Program, ask, command, folder},
    upstream::Upstream,
};

/// Starts the sandbox, sends the request of its line to try, and ends it: the screen, the line's path, the response.
async fn tried(arguments: &[&str]) -> (String, String, Head, String) {
    let mut sandbox = command(&["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    let folder = folder();
    sandbox.args(arguments).current_dir(folder.path());
    let program = Program::start(sandbox);
    let line = program.stdout_line("curl ").await;
    let target = line.split('\'').nth(1).expect("a quoted URL");
    let path = target.match_indices('/').nth(2).expect("a path").0;
    let (head, body) = ask(&target[..path], &target[path..]).await;
    let path = target[path..].to_owned();
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    (program.ended().await.stdout, path, head, body)
}

fn assert_fits(screen: &str) {
    for line in screen.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[tokio::test]
async fn the_line_to_try_answers_with_json_for_people_and_no_session_token() {
    let (screen, path, head, body) = tried(&[]).await;
    assert_fits(&screen);
    assert!(screen.contains("Signed in as   demo, password "), "{screen}");
    let event: Value = serde_json::from_str(&body).expect("JSON");
    let identity = event["requestContext"]["identity"]["cognitoIdentityId"].as_str().expect("an identity");
    for words in [&format!("sent GET {path} without a signature"), &format!("signed it as {identity}")] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    assert!(screen.contains("answered 200 OK"), "{screen}");
    assert_eq!(body, format!("{event:#}\n"));
    assert!(!body.to_ascii_lowercase().contains("x-amz-security-token"), "{body}");
    assert_eq!(event["requestContext"]["requestId"], head.field("x-amzn-requestid").expect("an id"));
}

#[tokio::test]
async fn with_a_backend_the_journey_ends_there() {
    let backend = Upstream::saying(b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 4\r\n\r\nteas").await;
    let (screen, path, head, body) = tried(&["--backend", &backend.url()]).await;
    assert_fits(&screen);
    assert_eq!((path.as_str(), head.status, body.as_str()), ("/", 418, "teas"));
    for words in
        ["signed it as eu-west-1:", "verified the signature", &format!("{} answered 418", backend.url())]
    {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    let id = head.field("x-amzn-requestid").expect("an id");
    let seen = backend.requests();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[1].contains(&format!("x-amzn-requestid: {id}\r\n")), "{}", seen[1]);
}

#[tokio::test]
async fn a_backend_that_is_not_running_is_named() {
    let (screen, _, head, _) = tried(&["--backend", "http://127.0.0.1:9"]).await;
    assert_fits(&screen);
    assert_eq!(head.status, 502);
    for words in ["signed it as eu-west-1:", "http://127.0.0.1:9 did not answer: start it"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_does_not_stop_the_sandbox() {
    let backend = Upstream::start(|number, mut wire| async move {
        let request = wire.request().await;
        if number == 0 {
            return std::future::pending().await;
        }
        if request.is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let (screen, _, head, _) = tried(&["--backend", &backend.url()]).await;
    assert_eq!(head.status, 200);
    assert!(screen.contains("has not finished its answer yet"), "{screen}");
}

#[tokio::test]
async fn a_token_that_clients_need_stands_in_the_line_to_try() {
    let mut sandbox = command(&["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    sandbox.env("COUNTERSIGN_BEARER_TOKEN", "token-for-a-test");
    let program = Program::start(sandbox);
    let line = program.stdout_line("curl ").await;
    assert!(line.contains("-H 'authorization: Bearer TOKEN'"), "{line}");
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    let ended = program.ended().await;
    assert!(!ended.stdout.contains("token-for-a-test") && !ended.stdout.contains("without a signature"));
}
