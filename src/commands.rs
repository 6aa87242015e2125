//! What each command does, and how it ends.

mod advice;
mod call;
mod check;
mod credentials;
mod ended;
mod exec;
mod explain;
mod explanation;
mod healthcheck;
mod init;
mod inspect;
mod local_http;
mod login;
mod logout;
mod man;
mod port_holder;
mod readiness;
mod reload;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
mod sign_in;
mod typed_request;
mod user_session;
mod wait;
mod websocket;
mod whoami;

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    process::ExitCode,
};

pub use ended::Ended;
use tokio::task::spawn_blocking;

use crate::{
    app::StartError,
    cli::{self, Command},
    config::{ConfigError, Environment},
    credentials::session,
    shutdown::Signal,
    telemetry::{self, LogFormat},
};

/// Runs a command to its end, and a renewal of the stored session that it has begun.
///
/// # Errors
/// When it cannot do what it is for.
pub async fn run(command: Command) -> Result<Ended, Failure> {
    let ended = carry_out(command).await;
    match (ended, session::settled().await) {
        (Ok(_), Err(not_stored)) => Err(Failure::runtime(not_stored)),
        (Err(failure), Err(not_stored)) => {
            telemetry::say(&format!("countersign: {not_stored}\n"));
            Err(failure)
        }
        (ended, Ok(())) => ended,
    }
}

async fn carry_out(command: Command) -> Result<Ended, Failure> {
    let environment = Environment::process();
    let code = match command {
        Command::Serve(arguments) => serve::run(&arguments, &environment).await,
        Command::Exec { program, settings } => return exec::run(&program, &settings, &environment).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox { write, force, settings } => {
            sandbox::run(write.as_deref(), force, &settings, &environment).await
        }
        Command::Check { options, settings } => check::run(&settings, &environment, options).await,
        Command::Init { from, force, settings } => init::run(from, force, settings).await,
        Command::Healthcheck(arguments) => healthcheck::run(&arguments, &environment).await,
        Command::Inspect { options, settings } => inspect::run(options, &settings, &environment).await,
        Command::Wait { max_wait, settings } => wait::run(max_wait, &settings, &environment).await,
        Command::Completions(shell) => {
            print(cli::completions::script(shell).as_bytes()).map(|()| ExitCode::SUCCESS)
        }
        Command::Man(folder) => man::run(folder, &environment).await,
        Command::Login { browser, settings } => login::run(&settings, &environment, browser).await,
        Command::Logout(arguments) => logout::run(&arguments, &environment).await,
        Command::Whoami { json, settings } => whoami::run(&settings, &environment, json).await,
        Command::Credentials(arguments) => credentials::run(&arguments, &environment).await,
        Command::Call { request, settings } => call::run(request, &settings, &environment).await,
        Command::WebSocket { request, settings } => websocket::run(&request, &settings, &environment).await,
        Command::Explain { request, compare, online, settings } => {
            explain::run(request, compare.as_deref(), online, &settings, &environment).await
        }
    };
    code.map(Ended::from)
}

/// Why a command did not do what it is for.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is not valid.
    Config(ConfigError),
    /// What was typed makes no sense.
    Usage(String),
    /// A signal ended it.
    Interrupted(Signal),
    /// Something else went wrong.
    Runtime(Box<dyn Error + Send + Sync>),
}

impl Failure {
    fn runtime(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Runtime(error.into())
    }

    /// Says to stderr what is wrong; the exit code for it.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        let text = match self {
            Self::Config(error) => format!("countersign: {error}\n"),
            Self::Usage(message) => format!("countersign: {message}\n"),
            Self::Interrupted(_) => String::new(),
            Self::Runtime(error) => {
                let causes = telemetry::causes(error.as_ref());
                let error = error.to_string();
                match (causes.as_str(), error.ends_with('.')) {
                    ("", _) => format!("countersign: {error}\n"),
                    // Behind whole sentences.
                    (causes, true) => format!("countersign: {error} ({causes})\n"),
                    (causes, false) => format!("countersign: {error}: {causes}\n"),
                }
            }
        };
        telemetry::say(&text);
        ExitCode::from(match self {
            Self::Config(_) => 64,
            Self::Usage(_) => 2,
            Self::Interrupted(signal) => signal.exit_code(),
            Self::Runtime(_) => 1,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(_) => f.write_str("the configuration is not valid"),
            Self::Usage(message) => f.write_str(message),
            Self::Interrupted(signal) => write!(f, "ended by {signal}"),
            Self::Runtime(_) => f.write_str("the command failed"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::runtime(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::runtime(error)
    }
}

/// Starts logging for a command that a person runs once, and gives its warnings: as text unless JSON is asked for.
fn start_log(settings: &telemetry::Settings, warnings: &[String]) -> Result<(), Failure> {
    let format = match settings.format {
        LogFormat::Auto => LogFormat::Text,
        format => format,
    };
    telemetry::start(&telemetry::Settings { format, ..settings.clone() }).map_err(Failure::Runtime)?;
    let is_quiet = matches!(settings.level.as_str(), "off" | "error");
    for warning in warnings {
        match format {
            LogFormat::Json => tracing::warn!("{warning}"),
            LogFormat::Auto | LogFormat::Text if is_quiet => {}
            LogFormat::Auto | LogFormat::Text => {
                telemetry::say(&format!("countersign: warning: {warning}\n"));
            }
        }
    }
    Ok(())
}

/// Writes to stdout, behind what was said on stderr: both may be the same terminal. A reader that has gone away,
/// `head` for one, is no failure.
fn print(text: &[u8]) -> Result<(), Failure> {
    telemetry::flush();
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::from),
    }
}

/// As [`print`], on a blocking thread, so that a signal ends the command while the reader of stdout is slow.
async fn print_aside(text: impl AsRef<[u8]> + Send + 'static) -> Result<(), Failure> {
    spawn_blocking(move || print(text.as_ref())).await.map_err(Failure::runtime)?
}
