//! Signing in, staying signed in and signing out with the built program.
#![cfg(all(unix, feature = "sandbox"))]

mod crashes;
mod desk;
mod ends;
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod terminal;
mod tools;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use countersign::sandbox::{
    self, AppClient, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Mfa, PUBLIC_CLIENT_ID, Settings,
    User,
};
use desk::{Desk, RENEWAL, VEND, failed, send, succeeded};
use secrecy::ExposeSecret;
use serde_json::Value;
use support::{
    program::{self, Program},
    soon,
};
use tokio::{process::Command, task::yield_now};

const FOREIGN_ROLE: &str = "arn:aws:iam::123456789012:role/foreign";
const TOTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn login_stores_a_session_that_only_the_user_can_read() {
    let desk = Desk::start().await;
    let ended = program::run(desk.login_command()).await;
    succeeded(&ended);
    assert!(ended.stdout.starts_with("Signed in as demo."), "{ended:?}");
    assert_eq!(mode(&desk.session_file()), 0o600);
    assert_eq!(mode(desk.session_file().parent().expect("a folder")), 0o700);
    let session = desk.session();
    assert_eq!((&session["username"], &session["signed_in_as"]), (&"demo".into(), &"demo".into()));
    let secrets = [desk.sandbox.password().expose_secret(), session["refresh_token"].as_str().expect("one")];
    let stored = session.to_string();
    assert!(!stored.contains(secrets[0]));
    for secret in secrets {
        assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret));
    }
}

#[tokio::test]
async fn whoami_shows_user_identity_pools_and_expiry() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    let ended = desk.run(&["whoami", "--json"]).await;
    succeeded(&ended);
    let about: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let identity_id = about["identity_id"].as_str().expect("an identity").to_owned();
    let expiry = about["expiry"].as_str().expect("an expiry").to_owned();
    assert_eq!(about["user"], "demo");
    assert_eq!(about["user_pool"], desk.sandbox.user_pool_id());
    assert_eq!(about["identity_pool"], desk.sandbox.identity_pool_id());
    assert!(identity_id.starts_with("eu-west-1:"), "{about}");
    assert!(expiry.ends_with('Z'), "{about}");
    assert!(about["expires_in"].as_u64().is_some_and(|left| (3_500..=3_600).contains(&left)), "{about}");

    let ended = desk.run(&["whoami"]).await;
    succeeded(&ended);
    for (label, value) in
        [("user ", "demo"), ("identity id ", &identity_id), ("user pool ", &desk.sandbox.user_pool_id())]
    {
        let line = ended.stdout.lines().find(|line| line.starts_with(label));
        assert!(line.is_some_and(|line| line.ends_with(value)), "{label}: {ended:?}");
    }
    assert!(ended.stdout.contains("expiry"), "{ended:?}");
    assert_eq!(desk.calls("GetId"), 1, "the identity is remembered");
}

#[tokio::test]
async fn serve_and_check_use_the_stored_session_without_a_password() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    let ended = program::run(desk.proxy_command(&["check", "--online"])).await;
    succeeded(&ended);
    assert!(ended.stderr.contains("credentials obtained for demo"), "{ended:?}");

    let (proxy, url) = desk.serve(&[]).await;
    let answer = send("GET", &format!("{url}/hello"), "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["path"]), (200, &"/hello".into()));
    proxy.signal("TERM").await;
    assert_eq!(proxy.ended().await.code, Some(143));
    assert_eq!((desk.calls("InitiateAuth"), desk.calls(RENEWAL)), (0, 2));
}

#[tokio::test]
async fn a_running_proxy_takes_up_a_sign_in() {
    let desk = Desk::start().await;
    let (proxy, url) = desk.serve(&[]).await;
    proxy.stderr_line("action needed").await;
    assert_eq!(send("GET", &url, "").await.problem().1, "login-required");
    desk.sign_in().await;
    soon("the new session to be used", async {
        while send("GET", &url, "").await.status != 200 {
            yield_now().await;
        }
    })
    .await;
    assert_eq!(desk.calls(RENEWAL), 1);
}

#[tokio::test]
async fn a_session_that_does_not_help_is_used_once_until_the_next_sign_in() {
    let desk = Desk::rotating(Duration::ZERO).await;
    desk.sign_in().await;
    let (_proxy, url) = desk.serve(&[("COUNTERSIGN_CUSTOM_ROLE_ARN", FOREIGN_ROLE)]).await;
    for _ in 0..2 {
        soon("the session to be used", async {
            while desk.calls(VEND) == 0 {
                yield_now().await;
            }
        })
        .await;
        for _ in 0..50 {
            assert_eq!(send("GET", &url, "").await.problem().1, "login-required");
        }
        assert_eq!((desk.calls(RENEWAL), desk.calls(VEND)), (1, 1));
        desk.sign_in().await;
        assert_eq!(send("GET", &url, "").await.problem().1, "login-required");
    }
}

