//! Credentials for other programs: what they read, many of them at once, and ends at a bad moment.

use std::time::Duration;

use countersign::sandbox::Service;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    desk::{Desk, RENEWAL, VEND, failed, succeeded},
    support::program,
};

#[tokio::test]
async fn credentials_are_printed_as_the_aws_tools_read_them_and_nothing_else_is() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    let ended = desk.run(&["credentials"]).await;
    succeeded(&ended);
    assert_eq!(ended.stderr, "");
    let printed: Value = serde_json::from_str(&ended.stdout).expect("JSON alone");
    let mut keys: Vec<_> = printed.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["AccessKeyId", "Expiration", "SecretAccessKey", "SessionToken", "Version"]);
    assert_eq!(printed["Version"], 1);
    assert!(printed["AccessKeyId"].as_str().is_some_and(|key| key.starts_with("ASIA")), "{printed}");
    assert!(printed["Expiration"].as_str().is_some_and(|moment| moment.ends_with('Z')), "{printed}");
    assert_eq!((desk.calls(RENEWAL), desk.calls(VEND), desk.calls("InitiateAuth")), (1, 1, 0));
}

#[tokio::test]
async fn a_password_signs_in_without_a_session() {
    let desk = Desk::start().await;
    let mut command = desk.command(&["credentials"]);
    command.env("COUNTERSIGN_USERNAME", "demo").env("COUNTERSIGN_PASSWORD", "Sandbox-password-1");
    succeeded(&program::run(command).await);
    assert!(!desk.session_file().exists());
}

#[tokio::test]
async fn no_credentials_are_one_line_and_code_1() {
    let desk = Desk::start().await;
    let ended = desk.run(&["credentials"]).await;
    failed(&ended, &["sign in with `countersign login`"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    desk.sign_in().await;
    desk.sandbox.stop(Service::IdentityPool).await;
    let ended = desk.run(&["credentials"]).await;
    failed(&ended, &["countersign: credentials could not be obtained for the moment"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[tokio::test]
async fn concurrent_commands_share_a_session_with_rotating_refresh_tokens() {
    let desk = Desk::rotating(Duration::ZERO).await;
    desk.sign_in().await;
    let mut running = JoinSet::new();
    for _ in 0..8 {
        running.spawn(program::run(desk.command(&["credentials"])));
    }
    while let Some(ended) = running.join_next().await {
        succeeded(&ended.expect("no panic"));
    }
    succeeded(&desk.run(&["whoami"]).await);
    assert_eq!((desk.calls(RENEWAL), desk.calls("InitiateAuth")), (9, 0));
}
