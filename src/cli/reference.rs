//! The exit codes, variables and files that help, the manual pages and the documents list.
//!
//! Names stand between backticks, as in Markdown.

use std::fmt::Write as _;

use clap::Command;

/// What an exit code means.
#[derive(Debug)]
pub(super) struct ExitCode {
    pub(super) code: &'static str,
    /// The commands for which it means this; empty for all others.
    pub(super) commands: &'static [&'static str],
    pub(super) meaning: &'static str,
}

/// A variable that is not one of a setting.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) names: &'static [&'static str],
    /// The argument of the commands that read it.
    argument: &'static str,
    pub(super) meaning: &'static str,
}

/// A file or folder that a command uses unless something else is named.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    /// The argument of the commands that use it.
    argument: &'static str,
    pub(super) meaning: &'static str,
}

const EXIT_CODES: &[ExitCode] = &[
    exit_code("0", &[], "success"),
    exit_code("0", &["serve", "sandbox"], "a clean end, with `exit-zero-on-sigterm` also by SIGTERM"),
    exit_code("0", &["healthcheck", "wait"], "the proxy is ready"),
    exit_code("0", &["call"], "a 2xx or 3xx answer"),
    exit_code("0", &["ws"], "the connection ended with 1000, 1001 or no code"),
    exit_code(
        "1",
        &[],
        "failure at start or while running, also when a new refresh token could not be stored",
    ),
    exit_code("1", &["healthcheck", "wait"], "the proxy is not ready"),
    exit_code("1", &["ws"], "the connection ended with another code, or failed"),
    exit_code(
        "1",
        &["exec"],
        "the proxy failed, or there were no credentials and the program was not started",
    ),
    exit_code("2", &[], "wrong usage of the command line"),
    exit_code("22", &["call"], "a 4xx or 5xx answer"),
    exit_code("22", &["ws"], "the API refused the handshake"),
    exit_code("64", &[], "the configuration is not valid"),
    exit_code("126", &["exec"], "the program cannot be run"),
    exit_code("127", &["exec"], "there is no such program"),
    exit_code(
        "the program's",
        &["exec"],
        "what the program ended with, or 128 plus the number of the signal that ended it",
    ),
    exit_code("129, 130, 143", &[], "ended because its terminal closed, by SIGINT, by SIGTERM"),
];

const VARIABLES: &[Variable] = &[
    variable(&["COUNTERSIGN_CONFIG"], "config", "Configuration file, unless `--config` names one"),
    variable(&["COUNTERSIGN_URL"], "program", "The proxy's URL, for the program; `exec` sets it"),
    variable(&["AWS_REGION"], "region", "Region to sign for, unless `region` or `region-set` is set"),
    variable(
        &[
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY",
            "AWS_ENDPOINT_URL_STS",
        ],
        "user-pool-id",
        "Endpoint to use instead of AWS's: for all services, for the user pool, for the identity pool, for STS",
    ),
    variable(&["AWS_CA_BUNDLE"], "user-pool-id", "PEM file with additional trusted roots for AWS"),
    variable(&["SSL_CERT_FILE"], "user-pool-id", "PEM file with trusted roots, instead of the system's"),
    variable(
        &["HTTPS_PROXY", "ALL_PROXY"],
        "user-pool-id",
        "Forward proxy on the way to the upstream and to AWS; the first that is set counts",
    ),
    variable(&["NO_PROXY"], "user-pool-id", "Hosts to reach without the forward proxy"),
    variable(
        &["RUST_LOG"],
        "log-level",
        "Filter of the log; it wins over `log-level`, but not over the flag",
    ),
    variable(&["NO_COLOR"], "log-level", "Leaves out the colours of the log"),
    variable(&["XDG_CONFIG_HOME"], "config", "Folder of `countersign/config.toml`, instead of the system's"),
    variable(
        &["XDG_STATE_HOME"],
        "user-pool-id",
        "Folder of `countersign`, which has the stored sessions, instead of the system's",
    ),
];

const FILES: &[File] = &[
    file("./countersign.toml", "config", "Settings, unless `--config` or `COUNTERSIGN_CONFIG` names a file"),
    file(
        "~/.config/countersign/config.toml",
        "config",
        "Settings, where there is no `./countersign.toml`; on macOS \
         `~/Library/Application Support/countersign/config.toml`",
    ),
    file(
        "~/.local/state/countersign",
        "user-pool-id",
        "Stored sessions, which this user alone can read; on macOS `~/Library/Application Support/countersign`",
    ),
    file("./countersign.toml", "from", "What the command writes"),
];

const fn exit_code(code: &'static str, commands: &'static [&'static str], meaning: &'static str) -> ExitCode {
    ExitCode { code, commands, meaning }
}

const fn variable(names: &'static [&'static str], argument: &'static str, meaning: &'static str) -> Variable {
    Variable { names, argument, meaning }
}

const fn file(path: &'static str, argument: &'static str, meaning: &'static str) -> File {
    File { path, argument, meaning }
}

/// The exit codes of `command`.
pub(super) fn exit_codes(command: &Command) -> impl Iterator<Item = &'static ExitCode> {
    let name = command.get_name();
    let is_configured = name == "countersign" || takes(command, "config");
    let is_own = move |row: &ExitCode| row.commands.contains(&name);
    EXIT_CODES.iter().filter(move |row| {
        let is_replaced = || EXIT_CODES.iter().any(|other| other.code == row.code && is_own(other));
        is_own(row) || (row.commands.is_empty() && !is_replaced() && (row.code != "64" || is_configured))
    })
}

/// The variables that `command` reads besides those of its settings.
pub(super) fn variables(command: &Command) -> impl Iterator<Item = &'static Variable> {
    VARIABLES.iter().filter(|row| takes(command, row.argument))
}

/// The files that `command` uses unless something else is named.
pub(super) fn files(command: &Command) -> impl Iterator<Item = &'static File> {
    FILES.iter().filter(|row| takes(command, row.argument))
}

fn takes(command: &Command, argument: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == argument)
}

/// The table of exit codes in `docs/commands.md`.
#[must_use]
pub fn exit_codes_document() -> String {
    let mut text = "| exit code | meaning |\n|---|---|\n".to_owned();
    let codes = EXIT_CODES.chunk_by(|one, other| one.code == other.code);
    for rows in codes {
        let meanings: Vec<_> = rows.iter().map(of_commands).collect();
        let _ = writeln!(text, "| {} | {} |", rows[0].code, meanings.join("; "));
    }
    text
}

fn of_commands(row: &ExitCode) -> String {
    let names: Vec<_> = row.commands.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        row.meaning.to_owned()
    } else {
        format!("for {}: {}", names.join(" and "), row.meaning)
    }
}

/// The table of other tools' variables in `docs/settings.md`.
#[must_use]
pub fn variables_document() -> String {
    let mut text = "| variable | meaning |\n|---|---|\n".to_owned();
    for row in VARIABLES.iter().filter(|row| !row.names[0].starts_with("COUNTERSIGN_")) {
        let _ = writeln!(text, "| `{}` | {} |", row.names.join("`, `"), row.meaning);
    }
    text
}

/// The paths of the files that the manual pages name.
pub fn paths() -> impl Iterator<Item = &'static str> {
    let in_text = |row: &'static File| row.meaning.split('`').skip(1).step_by(2);
    FILES
        .iter()
        .flat_map(move |row| std::iter::once(row.path).chain(in_text(row)))
        .filter(|path| path.contains('/'))
}
