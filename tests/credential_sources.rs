//! Whose credentials sign: users, guests, tokens of others, roles of one's choice, the SDK's chain.
#![cfg(feature = "sandbox")]

mod support;

use std::{path::Path, time::Duration};

use countersign::{
    app,
    credentials::{self, IdentityPool, Login, RoleChoice},
    sandbox::{self, Fault, Sandbox, Settings, User},
};
use support::{
    Proxy, Running, Setup, WrongClock,
    program::{self, Program},
    soon, start,
};
use tokio::task::{JoinSet, yield_now};

const VEND: &str = "GetCredentialsForIdentity";
const PROVIDER: &str = "accounts.example.com";
const HOUR: i64 = 3600;

/// Whom the API takes the next request for: the role's ARN, and the identity.
async fn signed_as(proxy: &Proxy) -> (String, String) {
    let answer = proxy.get("/x").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let identity = answer.json()["requestContext"]["identity"].clone();
    let text = |name: &str| identity[name].as_str().unwrap_or_default().to_owned();
    (text("userArn"), text("cognitoIdentityId"))
}

/// Waits until requests can be signed.
async fn usable(proxy: &Proxy) {
    soon("credentials", async {
        while !proxy.credentials.is_usable() {
            if proxy.get("/x").await.status != 200 {
                yield_now().await;
            }
        }
    })
    .await;
}

