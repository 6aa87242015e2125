//! `countersign sandbox` as a person meets it: the first screen, and the line to try.
#![cfg(feature = "sandbox")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{
    http::{Connection, Head},
    program::{Ended, Program, address, ask, command, folder, run},
    upstream::Upstream,
};

/// A sandbox on free ports.
const STARTED: [&str; 7] =
    ["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--port-base", "0"];

/// Starts the sandbox, sends the request of its line to try, and ends it: the screen, the line's path, the response.
async fn tried(arguments: &[&str]) -> (String, String, Head, String) {
    let mut sandbox = command(&STARTED);
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
    let mut sandbox = command(&STARTED);
    sandbox.env("COUNTERSIGN_BEARER_TOKEN", "token-for-a-test");
    let program = Program::start(sandbox);
    let line = program.stdout_line("curl ").await;
    assert!(line.contains("-H 'authorization: Bearer TOKEN'"), "{line}");
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    let ended = program.ended().await;
    assert!(!ended.stdout.contains("token-for-a-test") && !ended.stdout.contains("without a signature"));
}

/// The sandbox in this folder, on free ports, with what it wrote for others.
fn started(arguments: &[&str], folder: &Path) -> Program {
    let mut sandbox = command(&STARTED);
    sandbox.args(arguments).current_dir(folder);
    Program::start(sandbox)
}