#[tokio::test]
async fn logout_revokes_the_session_and_forgets_it() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    let session = fs::read(desk.session_file()).expect("a session");
    let ended = desk.run(&["logout"]).await;
    succeeded(&ended);
    assert_eq!(ended.stdout, "Signed out demo.\n");
    assert_eq!(desk.calls("RevokeToken"), 1);
    assert!(!desk.session_file().exists());
    failed(&desk.run(&["whoami"]).await, &["sign in with `countersign login`"]);
    assert_eq!(desk.calls(RENEWAL), 0);

    fs::write(desk.session_file(), session).expect("written");
    fs::set_permissions(desk.session_file(), fs::Permissions::from_mode(0o600)).expect("ours");
    failed(&desk.run(&["whoami"]).await, &["sign in again with `countersign login`"]);
    assert_eq!(desk.calls(RENEWAL), 1, "the pool refuses the token");

    let ended = desk.run(&["logout"]).await;
    succeeded(&ended);
}

#[tokio::test]
async fn logout_forgets_the_session_even_when_the_pool_is_out_of_reach() {
    let desk = Desk::start().await;
    succeeded(&desk.run(&["logout"]).await);
    desk.sign_in().await;
    desk.sandbox.stop(sandbox::Service::UserPool).await;
    failed(&desk.run(&["logout"]).await, &["signed out here", "has not revoked"]);
    assert!(!desk.session_file().exists());
    let ended = desk.run(&["logout"]).await;
    succeeded(&ended);
    assert_eq!(ended.stdout, "Nobody was signed in.\n");
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_and_explained() {
    let desk = Desk::start().await;
    let mut command = desk.login_command();
    command.env("COUNTERSIGN_PASSWORD", "Wrong-password-1");
    let ended = program::run(command).await;
    failed(&ended, &["sign-in failed", "Incorrect username or password", "not tried again"]);
    assert!(!ended.stderr.contains("Wrong-password-1"), "{ended:?}");
    assert_eq!(desk.calls("InitiateAuth"), 1);
    assert!(!desk.session_file().exists());

    let mut command = desk.proxy_command(&["check", "--online"]);
    command.env("COUNTERSIGN_USERNAME", "demo").env("COUNTERSIGN_PASSWORD", "Wrong-password-1");
    let ended = program::run(command).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("check username and password"), "{ended:?}");
    assert_eq!(desk.calls("InitiateAuth"), 2);
}

#[tokio::test]
async fn a_session_that_others_may_read_is_refused_until_it_is_private() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    let set_mode = |mode| {
        fs::set_permissions(desk.session_file(), fs::Permissions::from_mode(mode)).expect("ours");
    };
    set_mode(0o644);
    failed(&desk.run(&["whoami"]).await, &["others may read the session", "chmod 600"]);
    let (proxy, url) = desk.serve(&[]).await;
    proxy.stderr_line("action needed").await;
    assert_eq!(send("GET", &url, "").await.problem().1, "login-required");
    assert_eq!(desk.calls(RENEWAL), 0);
    set_mode(0o600);
    soon("the session to be used", async {
        while send("GET", &url, "").await.status != 200 {
            yield_now().await;
        }
    })
    .await;
    succeeded(&desk.run(&["whoami"]).await);

    set_mode(0o640);
    succeeded(&program::run(desk.login_command()).await);
    assert_eq!(mode(&desk.session_file()), 0o600, "a sign-in replaces it");
}

#[tokio::test]
async fn a_damaged_session_counts_as_absent() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    let whole = fs::read(desk.session_file()).expect("a session");
    for damage in [&whole[..whole.len() / 2], b"", b"{\"version\": 99}"] {
        fs::write(desk.session_file(), damage).expect("written");
        failed(
            &desk.run(&["whoami"]).await,
            &["stored session is damaged", "sign in with `countersign login`"],
        );
    }
    assert_eq!(desk.sandbox.calls().total(), 0);
    desk.sign_in().await;
    succeeded(&desk.run(&["whoami"]).await);
}

#[tokio::test]
async fn an_app_client_with_a_secret_signs_in_stays_and_leaves() {
    let desk = Desk::with(Settings::default(), CONFIDENTIAL_CLIENT_ID).await;
    failed(&program::run(desk.login_command()).await, &["client-secret-file"]);
    let file = desk.folder.path().join("client-secret");
    fs::write(&file, format!("{CONFIDENTIAL_CLIENT_SECRET}\n")).expect("written");
    let with_secret = |mut command: Command| {
        command.env("COUNTERSIGN_CLIENT_SECRET_FILE", &file);
        command
    };
    succeeded(&program::run(with_secret(desk.login_command())).await);
    succeeded(&program::run(with_secret(desk.command(&["whoami"]))).await);
    succeeded(&program::run(with_secret(desk.command(&["logout"]))).await);
    assert_eq!((desk.calls(RENEWAL), desk.calls("RevokeToken")), (1, 1));
}

