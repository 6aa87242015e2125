//! `countersign serve`: the proxy, until a signal.

use std::{
    convert::Infallible,
    future::{Future, pending},
    process::ExitCode,
    thread,
};

use tracing::{info, warn};

use super::{Failure, port_holder, reload::Reloader};
use crate::{
    app::{self, App},
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::session,
    downstream::{
        listener::{Listen, Passed},
        peer,
    },
    proxy::GuardSettings,
    service_manager,
    shutdown::{self, Shutdown, Signal, Signals, Trigger},
    telemetry,
};

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode, Failure> {
    // Before anything else: it changes the environment, which only a process with one thread may do.
    let passed = Passed::take(environment.socket_names()).map_err(Failure::runtime)?;
    let config = Config::for_serve(arguments, environment)?;
    config.admits_clients_at(&passed.addresses())?;
    telemetry::start(&config.telemetry).map_err(Failure::Runtime)?;
    let (exit_zero_on_sigterm, effective) = (config.exit_zero_on_sigterm, config.effective.clone());
    let app = start(&config, passed)?;
    let (trigger, shutdown) = shutdown::channel();
    let hung_up = attend(
        Reloader::new(&app, effective, arguments, environment)?,
        service_manager::keep_informed(app.url(), app.credentials()),
        shutdown.clone(),
    );
    let running = until_signal(app, (trigger.clone(), shutdown), exit_zero_on_sigterm);
    tokio::pin!(running);
    tokio::select! {
        ended = running.as_mut() => ended,
        signal = hung_up => {
            info!(%signal, "draining: the terminal is gone");
            trigger.request();
            running.await?;
            Ok(ExitCode::from(signal.exit_code()))
        }
    }
}

/// Serves the service manager and its signals beside the proxy, until the terminal is gone.
async fn attend(reloader: Reloader<'_>, informing: impl Future, mut shutdown: Shutdown) -> Signal {
    let informing = async {
        informing.await;
        pending::<Infallible>().await
    };
    let ending = async {
        shutdown.requested().await;
        service_manager::stopping();
        pending::<Infallible>().await
    };
    tokio::select! {
        () = reloader.run() => Signal::Hangup,
        never = informing => match never {},
        never = ending => match never {},
    }
}

/// Binds the proxy that `config` describes, unless its sockets were passed, and says so.
///
/// # Errors
/// When an address cannot be bound, or one that was chosen or passed is an upstream's.
pub(super) fn start(config: &Config, passed: Passed) -> Result<App, Failure> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let app = App::bind_or_take(
        app::Settings {
            listen: config.listen.clone(),
            admin_listen: config.admin_listen.clone(),
            credentials: config.credentials.clone(),
            proxy: config.proxy.clone(),
            inspector: config.inspector.clone(),
            aws_http: config.aws_http.clone(),
            #[cfg(feature = "otlp")]
            spans: config.spans.clone(),
            threads: thread::available_parallelism().ok(),
        },
        passed,
        Clock::system(),
    )
    .map_err(|error| port_holder::explained(error, &config.listen, config.admin_listen.as_ref()))?;
    config.leads_away_from(&app.own_addresses())?;
    let exposure = exposure(&app.addresses(), &config.proxy.guard);
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
fn exposure(addresses: &[Listen], guard: &GuardSettings) -> &'static str {
    let on_this_machine = !addresses.iter().any(Listen::is_open);
    let knows_users = peer::TELLS_OWNERS || addresses.iter().all(|listen| matches!(listen, Listen::Unix(_)));
    match (on_this_machine, guard.bearer_token.is_some(), guard.allow_other_users || !knows_users) {
        (_, true, _) => "clients that present the token",
        (true, false, false) => "programs of this user on this machine",
        (true, false, true) => "every program on this machine",
        (false, false, _) => "anyone who can reach the address, without a token",
    }
}

/// Runs `app` until it ends or a signal comes, which it is given time to obey; a second signal is final.
pub(super) async fn until_signal(
    app: App,
    (trigger, shutdown): (Trigger, Shutdown),
    exit_zero_on_sigterm: bool,
) -> Result<ExitCode, Failure> {
    let exit_code = move |signal: Signal| match signal {
        Signal::Terminate if exit_zero_on_sigterm => 0,
        signal => signal.exit_code(),
    };
    // A refresh token that is being replaced would be lost with the process.
    let mut signals = Signals::listen_and_exit_with(exit_code, session::settled())?;
    let running = app.run(trigger.clone(), shutdown);
    tokio::pin!(running);
    let signal = tokio::select! {
        ended = running.as_mut() => return Ok(ended.map(|()| ExitCode::SUCCESS)?),
        signal = signals.next() => signal,
    };
    // At a terminal, the proxy says for what it waits.
    if !signal.is_from_terminal() {
        info!(%signal, "draining: requests under way are finished, a second signal ends them");
    }
    trigger.request_by(signal);
    tokio::select! {
        ended = running => ended?,
        second = signals.next() => warn!(signal = %second, "ended at once"),
    }
    Ok(ExitCode::from(exit_code(signal)))
}
