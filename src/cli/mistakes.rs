//! What is said about a command line that cannot be parsed: what is wrong, and what to type instead.

use std::ffi::OsString;

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::tree;
use crate::config::{
    nearest,
    table::{self, SETTINGS},
};

/// Flags of curl, aws-sigv4-proxy, aws-es-proxy, dev servers and the AWS CLI, and what they are called here.
const FOREIGN: &[(&[&str], &str)] = &[
    (&["port", "p"], "write --listen localhost:PORT"),
    (&["bind", "bind-address", "address", "addr"], "write --listen localhost:PORT"),
    (&["host"], "write --listen HOST:PORT for clients, or --upstream https://HOST for the API"),
    (
        &["endpoint", "e", "url", "target", "api", "api-url", "base-url", "invoke-url"],
        "write --upstream https://ID.execute-api.REGION.amazonaws.com/STAGE",
    ),
    (&["name"], "write --service NAME for the service to sign for"),
    (&["region"], "the ids of the pools begin with their region, so that this command needs no other"),
    (&["v", "verbose", "debug"], "write --log-level debug"),
    (&["q", "quiet", "silent", "s"], "write --log-level error"),
    (&["profile"], "write --credentials aws, and set AWS_PROFILE to the name of the profile"),
    (&["role-arn", "assume-role"], "write --custom-role-arn ARN for a role of the identity pool"),
    (&["origin", "cors"], "write --allow-origin http://localhost:5173 for the origin of the page"),
    (&["custom-headers"], "write --set-header NAME=VALUE"),
    (&["strip"], "write --strip-header NAME"),
    (&["c", "f", "config-file", "env-file"], "write --config FILE"),
    (&["u", "user", "email"], "write --username NAME"),
    (
        &["k", "insecure", "no-verify-ssl", "skip-verify"],
        "certificates are always verified; write --ca-file FILE to trust another root",
    ),
    (&["x", "request"], "the method comes first: countersign call POST /path"),
    (&["timeout", "max-time", "m"], "write --response-timeout 60s"),
    (&["d", "data", "h", "header"], "write countersign call METHOD PATH, which has -d and -H"),
];

/// Words that other programs have for a command.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["run", "start", "proxy", "server", "up"], "serve"),
    (&["signin", "sign-in", "auth"], "login"),
    (&["signout", "sign-out"], "logout"),
    (&["get", "post", "request", "curl", "send"], "call"),
    (&["validate", "config", "doctor"], "check"),
    (&["status", "health"], "healthcheck"),
];

/// The error in at most two lines, with a tip where one can be given.
pub(super) fn explained(error: Error, typed: &[OsString]) -> Error {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.clone(),
        Some(ContextValue::Strings(arguments)) => arguments.join(" "),
        _ => String::new(),
    };
    let command = command_of(typed);
    let name = command.as_ref().map(Command::get_name);
    match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            tree().try_get_matches_from(["countersign", "--help"]).map_or_else(|help| help, |_| error)
        }
        ErrorKind::UnknownArgument => secret_flag(&argument).unwrap_or_else(|| {
            let flag = as_typed(&argument, typed);
            let tip = tip(&flag, command.as_ref(), typed);
            two_lines(error.kind(), &format!("unexpected argument '{flag}'"), &tip)
        }),
        ErrorKind::InvalidSubcommand => {
            let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
                return error;
            };
            let tip = command_meant(typed)
                .map_or("countersign --help lists the commands".to_owned(), |name| did_you_mean(&name));
            two_lines(error.kind(), &format!("there is no command '{typed}'"), &tip)
        }
        ErrorKind::MissingRequiredArgument => match name {
            Some(name) => two_lines(error.kind(), &format!("{argument} is missing"), &usage(name)),
            None => error,
        },
        _ if error.use_stderr() => without_usage(&error),
        _ => error,
    }
}

/// What clap says about a value or a contradiction, without the lines about usage that follow.
fn without_usage(error: &Error) -> Error {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|mark| text.find(mark)).min();
    let text = text[..end.unwrap_or(text.len())].replace("\n\n", "\n");
    Error::raw(error.kind(), text.trim_end().to_owned() + "\n")
}

fn two_lines(kind: ErrorKind, message: &str, tip: &str) -> Error {
    Error::raw(kind, format!("{message}\n  tip: {tip}\n"))
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean '{name}'?")
}

fn command_meant(typed: &str) -> Option<String> {
    let lower = typed.to_ascii_lowercase();
    let synonym = COMMANDS.iter().find(|(words, _)| words.contains(&lower.as_str()));
    let near = || {
        let commands = tree();
        nearest(typed, commands.get_subcommands().map(Command::get_name)).map(str::to_owned)
    };
    synonym.map(|(_, name)| (*name).to_owned()).or_else(near)
}

