//! The commands and their flags, built from the table of settings.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};
use clap_complete::Shell;

use super::{descriptions, examples, reference, request};
use crate::config::{
    self, outputs,
    table::{self, Kind, SETTINGS, Setting, Use},
};

/// The whole command line, for parsing, help and completion.
#[must_use]
pub fn tree() -> Command {
    let commands = [
        with_settings(command("serve", "Run the proxy"), Use::Serve),
        with_settings(exec(), Use::Exec),
        #[cfg(feature = "sandbox")]
        with_settings(sandbox(), Use::Sandbox),
        init(),
        with_settings(login(), Use::Session),
        with_settings(command("logout", "Forget the stored session and revoke it"), Use::Session),
        with_settings(
            command("whoami", "Show the user, the identity and when the credentials expire").arg(json()),
            Use::Session,
        ),
        with_settings(
            command("credentials", "Print AWS credentials as JSON, for credential_process of the AWS tools"),
            Use::Credentials,
        ),
        with_settings(call(), Use::Call),
        with_settings(websocket(), Use::Call),
        with_settings(explain(), Use::Call),
        with_settings(check(), Use::Serve),
        with_settings(command("healthcheck", "Ask a running proxy whether it is ready"), Use::Healthcheck),
        with_settings(inspect(), Use::Healthcheck),
        with_settings(wait(), Use::Healthcheck),
        completions(),
        man(),
    ];
    Command::new("countersign")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A local proxy that signs requests to IAM-protected APIs as an Amazon Cognito user")
        .after_help(descriptions::notes("countersign").unwrap_or_default())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands.map(with_texts))
}

const CONFIG_HELP: &str = "Configuration file [default: countersign.toml, else countersign/config.toml in the user's \
                           configuration folder]";

/// Settings that the short help of a command lists; the long one has all.
const COMMON: &[&str] = &[
    "listen",
    "admin-listen",
    "allow-origin",
    "upstream",
    "region",
    "amplify-outputs",
    "user-pool-id",
    "client-id",
    "identity-pool-id",
    "username",
    "password-file",
    "log-level",
    "backend",
    "port-base",
    "user",
    "state",
];

/// Puts notes and exit codes at the end of the help of `command`, and the description and examples into the long one.
fn with_texts(command: Command) -> Command {
    let hides_some = command.get_arguments().any(Arg::is_hide_short_help_set);
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let description = format!("{about}\n\n{}", descriptions::of(name).unwrap_or_default());
    let both = [descriptions::notes(name).map(str::to_owned), exit_codes(&command)];
    let both: String = both.into_iter().flatten().map(|text| format!("{text}\n\n")).collect();
    let examples = examples::help(name).unwrap_or_default();
    let short =
        if hides_some { "--help lists every setting with its variable, and has examples." } else { "" };
    let after_help = format!("{both}{short}").trim_end().to_owned();
    command
        .long_about(description)
        .after_help(after_help)
        .after_long_help(format!("{both}{examples}").trim_end().to_owned())
}

/// The exit codes that mean something else than for most commands; nothing where only success does.
fn exit_codes(command: &Command) -> Option<String> {
    let own: Vec<_> = reference::exit_codes(command).filter(|row| !row.commands.is_empty()).collect();
    own.iter().find(|row| row.code != "0")?;
    let width = own.iter().map(|row| row.code.len()).max()?;
    let line =
        |row: &&reference::ExitCode| format!("  {:width$}  {}\n", row.code, row.meaning.replace('`', ""));
    Some(format!("Exit codes:\n{}", own.iter().map(line).collect::<String>().trim_end()))
}

fn command(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about)
}

fn exec() -> Command {
    command("exec", "Run a program beside a proxy, with the proxy's URL in COUNTERSIGN_URL").arg(
        Arg::new("program")
            .value_name("PROGRAM")
            .help("The program and its arguments")
            .value_parser(value_parser!(OsString))
            .value_hint(ValueHint::CommandWithArguments)
            .num_args(1..)
            .last(true)
            .required(true),
    )
}

#[cfg(feature = "sandbox")]
fn sandbox() -> Command {
    let write = Arg::new("write")
        .long("write")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::DirPath)
        .help("Write amplify_outputs.json, aws-exports.js, .env.local and countersign.toml for this sandbox");
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .requires("write")
        .help("Replace files in that folder that the sandbox has not written");
    command("sandbox", "Run a user pool, an identity pool and an API on loopback, and the proxy in front")
        .args([write, force])
}

fn init() -> Command {
    let from = Arg::new("from")
        .long("from")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .action(ArgAction::Append)
        .help("File to take the ids from; can be repeated [default: the usual files of this project]");
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .help("Replace countersign.toml if it exists");
    let settings = outputs::SETTINGS.iter().filter_map(|name| table::find(name));
    command("init", "Write countersign.toml with the ids that CDK, SST, Amplify, CloudFormation or SAM wrote")
        .args([from, force])
        .args(settings.map(|setting| flag(setting, Use::Session)))
}