#[tokio::test]
async fn an_authenticators_secret_stands_in_for_its_owner() {
    let demo = User {
        mfa: vec![Mfa::Sms, Mfa::Authenticator { secret: TOTP_SECRET.into() }],
        ..User::new("demo", "Sandbox-password-1")
    };
    let desk = Desk::with(Settings { users: vec![demo], ..Settings::default() }, PUBLIC_CLIENT_ID).await;
    let mut command = desk.login_command();
    command.env("COUNTERSIGN_TOTP_SECRET", TOTP_SECRET.to_ascii_lowercase());
    succeeded(&program::run(command).await);
    succeeded(&desk.run(&["whoami"]).await);
}

#[tokio::test]
async fn no_command_logs_a_secret_at_any_level() {
    let client = AppClient {
        secret: Some(CONFIDENTIAL_CLIENT_SECRET.into()),
        rotation: Some(Duration::ZERO),
        ..AppClient::new(CONFIDENTIAL_CLIENT_ID)
    };
    let demo = User {
        mfa: vec![Mfa::Authenticator { secret: TOTP_SECRET.into() }],
        ..User::new("demo", "Sandbox-password-1")
    };
    let settings = Settings { users: vec![demo], clients: vec![client], ..Settings::default() };
    let desk = Desk::with(settings, CONFIDENTIAL_CLIENT_ID).await;
    let verbose = |mut command: Command| {
        command
            .env("COUNTERSIGN_CLIENT_SECRET", CONFIDENTIAL_CLIENT_SECRET)
            .env("COUNTERSIGN_TOTP_SECRET", TOTP_SECRET)
            .env("COUNTERSIGN_LOG_LEVEL", "trace")
            .env("RUST_LOG", "trace");
        command
    };
    // How JSON Web Tokens and the sandbox's session tokens begin.
    let mut secrets = vec!["eyJ".to_owned(), "IQoJb3JpZ2lu".to_owned()];
    secrets.extend(["Sandbox-password-1", CONFIDENTIAL_CLIENT_SECRET, TOTP_SECRET].map(str::to_owned));
    let mut said = String::new();
    for command in [
        desk.login_command(),
        desk.command(&["whoami", "--json"]),
        desk.proxy_command(&["check", "--online"]),
        desk.proxy_command(&["exec", "--", "/bin/sh", "-c", "exit 0"]),
        desk.command(&["logout"]),
    ] {
        let ended = program::run(verbose(command)).await;
        succeeded(&ended);
        let log = ended.stderr.to_lowercase();
        assert!(log.contains("trace") || log.contains("debug"), "{ended:?}");
        said += &(ended.stdout + &ended.stderr);
        if desk.session_file().exists() {
            let token = desk.session()["refresh_token"].as_str().expect("a token").to_owned();
            secrets.push(token);
        }
    }
    assert!(secrets.len() >= 8);
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret} was said");
    }
}

#[tokio::test]
async fn login_in_a_browser_stores_the_session_too() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let client = AppClient {
        redirect_uris: vec![format!("http://localhost:{port}/callback")],
        ..AppClient::new(PUBLIC_CLIENT_ID)
    };
    let desk = Desk::with(Settings { clients: vec![client], ..Settings::default() }, PUBLIC_CLIENT_ID).await;
    let mut command = desk.command(&["login", "--browser"]);
    command.env("COUNTERSIGN_DOMAIN", &desk.user_pool).env("COUNTERSIGN_REDIRECT_PORT", port.to_string());
    let login = Program::start(command);
    let page = login.stderr_line("/oauth2/authorize?").await;
    let page = page.trim();
    assert_eq!(send("GET", page, "").await.status, 200);
    let form = format!("username=demo&password={}", desk.sandbox.password().expose_secret());
    let redirect = send("POST", &page.replace("/oauth2/authorize?", "/login?"), &form).await;
    let last_page = send("GET", redirect.header("location"), "").await;
    assert_eq!(last_page.status, 200, "{last_page:?}");
    let ended = login.ended().await;
    succeeded(&ended);
    assert!(ended.stdout.starts_with("Signed in as demo."), "{ended:?}");
    succeeded(&desk.run(&["whoami"]).await);
}

#[tokio::test]
async fn login_in_a_browser_says_that_it_needs_the_pools_domain() {
    let desk = Desk::start().await;
    failed(&desk.run(&["login", "--browser"]).await, &["domain"]);
}