/// The command that was typed.
fn command_of(typed: &[OsString]) -> Option<Command> {
    let words = typed.iter().skip(1).filter_map(|word| word.to_str());
    words.into_iter().find_map(|word| tree().find_subcommand(word).cloned())
}

fn usage(command: &str) -> String {
    let arguments = match command {
        "call" | "explain" => "<METHOD> <PATH>",
        "completions" => "<SHELL>",
        "exec" => "[OPTIONS] -- <PROGRAM>...",
        _ => "--help",
    };
    format!("write countersign {command} {arguments}")
}

/// `-endpoint` instead of the `-e` of which clap speaks: other tools have long flags with one dash.
fn as_typed(argument: &str, typed: &[OsString]) -> String {
    let words = typed.iter().filter_map(|word| word.to_str());
    let is_short = |word: &&str| !word.starts_with("--") && word.len() > 2 && word.starts_with(argument);
    let long =
        words.into_iter().find(|word| argument.len() == 2 && argument.starts_with('-') && is_short(word));
    // What follows the equals sign may be a secret.
    let flag = long.unwrap_or(argument);
    flag.split('=').next().unwrap_or(flag).to_owned()
}

fn tip(flag: &str, command: Option<&Command>, typed: &[OsString]) -> String {
    let name = flag.trim_start_matches('-');
    let Some(command) = command else {
        if let Some(near) =
            ["--version", "--help"].into_iter().find(|known| nearest(name, [*known]).is_some())
        {
            return did_you_mean(near);
        }
        if name == "v" {
            return did_you_mean("--version");
        }
        let whole = "write the command first, as in countersign serve --listen localhost:8181";
        return foreign(name, typed)
            .map_or(whole.to_owned(), |tip| format!("{tip}, behind a command such as serve"));
    };
    if !flag.starts_with('-') {
        let switch = typed.iter().zip(typed.iter().skip(1)).find(|(_, word)| *word == flag);
        let switch = switch.and_then(|(switch, _)| switch.to_str()).filter(|word| word.starts_with("--"));
        return match (switch, command.get_name()) {
            (Some(switch), _) if switch.len() > 2 => format!("write {switch}={flag}"),
            (_, "exec") => usage("exec"),
            (_, name) => format!("countersign {name} --help lists the arguments"),
        };
    }
    let flags: Vec<&str> =
        command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long()).collect();
    if let Some(known) = flags.iter().find(|known| **known == name) {
        return format!("flags have two dashes: --{known}");
    }
    if let Some(tip) = foreign(name, typed) {
        return tip;
    }
    if let Some(near) = nearest(name, flags.iter().copied()) {
        return did_you_mean(&format!("--{near}"));
    }
    if SETTINGS.iter().any(|setting| setting.name == name) {
        return format!("{flag} is not a flag of {}, which does not need it", command.get_name());
    }
    format!("countersign {} --help lists the flags", command.get_name())
}

fn foreign(name: &str, typed: &[OsString]) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let (_, tip) = FOREIGN.iter().find(|(names, _)| names.contains(&lower.as_str()))?;
    let port = port_after(name, typed).filter(|_| tip.ends_with("localhost:PORT"));
    Some(port.map_or((*tip).to_owned(), |port| tip.replace("PORT", &port)))
}

/// The port that was typed with the flag `name`: `--port 8080`, `--port=8080` or `--port :8080`.
fn port_after(name: &str, typed: &[OsString]) -> Option<String> {
    let words: Vec<&str> = typed.iter().filter_map(|word| word.to_str()).collect();
    let at = words.iter().position(|word| word.trim_start_matches('-').split('=').next() == Some(name))?;
    let value = words[at].split_once('=').map(|(_, value)| value).or_else(|| words.get(at + 1).copied())?;
    let port = value.rsplit(':').next().unwrap_or(value);
    port.parse::<u16>().is_ok().then(|| port.to_owned())
}

fn secret_flag(flag: &str) -> Option<Error> {
    let name = flag.trim_start_matches('-').split('=').next()?;
    let setting = SETTINGS.iter().find(|setting| setting.secret() == Some(name))?;
    let variable =
        table::secret_variables().find(|variable| setting.variable().starts_with(variable.as_str()))?;
    let tip = format!("write --{} FILE, or set the variable {variable}", setting.name);
    let message = format!("--{name} would show the secret to every user of this machine");
    Some(two_lines(ErrorKind::UnknownArgument, &message, &tip))
}