/// Requests ask for a sign-in, and however many there are, AWS is not asked again.
async fn asks_for_a_person(running: &Running, words: &str) {
    let mut credentials = running.proxy.credentials.clone();
    soon("a failure", async {
        while credentials.state().problem.is_none() {
            credentials.changed().await;
        }
    })
    .await;
    let calls = running.sandbox.calls().total();
    for _ in 0..50 {
        let answer = running.proxy.get("/x").await;
        assert_eq!(answer.problem().1, "login-required", "{}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    assert_eq!(running.sandbox.calls().total(), calls, "AWS is asked again and again");
    assert!(running.sandbox.requests().is_empty());
}

fn pool(settings: &mut app::Settings) -> &mut IdentityPool {
    match &mut settings.credentials {
        credentials::Settings::Cognito(cognito) => &mut cognito.identity_pool,
        _ => panic!("not Cognito"),
    }
}

fn as_guest(settings: &mut app::Settings) {
    settings.credentials = credentials::Settings::Guest { identity_pool: pool(settings).clone() };
}

fn with_token_file(settings: &mut app::Settings, path: &Path, login_provider: Option<&str>) {
    let credentials::Settings::Cognito(cognito) = &mut settings.credentials else { panic!("not Cognito") };
    let login_provider = login_provider.map(str::to_owned);
    cognito.login = Login::IdTokenFile { path: path.to_owned(), login_provider };
}

/// A token of another provider for `subject`, good for an hour.
fn token(sandbox: &Sandbox, subject: &str) -> String {
    sandbox.id_token(&format!("https://{PROVIDER}"), "an-app", subject, Duration::from_secs(3600))
}

fn takes_other_tokens(settings: &mut Settings) {
    settings.openid_providers = vec![PROVIDER.to_owned()];
}

#[tokio::test]
async fn a_deleted_identity_is_looked_up_again() {
    let running = start().await;
    let (_, identity_id) = signed_as(&running.proxy).await;
    running.sandbox.delete_identity(&identity_id);
    running.sandbox.invalidate_credentials();
    let (_, successor) = signed_as(&running.proxy).await;
    assert_ne!(successor, identity_id);
    assert_eq!(running.sandbox.calls().count("GetId"), 2);
}

#[tokio::test]
async fn guests_sign_as_the_role_of_guests() {
    let running = Setup::new().proxy(as_guest).start().await;
    let (arn, identity_id) = signed_as(&running.proxy).await;
    assert!(arn.contains("assumed-role/sandbox-unauthenticated/"), "{arn}");
    running.sandbox.expire_credentials();
    assert_eq!(signed_as(&running.proxy).await.1, identity_id, "a guest stays the same guest");
    assert_eq!(running.sandbox.calls().count("InitiateAuth"), 0);
}

#[tokio::test]
async fn a_pool_without_guests_is_reported() {
    let running = Setup::new()
        .sandbox(|sandbox| sandbox.guests = false)
        .proxy(as_guest)
        .without_waiting()
        .start()
        .await;
    asks_for_a_person(&running, "Allow guests in the identity pool").await;
}

#[tokio::test]
async fn the_classic_flow_signs_as_the_chosen_role() {
    let role = "arn:aws:iam::123456789012:role/chosen";
    let running = Setup::new()
        .proxy(move |settings| {
            let pool = pool(settings);
            pool.role =
                RoleChoice::Classic { role_arn: role.to_owned(), sts_endpoint: pool.endpoint.clone() };
        })
        .start()
        .await;
    let (arn, _) = signed_as(&running.proxy).await;
    assert!(arn.contains("assumed-role/chosen/"), "{arn}");
    assert_eq!(running.sandbox.calls().count("AssumeRoleWithWebIdentity"), 1);
    assert_eq!(running.sandbox.calls().count(VEND), 0);
    running.sandbox.expire_credentials();
    signed_as(&running.proxy).await;
    assert_eq!(running.sandbox.calls().count("AssumeRoleWithWebIdentity"), 2);
}

#[tokio::test]
async fn a_page_in_place_of_an_sts_answer_is_logged_and_transient() {
    let running = Setup::new()
        .proxy(|settings| {
            let pool = pool(settings);
            let role_arn = "arn:aws:iam::123456789012:role/chosen".to_owned();
            pool.role = RoleChoice::Classic { role_arn, sts_endpoint: pool.endpoint.clone() };
        })
        .faults(|faults| {
            faults.next("AssumeRoleWithWebIdentity", 1, Fault::Page(403, "Blocked by ACME".to_owned()));
        })
        .without_waiting()
        .start()
        .await;
    let mut credentials = running.proxy.credentials.clone();
    soon("a failure", async {
        while credentials.state().problem.is_none() {
            credentials.changed().await;
        }
    })
    .await;
    let problem = credentials.state().problem.expect("a problem");
    assert_eq!(problem.remedy, None);
    assert!(
        problem.message.contains("HTTP 403 and a page titled \"Blocked by ACME\""),
        "{}",
        problem.message
    );
    soon("recovery", async {
        while credentials.valid().await.is_err() {
            credentials.changed().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_pool_without_the_classic_flow_is_reported() {
    let running = Setup::new()
        .sandbox(|sandbox| sandbox.classic_flow = false)
        .proxy(|settings| {
            let pool = pool(settings);
            let role_arn = "arn:aws:iam::123456789012:role/chosen".to_owned();
            pool.role = RoleChoice::Classic { role_arn, sts_endpoint: pool.endpoint.clone() };
        })
        .without_waiting()
        .start()
        .await;
    asks_for_a_person(&running, "classic-flow-role-arn").await;
}

#[tokio::test]
async fn a_custom_role_must_be_one_of_the_users() {
    let roles = ["preferred", "other"].map(|name| format!("arn:aws:iam::123456789012:role/{name}"));
    let with_roles = |role: &str| {
        let user = User { roles: roles.to_vec(), ..User::new("demo", "Sandbox-password-1") };
        let role = RoleChoice::Custom(role.to_owned());
        let setup = Setup::new().sandbox(|sandbox| sandbox.users = vec![user]);
        setup.proxy(move |settings| pool(settings).role = role)
    };
    let running = with_roles(&roles[1]).start().await;
    let (arn, _) = signed_as(&running.proxy).await;
    assert!(arn.contains("assumed-role/other/"), "{arn}");

    let running = with_roles("arn:aws:iam::123456789012:role/foreign").without_waiting().start().await;
    asks_for_a_person(&running, "Check custom-role-arn").await;
}

#[tokio::test]
async fn a_token_file_is_read_again_for_each_refresh() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let file = path.clone();
    let running = Setup::new()
        .sandbox(takes_other_tokens)
        .proxy(move |settings| with_token_file(settings, &file, None))
        .without_waiting()
        .start()
        .await;
    assert_eq!(running.proxy.get("/x").await.problem().1, "credentials-unavailable");

    std::fs::write(&path, token(&running.sandbox, "ada") + "\n").expect("written");
    usable(&running.proxy).await;
    let (_, ada) = signed_as(&running.proxy).await;
    std::fs::write(&path, token(&running.sandbox, "grace")).expect("written");
    running.sandbox.expire_credentials();
    let (_, grace) = signed_as(&running.proxy).await;
    assert_ne!(ada, grace);
    assert_eq!(running.sandbox.calls().count("InitiateAuth"), 0);
}

#[tokio::test]
async fn a_token_that_has_expired_is_waited_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let file = path.clone();
    let clock = WrongClock::default();
    let shared = clock.clock();
    let running = Setup::new()
        .sandbox(takes_other_tokens)
        .proxy(move |settings| with_token_file(settings, &file, None))
        .clock(shared)
        .without_waiting()
        .start()
        .await;
    let issuer = format!("https://{PROVIDER}");
    let brief = running.sandbox.id_token(&issuer, "an-app", "ada", Duration::ZERO);
    std::fs::write(&path, brief).expect("written");
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem().1, "credentials-unavailable", "{}", answer.text());
    assert_eq!(running.sandbox.calls().total(), 0, "an expired token is not sent");
    std::fs::write(&path, token(&running.sandbox, "ada")).expect("written");
    usable(&running.proxy).await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_sent_once_until_the_file_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "not a token of anybody").expect("written");
    let file = path.clone();
    let running = Setup::new()
        .sandbox(takes_other_tokens)
        .proxy(move |settings| with_token_file(settings, &file, Some("unknown.example.com")))
        .without_waiting()
        .start()
        .await;
    asks_for_a_person(&running, "login providers").await;
    let calls = running.sandbox.calls().total();
    std::fs::write(&path, "another one").expect("written");
    soon("the new token to be sent", async {
        while running.sandbox.calls().total() == calls {
            assert_eq!(running.proxy.get("/x").await.problem().1, "login-required");
        }
    })
    .await;
}

#[tokio::test]
async fn a_login_provider_overrides_the_tokens_issuer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let running = |provider: &'static str| {
        let path = path.clone();
        Setup::new()
            .sandbox(takes_other_tokens)
            .proxy(move |settings| with_token_file(settings, &path, Some(provider)))
            .without_waiting()
            .start()
    };
    let right = running(PROVIDER).await;
    std::fs::write(&path, token(&right.sandbox, "ada")).expect("written");
    usable(&right.proxy).await;
    signed_as(&right.proxy).await;

    let wrong = running("login.example.com").await;
    asks_for_a_person(&wrong, "login providers").await;
}

