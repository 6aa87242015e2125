//! `countersign serve`: the proxy, until a signal.

use std::{process::ExitCode, thread};

use tracing::{info, warn};

use super::Failure;
use crate::{
    app::{self, App},
    clock::Clock,
    config::{Arguments, Config, Environment},
    listener::Listen,
    shutdown::{self, Signal, Signals},
    telemetry,
};

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::for_serve(arguments, environment)?;
    let _log = telemetry::start_gathering(&config.telemetry).map_err(Failure::Runtime)?;
    let exit_zero_on_sigterm = config.exit_zero_on_sigterm;
    until_signal(start(config)?, exit_zero_on_sigterm).await
}

/// Binds the proxy that `config` describes, and says so.
pub(super) fn start(config: Config) -> Result<App, Failure> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let exposure = exposure(&config);
    let app = App::bind(
        app::Settings {
            listen: config.listen,
            admin_listen: config.admin_listen,
            credentials: config.credentials,
            proxy: config.proxy,
            aws_ca_files: config.aws_ca_files,
            threads: thread::available_parallelism().ok(),
        },
        Clock::system(),
    )?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        url = app.url(),
        admin = app.admin_url(),
        exposure,
        "starting"
    );
    Ok(app)
}

/// Who may act as the user, in the words of the log.
fn exposure(config: &Config) -> &'static str {
    let guard = &config.proxy.guard;
    let on_this_machine = match &config.listen {
        Listen::Localhost(_) | Listen::Unix(_) => true,
        Listen::Address(address) => address.ip().is_loopback(),
    };
    match (on_this_machine, guard.bearer_token.is_some(), guard.allow_other_users) {
        (_, true, _) => "clients that present the token",
        (true, false, false) => "programs of this user on this machine",
        (true, false, true) => "every program on this machine",
        (false, false, _) => "everybody who reaches the address, without a token",
    }
}

/// Runs `app` until it ends or a signal comes, which it is given time to obey; a second signal is final.
pub(super) async fn until_signal(app: App, exit_zero_on_sigterm: bool) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let (trigger, shutdown) = shutdown::channel();
    let running = app.run(trigger.clone(), shutdown);
    tokio::pin!(running);
    let signal = tokio::select! {
        ended = running.as_mut() => return Ok(ended.map(|()| ExitCode::SUCCESS)?),
        signal = signals.next() => signal,
    };
    info!(%signal, "draining: requests under way are finished, a second signal ends them");
    trigger.request();
    tokio::select! {
        ended = running => ended?,
        second = signals.next() => warn!(signal = %second, "ended at once"),
    }
    Ok(match signal {
        Signal::Terminate if exit_zero_on_sigterm => ExitCode::SUCCESS,
        signal => ExitCode::from(signal.exit_code()),
    })
}