fn inspect() -> Command {
    command("inspect", "Open the inspector of a running proxy in the browser, and print its URL")
        .arg(
            Arg::new("follow")
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Print each request as a line, with what a refusal means, until the proxy ends"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print each request as a line of JSON, until the proxy ends"),
        )
}

fn wait() -> Command {
    let longest = Arg::new("max")
        .long("max")
        .value_name("DURATION")
        .value_parser(config::duration)
        .default_value("30s")
        .help("Maximum time to wait");
    command("wait", "Wait until a running proxy is ready").arg(longest)
}

fn login() -> Command {
    command("login", "Sign in at the terminal and remember the session").arg(
        Arg::new("browser")
            .long("browser")
            .action(ArgAction::SetTrue)
            .help("Sign in on the pool's managed-login pages instead"),
    )
}

fn switch(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name).long(name).short(short).action(ArgAction::SetTrue).help(help)
}

fn call() -> Command {
    let about = "Send one signed request and print the response body";
    request::arguments(command("call", about))
        .override_usage("countersign call [OPTIONS] <METHOD> <PATH>")
        .arg(switch("include", 'i', "Print the response head as well"))
        .arg(switch("verbose", 'v', "Explain the signature when the answer is a 4xx or 5xx one"))
}

fn websocket() -> Command {
    let about = "Open a WebSocket: each line of the input is sent as a message, and each message is printed";
    request::websocket_arguments(command("ws", about)).arg(switch(
        "verbose",
        'v',
        "Explain the signature when the handshake is refused",
    ))
}

fn explain() -> Command {
    let about = "Show how a request is signed, without sending it";
    request::arguments(command("explain", about))
        .override_usage("countersign explain [OPTIONS] <METHOD> <PATH>")
        .arg(
            Arg::new("compare")
                .long("compare")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Saved answer (body, or all of curl -i), to say what it means and what differs; - is standard input"),
        )
        .arg(Arg::new("online").long("online").action(ArgAction::SetTrue).help("Sign in and sign with that"))
}

fn check() -> Command {
    command("check", "Validate the configuration and show it, with where each value came from")
        .arg(
            Arg::new("online")
                .long("online")
                .action(ArgAction::SetTrue)
                .help("Sign in and fetch credentials as well"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Show settings that have their defaults as well"),
        )
        .arg(json())
}

fn completions() -> Command {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell));
    command("completions", "Print a completion script for a shell").arg(shell)
}

fn man() -> Command {
    let folder = Arg::new("folder")
        .value_name("DIR")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::DirPath)
        .help("Folder for the pages; it is made if it does not exist");
    command("man", "Write the manual pages, one for each command").arg(folder)
}

fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")
}

fn with_settings(command: Command, used: Use) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help(CONFIG_HELP)
        .long_help(format!("{CONFIG_HELP}\n[variable: COUNTERSIGN_CONFIG]"));
    let used_here = SETTINGS.iter().filter(|setting| setting.uses.contains(&used));
    // What only the sandbox has stands before what it shares with the proxy.
    let (own, shared): (Vec<_>, Vec<_>) = used_here.partition(|setting| setting.uses == [Use::Sandbox]);
    let flags = own.into_iter().chain(shared).map(|setting| {
        let former = request::former_name(setting.name).filter(|_| used == Use::Call);
        former.into_iter().fold(flag(setting, used), Arg::alias)
    });
    command.arg(config).args(flags)
}

fn flag(setting: &'static Setting, used: Use) -> Arg {
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value_name)
        .help(help(setting, used))
        .long_help(format!("{}\n[variable: {}]", help(setting, used), variables(setting)))
        .hide_short_help(!COMMON.contains(&setting.name))
        .help_heading(setting.group.heading());
    let arg = if setting.value_name == "FILE" { arg.value_hint(ValueHint::FilePath) } else { arg };
    match setting.kind {
        Kind::List => arg.action(ArgAction::Append),
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}

/// The variable of a setting; for the file of a secret, also the one that takes the secret itself.
fn variables(setting: &Setting) -> String {
    let variable = setting.variable();
    match setting.secret() {
        Some(_) => format!("{variable}, or {} for the secret itself", variable.trim_end_matches("_FILE")),
        None => variable,
    }
}

/// The default is text in help and nothing to clap, which would take it for a value that was typed.
fn help(setting: &Setting, used: Use) -> String {
    match (setting.default_of(used), setting.kind) {
        (Some(default), _) => format!("{} [default: {default}]", setting.help),
        (None, Kind::List) => format!("{}; can be repeated", setting.help),
        (None, _) => setting.help.to_owned(),
    }
}
