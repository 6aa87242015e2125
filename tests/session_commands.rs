//! Signing in, staying signed in and signing out with the built program.
#![cfg(all(unix, feature = "sandbox"))]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use countersign::sandbox::{
    self, AppClient, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Mfa, PUBLIC_CLIENT_ID,
    ROTATING_CLIENT_ID, Sandbox, Settings, User,
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use secrecy::ExposeSecret;
use serde_json::Value;
use support::{
    Answer,
    http::{self, request},
    program::{self, Ended, Program},
    soon,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Notify,
    task::{JoinSet, yield_now},
};

const RENEWAL: &str = "GetTokensFromRefreshToken";
const VEND: &str = "GetCredentialsForIdentity";
const FOREIGN_ROLE: &str = "arn:aws:iam::123456789012:role/foreign";
const TOTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// A user's machine: a folder for settings and sessions, and a sandbox to sign in at.
struct Desk {
    sandbox: Sandbox,
    folder: TempDir,
    client_id: &'static str,
    user_pool: String,
}

impl Desk {
    async fn start() -> Self {
        Self::with(Settings::default(), PUBLIC_CLIENT_ID).await
    }

    async fn with(settings: Settings, client_id: &'static str) -> Self {
        let sandbox = sandbox::start(settings).await.expect("free ports");
        let user_pool = sandbox.user_pool_endpoint();
        Self { sandbox, folder: tempfile::tempdir().expect("a folder"), client_id, user_pool }
    }

    /// A desk whose app client rotates refresh tokens and takes the one before for `grace`.
    async fn rotating(grace: Duration) -> Self {
        let client = AppClient { rotation: Some(grace), ..AppClient::new(ROTATING_CLIENT_ID) };
        Self::with(Settings { clients: vec![client], ..Settings::default() }, ROTATING_CLIENT_ID).await
    }

    /// A command without a password.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::command(arguments);
        self.configure(&mut command);
        command
    }

    fn configure(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &self.user_pool)
            .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY", self.sandbox.identity_pool_endpoint())
            .env("COUNTERSIGN_USER_POOL_ID", self.sandbox.user_pool_id())
            .env("COUNTERSIGN_CLIENT_ID", self.client_id)
            .env("COUNTERSIGN_IDENTITY_POOL_ID", self.sandbox.identity_pool_id())
            .env("XDG_STATE_HOME", self.folder.path())
            .current_dir(self.folder.path());
    }

    /// As [`Desk::command`], for the commands that need an upstream.
    fn proxy_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command
            .env("COUNTERSIGN_UPSTREAM", self.sandbox.api_url())
            .env("COUNTERSIGN_REGION", self.sandbox.region())
            .env("COUNTERSIGN_SERVICE", "execute-api");
        command
    }

    fn login_command(&self) -> Command {
        let mut command = self.command(&["login"]);
        command
            .env("COUNTERSIGN_USERNAME", self.sandbox.username())
            .env("COUNTERSIGN_PASSWORD", self.sandbox.password().expose_secret());
        command
    }

    /// A running proxy and its URL.
    async fn serve(&self, variables: &[(&str, &str)]) -> (Program, String) {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"];
        let mut command = self.proxy_command(&arguments);
        command.env("COUNTERSIGN_LOG_FORMAT", "json").envs(variables.iter().copied());
        let proxy = Program::start(command);
        let url = proxy.logged("starting", "url").await;
        (proxy, url)
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        program::run(self.command(arguments)).await
    }

    /// Signs in, and counts calls from there.
    async fn sign_in(&self) {
        succeeded(&program::run(self.login_command()).await);
        self.sandbox.calls().clear();
    }

    fn session_file(&self) -> PathBuf {
        let name = format!("{}@{}.json", self.sandbox.user_pool_id(), self.client_id);
        self.folder.path().join("countersign").join(name)
    }

    fn session(&self) -> Value {
        serde_json::from_slice(&fs::read(self.session_file()).expect("a session")).expect("a whole session")
    }

    fn calls(&self, operation: &str) -> u64 {
        self.sandbox.calls().count(operation)
    }
}

#[track_caller]
fn succeeded(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// The program has failed, and said each of `words`.
#[track_caller]
fn failed(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in {ended:?}");
    }
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// One request to a local address, named by its URL.
async fn send(method: &str, url: &str, body: &str) -> Answer {
    let url: ::http::Uri = url.parse().expect("a URL");
    let authority = url.authority().expect("an address").to_string();
    let address = authority.replace("localhost", "127.0.0.1").parse().expect("an address");
    let mut request = request(method, &url.to_string(), body.to_owned());
    request.headers_mut().insert("host", authority.parse().expect("a host"));
    let form = "application/x-www-form-urlencoded".parse().expect("a media type");
    request.headers_mut().insert("content-type", form);
    http::exchange(&Client::builder(TokioExecutor::new()).build_http(), address, request).await
}

#[tokio::test]
async fn login_stores_a_session_that_nobody_else_may_read() {
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
    proxy.stderr_line("until somebody acts").await;
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
    failed(&desk.run(&["whoami"]).await, &["sign in with `countersign login`"]);
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

/// A session of its own leaves the terminal behind that the tests may have been started at.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_terminal_login_says_which_settings_would_do() {
    let desk = Desk::start().await;
    for (username, words) in
        [(None, ["user name", "set username"]), (Some("demo"), ["password", "password-file"])]
    {
        let mut command = Command::new("setsid");
        command.args([env!("CARGO_BIN_EXE_countersign"), "login"]).env_clear().env("PATH", "/usr/bin:/bin");
        command.stdin(std::process::Stdio::null()).envs(username.map(|name| ("COUNTERSIGN_USERNAME", name)));
        desk.configure(&mut command);
        failed(&program::run(command).await, &words);
    }
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
    proxy.stderr_line("until somebody acts").await;
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

/// Stands before the user pool and, when told so, keeps the answers for itself.
struct Relay {
    url: String,
    keeps: Arc<AtomicBool>,
    kept: Arc<Notify>,
    _connections: JoinSet<()>,
}

impl Relay {
    async fn before(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (keeps, kept, mut connections) = (Arc::default(), Arc::default(), JoinSet::new());
        let (told, tells) = (Arc::clone(&keeps), Arc::clone(&kept));
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&upstream).await.expect("the user pool");
                connections.spawn(relay(client, upstream, Arc::clone(&told), Arc::clone(&tells)));
            }
        });
        Self { url, keeps, kept, _connections: connections }
    }
}

