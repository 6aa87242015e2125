//! `countersign exec`: a program beside a proxy that only it uses.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    io,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tracing::{info, warn};

use super::{Ended, Failure, serve};
use crate::{
    app::{App, StartError},
    cli::Program,
    config::{Arguments, Config, Environment, table},
    credentials::channel::Receiver,
    downstream::listener::{Listen, Passed, reachable},
    process,
    shutdown::{self, Shutdown, Signals, Trigger},
    telemetry,
};

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

/// Where the program finds the proxy.
const URL: &str = "COUNTERSIGN_URL";

/// The longest wait for credentials, further attempts included.
const SIGN_IN: Duration = Duration::from_secs(30);

pub(super) async fn run(
    program: &Program,
    arguments: &Arguments,
    environment: &Environment,
) -> Result<Ended, Failure> {
    let config = Config::for_exec(arguments, environment)?;
    telemetry::start(&config.telemetry).map_err(Failure::Runtime)?;
    let signals = Signals::listen_beside_another()?;
    let app = serve::start(&config, Passed::default())?;
    let (trigger, shutdown) = shutdown::channel();
    let work = work(program, &app, signals, shutdown.clone());
    tokio::pin!(work);
    let running = app.run(trigger.clone(), shutdown);
    tokio::pin!(running);
    tokio::select! {
        ended = running.as_mut() => {
            ended?;
            work.await
        }
        code = work.as_mut() => {
            drain(&trigger, running).await?;
            code
        }
    }
}

/// Lets the requests of processes that outlive the program finish; a signal ends them.
async fn drain(
    trigger: &Trigger,
    running: impl Future<Output = Result<(), StartError>>,
) -> Result<(), Failure> {
    let mut signals = Signals::listen_beside_another()?;
    trigger.request();
    tokio::select! {
        ended = running => ended?,
        signal = signals.next() => warn!(%signal, "ended at once"),
    }
    Ok(())
}

/// Runs the program to its end, once requests can be signed.
fn work(
    program: &Program,
    app: &App,
    mut signals: Signals,
    mut shutdown: Shutdown,
) -> impl Future<Output = Result<Ended, Failure>> + use<> {
    let mut command = command(program, &url(&app.data_listen()));
    let name = program.name.to_string_lossy().into_owned();
    let credentials = app.credentials();
    async move {
        let obstacle = tokio::select! {
            signed_in = signed_in(credentials) => signed_in.err(),
            signal = signals.next() => return Ok(ExitCode::from(signal.exit_code()).into()),
            () = shutdown.requested() => Some("the proxy was asked to quit".to_owned()),
        };
        if let Some(obstacle) = obstacle {
            return Err(Failure::runtime(format!("{name} was not started: {obstacle}")));
        }
        match process::with_inherited_open_files(|| command.spawn()) {
            Ok(child) => {
                Ok(Ended::LikeTheProgram(system::exit_code(attend(child, signals, shutdown).await?)))
            }
            Err(error) => Ok(not_run(&name, &error).into()),
        }
    }
}

fn command(program: &Program, url: &str) -> Command {
    let mut command = Command::new(system::program(&program.name));
    command.args(&program.arguments).env(URL, url).kill_on_drop(true);
    for secret in table::secret_variables() {
        command.env_remove(secret);
    }
    command
}

/// The proxy's URL for a client on this machine, without a slash at the end.
fn url(listen: &Listen) -> String {
    match listen {
        Listen::Localhost(port) => format!("http://localhost:{port}"),
        Listen::Address(address) => format!("http://{}", reachable(*address)),
        Listen::Unix(_) => listen.to_string(),
    }
}

/// Waits for the first credentials; the error says why there are none, or what to do.
pub(super) async fn signed_in(mut credentials: Receiver) -> Result<(), String> {
    let mut last = "no response".to_owned();
    let attempts = async {
        while !credentials.is_usable() {
            if let Some(problem) = credentials.state().problem {
                // The log has the rest.
                if let Some(remedy) = &problem.remedy {
                    return Err(remedy.clone());
                }
                last.clone_from(&problem.message);
            }
            if !credentials.changed().await {
                return Err("the proxy has stopped".to_owned());
            }
        }
        Ok(())
    };
    let ended = timeout(SIGN_IN, attempts).await;
    ended.unwrap_or_else(|_| Err(format!("no credentials within {} seconds: {last}", SIGN_IN.as_secs())))
}

/// Waits for the end of the program, and forwards signals to it.
async fn attend(mut child: Child, mut signals: Signals, mut shutdown: Shutdown) -> io::Result<ExitStatus> {
    info!(program.id = child.id(), "the program runs");
    let mut asked_to_quit = false;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => system::forward(&child, signal),
            () = shutdown.requested(), if !asked_to_quit => {
                asked_to_quit = true;
                system::ask_to_end(&mut child);
            }
        }
    }
}

/// As shells have it.
fn not_run(name: &str, error: &io::Error) -> ExitCode {
    telemetry::say(&format!("countersign: cannot run {name}: {error}\n"));
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_a_client_on_this_machine_can_use() {
        for (listen, expected) in [
            ("localhost:8181", "http://localhost:8181"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(url(&listen.parse().expect("an address")), expected);
        }
    }
}
