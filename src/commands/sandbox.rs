//! `countersign sandbox`: the whole flow on this machine, with a demonstration user and one request to watch.

use std::{process::ExitCode, time::Duration};

use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{Failure, local_http, print, serve::until_signal};
use crate::{
    app::{self, App},
    clock::Clock,
    config::{Arguments, Config, Environment, SandboxConfig},
    credentials::{self, AuthFlow, Cognito, IdentityPool, Login, RoleChoice, UserPool, channel::Receiver},
    downstream::listener::Listen,
    proxy::RouteSettings,
    sandbox::{self, Sandbox},
    shutdown, telemetry,
};

/// The request that is shown.
const DEMONSTRATION: &str = "/hello?name=world";

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
    let app = App::bind(app_settings(config, &sandbox)?, Clock::system())?;
    let (url, listen, credentials) = (app.url(), app.data_listen(), app.credentials());
    let running = until_signal(app, shutdown::channel(), exit_zero_on_sigterm);
    let introduction = introduce(&sandbox, &url, &listen, credentials);
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
        region: sandbox.region().to_owned(),
        service: "execute-api".to_owned(),
        sign_host: None,
        strip_prefix: None,
        set_headers: config.set_headers,
    }];
    Ok(app::Settings {
        listen: config.listen,
        admin_listen: config.admin_listen,
        credentials: credentials_settings(sandbox)?,
        proxy,
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
    url: &str,
    listen: &Listen,
    credentials: Receiver,
) -> Result<(), Failure> {
    credentials.valid().await.map_err(Failure::runtime)?;
    let (status, body) =
        local_http::get(listen, DEMONSTRATION, Duration::from_secs(10)).await.map_err(Failure::Runtime)?;
    let journey = journey(url, status, &body);
    let text = format!(
        "\nCountersign sandbox: sign-in, credentials and a signature-checking API, all on this machine.\n\n  \
         proxy          {url}\n  \
         user           {} (password: {})\n  \
         user pool      {} client {} at {}\n  \
         identity pool  {} at {}\n  \
         API            {}\n\n\
         Try it:\n\n  curl '{url}{DEMONSTRATION}'\n\n{journey}\nPress Ctrl-C to end.\n",
        sandbox.username(),
        sandbox.password().expose_secret(),
        sandbox.user_pool_id(),
        sandbox.client_id(),
        sandbox.user_pool_endpoint(),
        sandbox.identity_pool_id(),
        sandbox.identity_pool_endpoint(),
        sandbox.api_url(),
    );
    // A stdout that nobody reads must not stop the thread that takes connections and hears of signals.
    spawn_blocking(move || print(text.as_bytes())).await.map_err(Failure::runtime)?
}

/// One request's way: what went in, who signed it, what the API said.
fn journey(url: &str, status: http::StatusCode, body: &[u8]) -> String {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let identity = &event["requestContext"]["identity"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!(
        "One request's journey:\n\n  \
         client         GET {url}{DEMONSTRATION}, unsigned\n  \
         signed as      {}\n  \
         {:15}{}\n  \
         API received   {} {} {}\n  \
         API answered   {status}\n",
        text(&identity["userArn"]),
        "",
        text(&identity["cognitoIdentityId"]),
        text(&event["httpMethod"]),
        text(&event["path"]),
        event["queryStringParameters"],
    )
}
