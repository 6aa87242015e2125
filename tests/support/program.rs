//! The built program, its output and its end.

use std::{
    fs::Permissions,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use countersign::sandbox::{self, Sandbox};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::Notify,
    task::JoinSet,
};

use super::{
    http::{Connection, Head},
    soon,
};

/// A sandbox as it is by default.
pub(crate) async fn sandbox() -> Sandbox {
    sandbox::start(sandbox::Settings::default()).await.expect("free ports")
}

/// A folder that is removed in the end.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The address that a URL of the program names.
pub(crate) fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().expect("an address")
}

/// The answer to a GET over a connection of its own.
pub(crate) async fn ask(url: &str, path: &str) -> (Head, String) {
    ask_over(&mut Connection::open(address(url)).await, path).await
}

/// The answer to a GET over this connection.
pub(crate) async fn ask_over(connection: &mut Connection, path: &str) -> (Head, String) {
    connection.write(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    let (head, body) = connection.answer().await;
    (head, String::from_utf8_lossy(&body).into_owned())
}

/// How the program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) left_core: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command of the program, with nothing of the surrounding environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Ended {
    let output = soon("the program to end", command.output()).await.expect("a program");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let left_core = output.status.core_dumped();
    Ended { code: output.status.code(), left_core, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The same command, started by a script that ends in `"$@"`.
pub(crate) fn through_shell(command: &Command, script: &str) -> Command {
    let command = command.as_std();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.stdin(Stdio::null()).kill_on_drop(true);
    shell
}

/// `serve` against the services of a sandbox in this process, on free ports.
pub(crate) fn serve(sandbox: &Sandbox, folder: &Path) -> Command {
    serve_on(sandbox, folder, "127.0.0.1:0")
}

/// As [`serve`], with clients expected on `listen`.
pub(crate) fn serve_on(sandbox: &Sandbox, folder: &Path, listen: &str) -> Command {
    signed_in(&["serve", "--listen", listen, "--admin-listen", "127.0.0.1:0"], sandbox, folder)
}

/// A command that signs in at a sandbox in this process and sends to its API.
pub(crate) fn signed_in(arguments: &[&str], sandbox: &Sandbox, folder: &Path) -> Command {
    let password = folder.join("password");
    std::fs::write(&password, sandbox.password().expose_secret()).expect("a file");
    std::fs::set_permissions(&password, Permissions::from_mode(0o600)).expect("a file of ours");
    let mut command = command(arguments);
    command
        .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", sandbox.user_pool_endpoint())
        .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY", sandbox.identity_pool_endpoint())
        .env("COUNTERSIGN_UPSTREAM", sandbox.api_url())
        .env("COUNTERSIGN_REGION", sandbox.region())
        .env("COUNTERSIGN_SERVICE", "execute-api")
        .env("COUNTERSIGN_USER_POOL_ID", sandbox.user_pool_id())
        .env("COUNTERSIGN_CLIENT_ID", sandbox.client_id())
        .env("COUNTERSIGN_IDENTITY_POOL_ID", sandbox.identity_pool_id())
        .env("COUNTERSIGN_USERNAME", sandbox.username())
        .env("COUNTERSIGN_PASSWORD_FILE", password)
        .env("COUNTERSIGN_LOG_FORMAT", "json")
        .current_dir(folder);
    command
}

/// A program that runs, whose output is kept.
pub(crate) struct Program {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: JoinSet<()>,
    /// Lets stderr be read on, where reading stopped.
    read_on: Arc<Notify>,
}

#[derive(Clone, Default)]
struct Lines {
    text: Arc<Mutex<String>>,
    more: Arc<Notify>,
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
        let (stdout, stderr, mut readers) = (Lines::default(), Lines::default(), JoinSet::new());
        readers.spawn(stdout.clone().read(child.stdout.take().expect("piped")));
        readers.spawn(stderr.clone().read(child.stderr.take().expect("piped")));
        Self { child, stdout, stderr, readers, read_on: Arc::default() }
    }

    /// The same, but from the first line of stderr in which `wanted` stands on, stderr is a pipe that nobody reads.
    pub(crate) fn start_unread_after(mut command: Command, wanted: &'static str) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
        let (stdout, stderr, mut readers) = (Lines::default(), Lines::default(), JoinSet::new());
        readers.spawn(stdout.clone().read(child.stdout.take().expect("piped")));
        let read_on = Arc::new(Notify::new());
        let stream = child.stderr.take().expect("piped");
        readers.spawn(stderr.clone().read_after_a_pause(stream, wanted, Arc::clone(&read_on)));
        Self { child, stdout, stderr, readers, read_on }
    }

    /// Reads stderr on.
    pub(crate) fn read_on(&self) {
        self.read_on.notify_one();
    }

    /// Starts a command whose stdin and stdout are sockets that are meant for others; only stderr is kept.
    pub(crate) fn start_with_sockets(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a program");
        let (stderr, mut readers) = (Lines::default(), JoinSet::new());
        readers.spawn(stderr.clone().read(child.stderr.take().expect("piped")));
        Self { child, stdout: Lines::default(), stderr, readers, read_on: Arc::default() }
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a running program")
    }

    /// The first line of stdout in which `wanted` stands.
    pub(crate) async fn stdout_line(&self, wanted: &str) -> String {
        self.stdout.line(wanted).await
    }

    /// The first line of stderr in which `wanted` stands.
    pub(crate) async fn stderr_line(&self, wanted: &str) -> String {
        self.stderr.line(wanted).await
    }

    /// Waits until `wanted` stands in so many lines of stderr.
    pub(crate) async fn stderr_lines(&self, wanted: &str, count: usize) {
        let said = async {
            loop {
                let more = self.stderr.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if self.stderr.so_far().matches(wanted).count() >= count {
                    return;
                }
                more.await;
            }
        };
        soon(wanted, said).await;
    }

    /// What was said on stderr up to this moment.
    pub(crate) fn stderr_so_far(&self) -> String {
        self.stderr.so_far()
    }

    /// A field of the first JSON line in stderr whose message is `message`.
    pub(crate) async fn logged(&self, message: &str, field: &str) -> String {
        let line = self.stderr_line(&format!("\"message\":\"{message}\"")).await;
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        let value = [&line["fields"][field], &line[field]].into_iter().find_map(|value| value.as_str());
        value.unwrap_or_else(|| panic!("no {field} in {line}")).to_owned()
    }

    /// Sends a signal, `TERM` or `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("a running program").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = soon("the program to end", self.child.wait()).await.expect("a status");
        self.read_on.notify_one();
        while self.readers.join_next().await.is_some() {}
        let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
        Ended { code: status.code(), left_core: status.core_dumped(), stdout, stderr }
    }
}

impl Lines {
    async fn read(self, stream: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.push(&line);
        }
    }

    async fn read_after_a_pause(self, stream: impl AsyncRead + Unpin, wanted: &str, read_on: Arc<Notify>) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.push(&line);
            if line.contains(wanted) {
                read_on.notified().await;
            }
        }
    }

    fn push(&self, line: &str) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
        drop(text);
        self.more.notify_waiters();
    }

    async fn line(&self, wanted: &str) -> String {
        let found = async {
            let mut searched = 0;
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(line) = self.find(wanted, &mut searched) {
                    return line;
                }
                more.await;
            }
        };
        tokio::time::timeout(super::PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("{wanted:?} was not said:\n{}", self.so_far()))
    }

    /// The first line with `wanted` behind what has been `searched`, which grows: a log may have megabytes.
    fn find(&self, wanted: &str, searched: &mut usize) -> Option<String> {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let line = text[*searched..].lines().find(|line| line.contains(wanted)).map(str::to_owned);
        *searched = text.len();
        line
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
