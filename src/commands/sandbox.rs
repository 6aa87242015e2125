//! `countersign sandbox`: the whole flow on this machine, with a demonstration user and one request to follow.

mod screen;

use std::{process::ExitCode, time::Duration};

use http::{StatusCode, Uri};
use secrecy::ExposeSecret;
use tracing::warn;

use super::{Failure, local_http, print_aside, serve::until_signal};
use crate::{
    app::{self, App},
    clock::Clock,
    config::{Arguments, Config, Environment, SandboxConfig},
    credentials::{self, AuthFlow, Cognito, IdentityPool, Login, RoleChoice, UserPool, channel::Receiver},
    downstream::listener::Listen,
    proxy::{PayloadSigning, RouteSettings},
    sandbox::{self, Sandbox, Verdict},
    shutdown, telemetry,
};
use screen::{Answer, Journey, Screen, Service};

/// How long the demonstration request may take; where somebody else's server answers, the screen comes without its
/// answer rather than late.
const MAX_WAIT: Duration = Duration::from_secs(10);
const MAX_WAIT_FOR_BACKEND: Duration = Duration::from_secs(3);

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::for_sandbox(arguments, environment)?;
    telemetry::start(&config.telemetry).map_err(Failure::Runtime)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let settings = sandbox::Settings {
        credentials_lifetime: config.credentials_lifetime,
        backend: config.backend.clone(),
        ..sandbox::Settings::default()
    };
    let sandbox = sandbox::start(settings).await?;
    let exit_zero_on_sigterm = config.exit_zero_on_sigterm;
    let (backend, needs_token) = (config.backend.clone(), config.proxy.guard.bearer_token.is_some());
    let app = App::bind(app_settings(config, &sandbox)?, Clock::system())?;
    let (url, inspector, credentials) = (app.url(), app.inspector_url(), app.credentials());
    let client = Client { listen: app.data_listen(), backend, needs_token };
    let running = until_signal(app, shutdown::channel(), exit_zero_on_sigterm);
    let introduction = introduce(&sandbox, &client, (&url, inspector.as_deref()), credentials);
    tokio::pin!(running);
    tokio::select! {
        ended = running.as_mut() => return ended,
        introduced = introduction => introduced?,
    }
    let ended = running.await;
    sandbox.shutdown().await;
    ended
}

/// The settings of `serve` for this sandbox.
fn app_settings(config: SandboxConfig, sandbox: &Sandbox) -> Result<app::Settings, Failure> {
    let mut proxy = config.proxy;
    proxy.routes = vec![RouteSettings {
        path: "/".to_owned(),
        upstream: sandbox.api_url().parse().map_err(Failure::runtime)?,
        region: sandbox.region().into(),
        service: "execute-api".to_owned(),
        sign_host: None,
        strip_prefix: None,
        set_headers: config.set_headers,
        payload: PayloadSigning::Hashed,
    }];
    Ok(app::Settings {
        listen: config.listen,
        admin_listen: config.admin_listen,
        credentials: credentials_settings(sandbox)?,
        proxy,
        inspector: config.inspector,
        aws_http: crate::aws_http::Settings::default(),
        #[cfg(feature = "otlp")]
        spans: config.spans,
        threads: std::thread::available_parallelism().ok(),
    })
}

fn credentials_settings(sandbox: &Sandbox) -> Result<credentials::Settings, Failure> {
    let user_pool = UserPool {
        id: sandbox.user_pool_id().parse().map_err(Failure::runtime)?,
        client_id: sandbox.client_id().to_owned(),
        client_secret: None,
        username: Some(sandbox.username().to_owned()),
        password: Some(sandbox.password().clone()),
        auth_flow: AuthFlow::Srp,
        totp_secret: None,
        endpoint: sandbox.user_pool_endpoint(),
        domain: None,
        redirect_port: 0,
        state_dir: None,
        login_provider: None,
    };
    let identity_pool = IdentityPool {
        id: sandbox.identity_pool_id().parse().map_err(Failure::runtime)?,
        endpoint: sandbox.identity_pool_endpoint(),
        role: RoleChoice::Pool,
    };
    let login = Login::UserPool(user_pool);
    Ok(credentials::Settings::Cognito(Box::new(Cognito { login, identity_pool })))
}

/// Waits until requests can be signed, sends one, and prints what a newcomer wants to know.
async fn introduce(
    sandbox: &Sandbox,
    client: &Client,
    (url, inspector): (&str, Option<&str>),
    credentials: Receiver,
) -> Result<(), Failure> {
    credentials.valid().await.map_err(Failure::runtime)?;
    let journey = if client.needs_token { None } else { Some(client.journey(sandbox).await?) };
    let screen = Screen {
        url,
        inspector,
        curl: client.curl(url),
        username: sandbox.username(),
        password: sandbox.password().expose_secret(),
        user_pool: Service { id: sandbox.user_pool_id(), endpoint: sandbox.user_pool_endpoint() },
        client_id: sandbox.client_id(),
        identity_pool: Service { id: sandbox.identity_pool_id(), endpoint: sandbox.identity_pool_endpoint() },
        api_url: sandbox.api_url(),
        journey,
    };
    // Printed on another thread: while nobody reads stdout, this one still accepts connections and signals.
    print_aside(screen.to_string()).await
}

/// What sends the demonstration request.
struct Client {
    listen: Listen,
    backend: Option<Uri>,
    needs_token: bool,
}

impl Client {
    /// The path that means something to what answers. Only the root is known of somebody else's server.
    fn target(&self) -> &'static str {
        if self.backend.is_some() { "/" } else { "/hello?name=world" }
    }

    /// The line for a shell that sends the same request.
    fn curl(&self, url: &str) -> String {
        let token = if self.needs_token { "-H 'authorization: Bearer TOKEN' " } else { "" };
        let target = self.target();
        match &self.listen {
            Listen::Unix(socket) => {
                format!("curl {token}--unix-socket '{}' 'http://localhost{target}'", socket.display())
            }
            Listen::Localhost(_) | Listen::Address(_) => format!("curl {token}'{url}{target}'"),
        }
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
            Verdict::Refused(_) | Verdict::Disturbed => None,
        });
        Ok(Journey { target, signed_as, answer })
    }
}