async fn relay(mut client: TcpStream, mut upstream: TcpStream, keeps: Arc<AtomicBool>, kept: Arc<Notify>) {
    if !keeps.load(Ordering::SeqCst) {
        // A connection that breaks is the business of its two ends.
        let _ = copy_bidirectional(&mut client, &mut upstream).await;
        return;
    }
    let (mut from_client, _to_client) = client.split();
    let (mut answer, mut to_upstream) = upstream.split();
    let mut first = [0];
    tokio::select! {
        _ = copy(&mut from_client, &mut to_upstream) => {}
        _ = answer.read(&mut first) => kept.notify_one(),
    }
    std::future::pending::<()>().await;
}

/// Kills `whoami` after the pool has rotated the refresh token, before it hears of the new one.
async fn lose_a_rotated_token(desk: &mut Desk) {
    let relay = Relay::before(&desk.user_pool).await;
    let direct = std::mem::replace(&mut desk.user_pool, relay.url.clone());
    relay.keeps.store(true, Ordering::SeqCst);
    let before = desk.session();
    let whoami = Program::start(desk.command(&["whoami"]));
    soon("the answer", relay.kept.notified()).await;
    whoami.signal("KILL").await;
    assert_eq!(whoami.ended().await.code, None);
    assert_eq!(desk.session(), before);
    desk.user_pool = direct;
}

#[tokio::test]
async fn an_answer_that_a_crash_has_lost_is_asked_for_again_within_the_grace_period() {
    let mut desk = Desk::rotating(Duration::from_secs(60)).await;
    desk.sign_in().await;
    let before = desk.session();
    lose_a_rotated_token(&mut desk).await;
    succeeded(&desk.run(&["whoami"]).await);
    assert_ne!(desk.session()["refresh_token"], before["refresh_token"]);
    succeeded(&desk.run(&["whoami"]).await);
    assert_eq!(desk.calls("InitiateAuth"), 0);
}

#[tokio::test]
async fn a_refresh_token_that_a_crash_has_lost_for_good_asks_for_a_sign_in() {
    let mut desk = Desk::rotating(Duration::ZERO).await;
    desk.sign_in().await;
    lose_a_rotated_token(&mut desk).await;
    for _ in 0..2 {
        failed(&desk.run(&["whoami"]).await, &["sign in with `countersign login`"]);
    }
    assert_eq!(desk.calls(RENEWAL), 2, "a token that was refused is not tried again");
    desk.sign_in().await;
    succeeded(&desk.run(&["whoami"]).await);
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_stored_is_used_and_reported() {
    let desk = Desk::rotating(Duration::from_secs(60)).await;
    desk.sign_in().await;
    let before = desk.session();
    let obstacle = desk.session_file().with_extension("new");
    fs::create_dir_all(obstacle.join("in the way")).expect("a folder");
    let ended = desk.run(&["whoami"]).await;
    succeeded(&ended);
    assert!(ended.stderr.contains("new refresh token cannot be stored"), "{ended:?}");
    assert_eq!(desk.session(), before);
    fs::remove_dir_all(&obstacle).expect("removed");
    fs::write(&obstacle, "{\"version\": 1, \"refresh_to").expect("half a file, as a crash leaves it");
    succeeded(&desk.run(&["whoami"]).await);
    assert_ne!(desk.session()["refresh_token"], before["refresh_token"]);
    assert!(!obstacle.exists());
}

#[tokio::test]
async fn a_kill_at_any_moment_of_a_renewal_leaves_a_whole_session() {
    let desk = Desk::rotating(Duration::from_secs(60)).await;
    desk.sign_in().await;
    for round in 0..8 {
        let asked = desk.calls(RENEWAL);
        let whoami = Program::start(desk.command(&["whoami"]));
        soon("the renewal to begin", async {
            while desk.calls(RENEWAL) == asked {
                yield_now().await;
            }
        })
        .await;
        // Each round leaves the program a little more time.
        for _ in 0..round * 200 {
            yield_now().await;
        }
        whoami.signal("KILL").await;
        whoami.ended().await;
        assert!(desk.session()["refresh_token"].is_string());
    }
    succeeded(&desk.run(&["whoami"]).await);
}
