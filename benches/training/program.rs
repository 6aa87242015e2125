//! The program under training: started as a sidecar is, ended by SIGTERM, which is when it writes its profile.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::Duration,
};

use countersign::sandbox::Sandbox;
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    task::JoinSet,
    time::timeout,
};

use crate::tls::Authority;

/// How long it may take to start, and to end. An instrumented build is slow, and so is a busy machine.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The exit code after SIGTERM.
const TERMINATED: i32 = 143;

pub(crate) struct Program {
    child: Child,
    /// Where clients connect.
    pub(crate) data: SocketAddr,
    /// Where probes connect.
    pub(crate) admin: SocketAddr,
    /// Reads the log to its end, since a full pipe would hold lines up.
    _log: JoinSet<()>,
    _folder: TempDir,
}

impl Program {
    /// Starts `binary` with a route for each of `upstreams`, a path prefix and a URL, and waits until it is ready.
    pub(crate) async fn start(
        binary: &Path,
        sandbox: &Sandbox,
        authority: &Authority,
        upstreams: &[(&str, String)],
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (password, config) = (folder.path().join("password"), folder.path().join("countersign.toml"));
        let write = |file, text: &str| {
            fs::write(file, text)?;
            fs::set_permissions(file, Permissions::from_mode(0o600))
        };
        write(&password, sandbox.password().expose_secret()).map_err(|error| error.to_string())?;
        write(&config, &routes(sandbox, upstreams)).map_err(|error| error.to_string())?;
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(config)
            .arg("--ca-file")
            .arg(authority.file())
            .args(["--user-pool-id", &sandbox.user_pool_id(), "--client-id", sandbox.client_id()])
            .args(["--identity-pool-id", &sandbox.identity_pool_id(), "--username", sandbox.username()])
            .arg("--password-file")
            .arg(password)
            .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", sandbox.user_pool_endpoint())
            .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY", sandbox.identity_pool_endpoint())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let [data, admin] = timeout(MAX_WAIT, addresses(&mut lines))
            .await
            .map_err(|_| format!("{} was not ready in {MAX_WAIT:?}", binary.display()))??;
        let mut log = JoinSet::new();
        log.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, data, admin, _log: log, _folder: folder })
    }

    /// Ends it, and waits until its profile is written.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        let id =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let id = id.ok_or("the program ended during its training")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .map_err(|error| error.to_string())?;
        let ended = timeout(MAX_WAIT, self.child.wait()).await.map_err(|_| "the program did not end")?;
        match ended.map_err(|error| error.to_string())?.code() {
            Some(TERMINATED) => Ok(()),
            code => Err(format!("the program ended with {code:?} instead of {TERMINATED}")),
        }
    }
}

fn routes(sandbox: &Sandbox, upstreams: &[(&str, String)]) -> String {
    let route = |(path, upstream): &(&str, String)| {
        format!(
            "[[route]]\npath = \"{path}\"\nupstream = \"{upstream}\"\nregion = \"{}\"\nservice = \"execute-api\"\n",
            sandbox.region()
        )
    };
    upstreams.iter().map(route).collect()
}

/// The addresses in the line that says that the proxy is ready.
async fn addresses(lines: &mut Lines<BufReader<ChildStderr>>) -> Result<[SocketAddr; 2], String> {
    let mut said = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let fields: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |name: &str| {
            let url = fields.get(name)?.as_str()?;
            url.strip_prefix("http://")?.parse().ok()
        };
        if let (Some(data), Some(admin)) = (address("url"), address("admin")) {
            return Ok([data, admin]);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(format!("the program ended before it was ready:\n{said}"))
}