/// Runs another command in this folder, which has nothing but the file there.
async fn beside(arguments: &[&str], folder: &Path) -> Ended {
    let mut command = command(arguments);
    command.current_dir(folder).env("XDG_STATE_HOME", folder.join("sessions"));
    run(command).await
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_holder_and_the_way_out() {
    let (taken, base) = taken_port();
    let base = base.to_string();
    let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--port-base", &base];
    let ended = run(command(&arguments)).await;
    drop(taken);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    let first = format!("cannot listen on 127.0.0.1:{base} for the sandbox's user pool: ");
    let holder = format!("(pid {}) listens there\n", std::process::id());
    for words in [first.as_str(), &holder, "--port-base PORT"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

/// A listener with a port that leaves room for two more.
fn taken_port() -> (std::net::TcpListener, u16) {
    loop {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        if port < u16::MAX - 2 {
            return (listener, port);
        }
    }
}

#[tokio::test]
async fn the_other_commands_work_beside_it_with_the_written_file_alone() {
    let folder = folder();
    let program = started(&["--write", ".", "--user", "ann:Sandbox-password-2"], folder.path());
    program.stdout_line("Ctrl-C").await;
    let who = beside(&["whoami", "--json"], folder.path()).await;
    let who: Value = serde_json::from_str(&who.stdout).unwrap_or_else(|_| panic!("{who:?}"));
    assert!(who.to_string().contains("ann"), "{who}");
    let called = beside(&["call", "GET", "/hello"], folder.path()).await;
    assert_eq!(called.code, Some(0), "{}", called.stderr);
    let event: Value = serde_json::from_str(&called.stdout).expect("JSON");
    assert!(event["requestContext"]["identity"]["cognitoIdentityId"].is_string());
    let login = beside(&["login"], folder.path()).await;
    assert_eq!(login.code, Some(0), "{}", login.stderr);
    program.signal("INT").await;
    let ended = program.ended().await;
    for name in ["amplify_outputs.json", "aws-exports.js", ".env.local", "countersign.toml"] {
        assert!(ended.stdout.contains(name) && folder.path().join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_sign_up_with_what_amplify_outputs_requires_gets_a_code() {
    let folder = folder();
    let program = started(&["--write", "."], folder.path());
    program.stdout_line("Ctrl-C").await;
    let outputs = std::fs::read_to_string(folder.path().join("amplify_outputs.json")).expect("written");
    let outputs: Value = serde_json::from_str(&outputs).expect("JSON");
    let auth = &outputs["auth"];
    let required = auth["standard_required_attributes"].as_array().expect("a list");
    let attributes: Vec<Value> = required
        .iter()
        .map(|name| serde_json::json!({ "Name": name, "Value": "bert@example.org" }))
        .collect();
    let body = serde_json::json!({
        "ClientId": auth["user_pool_client_id"],
        "Username": "bert",
        "Password": "Sandbox-password-2",
        "UserAttributes": attributes,
    });
    let endpoint = &outputs["custom"]["countersign_sandbox"]["userPoolEndpoint"];
    let mut connection = Connection::open(address(endpoint.as_str().expect("a URL"))).await;
    let body = body.to_string();
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.1\r\n\
                x-amz-target: AWSCognitoIdentityProviderService.SignUp\r\n";
    connection.write(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
    let (_, answer) = connection.answer().await;
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["CodeDeliveryDetails"]["DeliveryMedium"], "EMAIL", "{answer}");
    program.signal("INT").await;
    program.ended().await;
}

#[tokio::test]
async fn a_file_of_somebody_else_stays_unless_force_says_otherwise() {
    let folder = folder();
    let file = folder.path().join(".env.local");
    std::fs::write(&file, "SECRET=mine\n").expect("written");
    let ended = beside(&[&STARTED[..], &["--write", "."]].concat(), folder.path()).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(".env.local") && ended.stderr.contains("--force"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&file).expect("text"), "SECRET=mine\n");
    let program = started(&["--write", ".", "--force"], folder.path());
    program.stdout_line("Ctrl-C").await;
    let text = std::fs::read_to_string(&file).expect("text");
    assert!(text.contains("VITE_USER_POOL_ENDPOINT=http://127.0.0.1:"), "{text}");
    assert!(text.contains("\nNEXT_PUBLIC_API_URL=") && text.contains("\nREACT_APP_API_URL="), "{text}");
    program.signal("INT").await;
    program.ended().await;
    // What it has written itself it replaces.
    let program = started(&["--write", "."], folder.path());
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    program.ended().await;
}

#[tokio::test]
async fn with_an_authenticator_the_proxy_signs_in_by_itself() {
    let folder = folder();
    let program = started(&["--mfa", "totp"], folder.path());
    let secret = program.stdout_line("Authenticator  ").await;
    assert_eq!(secret.trim().rsplit(' ').next().expect("a secret").len(), 32, "{secret}");
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    let ended = program.ended().await;
    assert!(ended.stdout.contains("answered 200 OK"), "{}", ended.stdout);
}

#[tokio::test]
async fn with_codes_by_message_the_proxy_signs_in_as_a_user_without_them() {
    let folder = folder();
    let program = started(&["--mfa", "email", "--user", "ann"], folder.path());
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    let ended = program.ended().await;
    assert!(ended.stdout.contains("Signed in as   demo, password "), "{}", ended.stdout);
    assert!(ended.stdout.contains("answered 200 OK"), "{}", ended.stdout);
}

#[tokio::test]
async fn another_seed_gives_other_identities_and_each_seed_the_same() {
    let identity = async |seed: &str| {
        let folder = folder();
        let program = started(&["--seed", seed], folder.path());
        let line = program.stdout_line("signed it as ").await;
        program.stdout_line("Ctrl-C").await;
        program.signal("INT").await;
        program.ended().await;
        line
    };
    let first = identity("ours").await;
    assert_eq!(first, identity("ours").await);
    assert_ne!(first, identity("theirs").await);
}

#[tokio::test]
async fn a_folder_with_another_seed_is_refused() {
    let folder = folder();
    let program = started(&["--state", "state", "--seed", "ours"], folder.path());
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    program.ended().await;
    let theirs = [&STARTED[..], &["--state", "state", "--seed", "theirs"]].concat();
    let ended = beside(&theirs, folder.path()).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("the stored state has another seed"), "{}", ended.stderr);
    let program = started(&["--state", "state"], folder.path());
    program.stdout_line("Ctrl-C").await;
    program.signal("INT").await;
    program.ended().await;
}