/// A running `serve` with `credentials = aws`, and its URL.
async fn serve_with_the_chain(sandbox: &Sandbox, variables: &[(&str, &str)]) -> (Program, String) {
    let mut command = program::command(&[
        "serve",
        "--credentials",
        "aws",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "off",
    ]);
    command
        .env("COUNTERSIGN_UPSTREAM", sandbox.api_url())
        .env("COUNTERSIGN_REGION", sandbox.region())
        .env("COUNTERSIGN_SERVICE", "execute-api")
        .env("COUNTERSIGN_LOG_FORMAT", "json")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied());
    let proxy = Program::start(command);
    let url = proxy.logged("starting", "url").await;
    (proxy, url)
}

async fn status(url: &str) -> u16 {
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
    let mut connection = support::Connection::open(address).await;
    connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    connection.answer().await.0.status
}

#[tokio::test]
async fn the_chain_finds_keys_in_variables() {
    let sandbox = sandbox::start(Settings::default()).await.expect("free ports");
    let keys = sandbox.issue_credentials(Duration::from_secs(3600));
    let mut variables = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key()),
        ("AWS_SESSION_TOKEN", keys.session_token().expect("temporary")),
    ];
    let (_proxy, url) = serve_with_the_chain(&sandbox, &variables).await;
    assert_eq!(status(&url).await, 200);
    variables[1].1 = "tampered";
    let (_proxy, url) = serve_with_the_chain(&sandbox, &variables).await;
    assert_eq!(status(&url).await, 403);
}

