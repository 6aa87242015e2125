//! `countersign sandbox`: the whole flow on this machine, with a demonstration user and one request to follow.

mod files;
mod screen;
mod settings;

use std::{io, path::Path, process::ExitCode, time::Duration};

use http::{StatusCode, Uri};
use secrecy::ExposeSecret;
use tracing::warn;

use super::{Failure, exec::signed_in, local_http, port_holder, print_aside, serve::until_signal};
use crate::{
    app::App,
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::channel::Receiver,
    downstream::listener::Listen,
    sandbox::{self, PortTaken, Sandbox, Verdict},
    shutdown, telemetry,
};
use files::Folder;
use screen::{Answer, Journey, Screen, Service};

/// How long the demonstration request may take; where somebody else's server answers, the screen comes without its
/// answer rather than late.
const MAX_WAIT: Duration = Duration::from_secs(10);
const MAX_WAIT_FOR_BACKEND: Duration = Duration::from_secs(3);

/// What stands around a word of a line for a shell: `cmd.exe` knows double quotes alone.
const QUOTE: char = if cfg!(windows) { '"' } else { '\'' };

/// Runs until a signal; with `write`, the folder gets files for applications, in place of files of others with `force`.
pub(super) async fn run(
    write: Option<&Path>,
    force: bool,
    arguments: &Arguments,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let config = Config::for_sandbox(arguments, environment)?;
    telemetry::start(&config.telemetry).map_err(Failure::Runtime)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let folder = write.map(|path| Folder::open(path, force)).transpose()?;
    let sandbox = sandbox::start(settings::of_sandbox(&config)).await.map_err(explained)?;
    let exit_zero_on_sigterm = config.exit_zero_on_sigterm;
    let (backend, needs_token) = (config.backend.clone(), config.proxy.guard.bearer_token.is_some());
    let has_hooks = !config.services.triggers.hooks.is_empty();
    let (listen, admin_listen) = (config.listen.clone(), config.admin_listen.clone());
    let app = App::bind(settings::of_proxy(config, &sandbox)?, Clock::system())
        .map_err(|error| port_holder::explained(error, &listen, admin_listen.as_ref()))?;
    let (url, inspector, credentials) = (app.url(), app.inspector_url(), app.credentials());
    let client = Client { listen: app.data_listen(), backend, needs_token, has_hooks };
    let written = folder.map(|folder| folder.write(&sandbox, &url)).transpose()?;
    let running = until_signal(app, shutdown::channel(), exit_zero_on_sigterm);
    let introduction = introduce(&sandbox, &client, (&url, inspector.as_deref()), credentials, written);
    tokio::pin!(running);
    tokio::select! {
        ended = running.as_mut() => return ended,
        introduced = introduction => introduced?,
    }
    let ended = running.await;
    sandbox.shutdown().await;
    ended
}

/// Waits until requests can be signed, sends one, and prints what a newcomer wants to know.
async fn introduce(
    sandbox: &Sandbox,
    client: &Client,
    (url, inspector): (&str, Option<&str>),
    credentials: Receiver,
    written: Option<Vec<&'static str>>,
) -> Result<(), Failure> {
    // A slow machine takes longer for a sign-in than a request would wait.
    let sign_in_problem = match signed_in(credentials).await {
        Ok(_) => None,
        // A hook that is started later, or refuses this user, leaves the sandbox running for others.
        Err(error) if client.has_hooks => Some(error),
        Err(error) => return Err(Failure::runtime(error)),
    };
    let sends = sign_in_problem.is_none() && !client.needs_token;
    let journey = if sends { Some(client.journey(sandbox).await?) } else { None };
    let screen = Screen {
        url,
        inspector,
        curl: client.curl(url),
        username: sandbox.username(),
        password: sandbox.password().expose_secret(),
        authenticator_secret: sandbox.authenticator_secret().map(ExposeSecret::expose_secret),
        user_pool: Service { id: sandbox.user_pool_id(), endpoint: sandbox.user_pool_endpoint() },
        client_id: sandbox.client_id(),
        identity_pool: Service { id: sandbox.identity_pool_id(), endpoint: sandbox.identity_pool_endpoint() },
        api_url: sandbox.api_url(),
        written: written.unwrap_or_default(),
        sign_in_problem,
        journey,
    };
    // Printed on another thread: while nobody reads stdout, this one still accepts connections and signals.
    print_aside(screen.to_string()).await
}

/// The error in words for the user: for a port that is taken, who has it, and the flag that chooses others.
fn explained(error: io::Error) -> Failure {
    let taken = error.get_ref().and_then(|source| source.downcast_ref::<PortTaken>()).copied();
    let Some(taken) = taken else { return error.into() };
    let holder = port_holder::holder(taken.port).unwrap_or_else(|| "another program".to_owned());
    Failure::runtime(format!(
        "{taken}: {holder} listens there\n  tip: stop it, or write --port-base PORT; 0 picks free ports"
    ))
}

/// What sends the demonstration request.
struct Client {
    listen: Listen,
    backend: Option<Uri>,
    needs_token: bool,
    /// Whether hooks of triggers decide about the proxy's sign-in.
    has_hooks: bool,
}

impl Client {
    /// The path that means something to what answers. Only the root is known of somebody else's server.
    fn target(&self) -> &'static str {
        if self.backend.is_some() { "/" } else { "/hello?name=world" }
    }

    /// The line for a shell that sends the same request.
    fn curl(&self, url: &str) -> String {
        let quoted = |word: String| format!("{QUOTE}{word}{QUOTE}");
        let mut words = vec!["curl".to_owned()];
        if self.needs_token {
            words.extend(["-H".to_owned(), quoted("authorization: Bearer TOKEN".to_owned())]);
        }
        let target = self.target();
        let origin = match &self.listen {
            Listen::Unix(socket) => {
                words.extend(["--unix-socket".to_owned(), quoted(socket.display().to_string())]);
                "http://localhost"
            }
            Listen::Localhost(_) | Listen::Address(_) => url,
        };
        words.push(quoted(format!("{origin}{target}")));
        words.join(" ")
    }

    async fn journey(&self, sandbox: &Sandbox) -> Result<Journey<'_>, Failure> {
        let target = self.target();
        let max_wait = if self.backend.is_some() { MAX_WAIT_FOR_BACKEND } else { MAX_WAIT };
        let response = local_http::get(&self.listen, target, max_wait).await;
        let answer = match (&self.backend, response) {
            (None, response) => Answer::Echo(response.map_err(Failure::Runtime)?.0),
            (Some(backend), Ok((StatusCode::BAD_GATEWAY, body)))
                if body == sandbox::NO_RESPONSE_FROM_BACKEND =>
            {
                Answer::NoBackend(backend)
            }
            (Some(backend), Ok((status, _))) => Answer::Backend(backend, status),
            (Some(backend), Err(_)) => Answer::Incomplete(backend),
        };
        let received = sandbox.requests().into_iter().rev().find(|request| request.target.ends_with(target));
        let signed_as = received.and_then(|request| match request.verdict {
            Verdict::Verified { identity_id, user_arn, .. } => Some((identity_id, user_arn)),
            Verdict::Admitted(_) | Verdict::Refused(_) | Verdict::Disturbed => None,
        });
        Ok(Journey { target, signed_as, answer })
    }
}
