//! A user's machine: where the program keeps its session, and a sandbox to sign in at.

use std::{fs, path::PathBuf, time::Duration};

use countersign::sandbox::{self, AppClient, PUBLIC_CLIENT_ID, ROTATING_CLIENT_ID, Sandbox, Settings};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{
    Answer,
    http::{self, request},
    program::{self, Ended, Program},
};

pub(crate) const RENEWAL: &str = "GetTokensFromRefreshToken";
pub(crate) const VEND: &str = "GetCredentialsForIdentity";

/// A user's machine: a folder for settings and sessions, and a sandbox to sign in at.
pub(crate) struct Desk {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: TempDir,
    client_id: &'static str,
    /// Where the program finds the user pool.
    pub(crate) user_pool: String,
}

impl Desk {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default(), PUBLIC_CLIENT_ID).await
    }

    pub(crate) async fn with(settings: Settings, client_id: &'static str) -> Self {
        let sandbox = sandbox::start(settings).await.expect("free ports");
        let user_pool = sandbox.user_pool_endpoint();
        Self { sandbox, folder: tempfile::tempdir().expect("a folder"), client_id, user_pool }
    }

    /// A desk whose app client rotates refresh tokens and takes the one before for `grace`.
    pub(crate) async fn rotating(grace: Duration) -> Self {
        let client = AppClient { rotation: Some(grace), ..AppClient::new(ROTATING_CLIENT_ID) };
        Self::with(Settings { clients: vec![client], ..Settings::default() }, ROTATING_CLIENT_ID).await
    }

    /// A command without a password.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::command(arguments);
        self.configure(&mut command);
        command
    }

    pub(crate) fn configure(&self, command: &mut Command) {
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
    pub(crate) fn proxy_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command
            .env("COUNTERSIGN_UPSTREAM", self.sandbox.api_url())
            .env("COUNTERSIGN_REGION", self.sandbox.region())
            .env("COUNTERSIGN_SERVICE", "execute-api");
        command
    }

    pub(crate) fn login_command(&self) -> Command {
        let mut command = self.command(&["login"]);
        command
            .env("COUNTERSIGN_USERNAME", self.sandbox.username())
            .env("COUNTERSIGN_PASSWORD", self.sandbox.password().expose_secret());
        command
    }

    /// A running proxy and its URL.
    pub(crate) async fn serve(&self, variables: &[(&str, &str)]) -> (Program, String) {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"];
        let mut command = self.proxy_command(&arguments);
        command.env("COUNTERSIGN_LOG_FORMAT", "json").envs(variables.iter().copied());
        let proxy = Program::start(command);
        let url = proxy.logged("starting", "url").await;
        (proxy, url)
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        program::run(self.command(arguments)).await
    }

    /// Signs in, and counts calls from there.
    pub(crate) async fn sign_in(&self) {
        succeeded(&program::run(self.login_command()).await);
        self.sandbox.calls().clear();
    }

    pub(crate) fn session_file(&self) -> PathBuf {
        let name = format!("{}@{}.json", self.sandbox.user_pool_id(), self.client_id);
        self.folder.path().join("countersign").join(name)
    }

    pub(crate) fn session(&self) -> Value {
        serde_json::from_slice(&fs::read(self.session_file()).expect("a session")).expect("a whole session")
    }

    pub(crate) fn calls(&self, operation: &str) -> u64 {
        self.sandbox.calls().count(operation)
    }
}

#[track_caller]
pub(crate) fn succeeded(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// The program has failed, and said each of `words`.
#[track_caller]
pub(crate) fn failed(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in {ended:?}");
    }
}

/// One request to a local address, named by its URL.
pub(crate) async fn send(method: &str, url: &str, body: &str) -> Answer {
    let url: ::http::Uri = url.parse().expect("a URL");
    let authority = url.authority().expect("an address").to_string();
    let address = authority.replace("localhost", "127.0.0.1").parse().expect("an address");
    let mut request = request(method, &url.to_string(), body.to_owned());
    request.headers_mut().insert("host", authority.parse().expect("a host"));
    let form = "application/x-www-form-urlencoded".parse().expect("a media type");
    request.headers_mut().insert("content-type", form);
    http::exchange(&Client::builder(TokioExecutor::new()).build_http(), address, request).await
}