#[tokio::test]
async fn the_chain_finds_keys_in_a_profile() {
    let sandbox = sandbox::start(Settings::default()).await.expect("free ports");
    let keys = sandbox.issue_credentials(Duration::from_secs(3600));
    let folder = tempfile::tempdir().expect("a folder");
    let (config, credentials) = (folder.path().join("config"), folder.path().join("credentials"));
    std::fs::write(&config, "[profile work]\nregion = eu-west-1\n").expect("written");
    let profile = format!(
        "[work]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        keys.access_key_id(),
        keys.secret_access_key(),
        keys.session_token().expect("temporary"),
    );
    std::fs::write(&credentials, profile).expect("written");
    let variables = [
        ("AWS_PROFILE", "work"),
        ("AWS_CONFIG_FILE", config.to_str().expect("text")),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().expect("text")),
    ];
    let (_proxy, url) = serve_with_the_chain(&sandbox, &variables).await;
    assert_eq!(status(&url).await, 200);
}

#[tokio::test]
async fn a_chain_that_finds_nothing_says_what_to_do() {
    let sandbox = sandbox::start(Settings::default()).await.expect("free ports");
    let (proxy, url) = serve_with_the_chain(&sandbox, &[]).await;
    let line = proxy.stderr_line("action needed").await;
    assert!(line.contains("aws sso login"), "{line}");
    assert_eq!(status(&url).await, 503);
    assert!(sandbox.requests().is_empty());
}

/// A proxy and a sandbox that share a clock which the test moves.
async fn with_clock(clock: &WrongClock, change: impl FnOnce(&mut Settings)) -> Running {
    let (sandbox, proxy) = (clock.clock(), clock.clock());
    let setup = Setup::new().sandbox(|settings| settings.clock = sandbox).sandbox(change);
    setup.clock(proxy).start().await
}

#[tokio::test]
async fn requests_at_the_moment_of_expiry_cause_one_call() {
    let clock = WrongClock::default();
    let running = with_clock(&clock, |settings| settings.token_lifetime = Duration::from_secs(86_400)).await;
    let mut requests = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..200 {
        connections.push(running.proxy.connect().await);
    }
    running.sandbox.faults().next(VEND, 1, Fault::Delay(Duration::from_millis(500)));
    clock.set(HOUR);
    for mut connection in connections {
        requests.spawn(async move {
            connection.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            connection.answer().await.0.status
        });
    }
    assert!(requests.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(running.sandbox.calls().count(VEND), 2);
    assert_eq!(running.sandbox.calls().count("GetId"), 1);
}

#[tokio::test]
async fn an_hour_without_cognito_fails_no_request_and_its_return_ends_an_outage() {
    let clock = WrongClock::default();
    let running =
        with_clock(&clock, |settings| settings.credentials_lifetime = Duration::from_secs(7200)).await;
    for service in [sandbox::Service::UserPool, sandbox::Service::IdentityPool] {
        running.sandbox.stop(service).await;
    }
    for minute in (0..120).step_by(5) {
        clock.set(minute * 60);
        signed_as(&running.proxy).await;
    }
    clock.set(2 * HOUR);
    assert_eq!(running.proxy.get("/x").await.problem().1, "credentials-unavailable");
    for service in [sandbox::Service::UserPool, sandbox::Service::IdentityPool] {
        running.sandbox.restart(service).await.expect("its port");
    }
    usable(&running.proxy).await;
    signed_as(&running.proxy).await;
}
