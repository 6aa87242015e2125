//! The command line as typed: which command, its own arguments, and the settings that were given as flags.

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use clap::{ArgMatches, error::ErrorKind};
use clap_complete::Shell;

use crate::config::{Arguments, table};

pub(crate) mod completions;
mod descriptions;
mod examples;
pub(crate) mod manual;
mod mistakes;
pub mod reference;
pub(crate) mod request;
mod tree;

pub use tree::tree;

/// A command and its arguments.
#[derive(Debug)]
pub enum Command {
    /// Runs the proxy.
    Serve(Arguments),
    /// Runs a program beside the proxy.
    Exec {
        /// The program.
        program: Program,
        /// The settings.
        settings: Arguments,
    },
    /// Runs the whole flow without AWS.
    #[cfg(feature = "sandbox")]
    Sandbox {
        /// The folder that gets files for applications.
        write: Option<PathBuf>,
        /// Replaces files there that the sandbox has not written.
        force: bool,
        /// The settings.
        settings: Arguments,
    },
    /// Signs in and remembers the session.
    Login {
        /// Through the managed-login pages in a browser.
        browser: bool,
        /// The settings.
        settings: Arguments,
    },
    /// Forgets the session and revokes it.
    Logout(Arguments),
    /// Shows who is signed in.
    Whoami {
        /// For programs.
        json: bool,
        /// The settings.
        settings: Arguments,
    },
    /// Prints AWS credentials for other programs.
    Credentials(Arguments),
    /// Sends one signed request.
    Call {
        /// The request.
        request: Call,
        /// The settings.
        settings: Arguments,
    },
    /// Talks over a WebSocket.
    WebSocket {
        /// The handshake.
        request: WebSocket,
        /// The settings.
        settings: Arguments,
    },
    /// Shows how a request is signed, without sending it.
    Explain {
        /// The request.
        request: Call,
        /// A file with the text of a gateway's refusal, `-` for standard input.
        compare: Option<PathBuf>,
        /// Signs with real credentials.
        online: bool,
        /// The settings.
        settings: Arguments,
    },
    /// Writes a configuration file from what other tools have written.
    Init {
        /// Files to look for ids in, instead of those that are found.
        from: Vec<PathBuf>,
        /// Replaces an existing file.
        force: bool,
        /// The settings.
        settings: Arguments,
    },
    /// Validates and shows the configuration.
    Check {
        /// What is shown and done.
        options: CheckOptions,
        /// The settings.
        settings: Arguments,
    },
    /// Asks a running proxy whether it is ready.
    Healthcheck(Arguments),
    /// Shows what a running proxy has recorded.
    Inspect {
        /// How it is shown.
        options: InspectOptions,
        /// The settings.
        settings: Arguments,
    },
    /// Waits until a running proxy is ready.
    Wait {
        /// The maximum time to wait.
        max_wait: Duration,
        /// The settings.
        settings: Arguments,
    },
    /// Prints a completion script.
    Completions(Shell),
    /// Writes the manual pages to a folder.
    Man(PathBuf),
}

/// What `check` shows, and what it does besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Signs in and fetches credentials as well.
    pub online: bool,
    /// Shows settings that have their defaults as well.
    pub all: bool,
    /// For programs.
    pub json: bool,
}

/// How `inspect` shows the exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InspectOptions {
    /// As lines, until the proxy ends.
    pub follow: bool,
    /// As lines of JSON, until the proxy ends.
    pub json: bool,
}

/// What `exec` runs, as typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// The name, or the path.
    pub name: OsString,
    /// What follows it.
    pub arguments: Vec<OsString>,
}

/// An argument may be secret.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The request of `call` and `explain`, as typed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path below the upstream, perhaps with a query.
    pub path: String,
    /// The body, or `@FILE`, or `@-` for standard input.
    pub data: Option<String>,
    /// `Name: value`.
    pub headers: Vec<String>,
    /// `name=value`, to be encoded and added to the query.
    pub query: Vec<String>,
    /// Whether the response head is printed before the body.
    pub include: bool,
    /// Whether a refused request is explained.
    pub verbose: bool,
}

/// A body or a header may be secret.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// The handshake of `ws`, as typed, and how it is waited for messages.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebSocket {
    /// The path below the upstream, perhaps with a query.
    pub path: String,
    /// `Name: value`.
    pub headers: Vec<String>,
    /// `name=value`, to be encoded and added to the query.
    pub query: Vec<String>,
    /// The subprotocols to offer.
    pub protocols: Vec<String>,
    /// How long to wait for another message once the input has ended; `None` for the default.
    pub wait: Option<Duration>,
    /// Whether a refused handshake is explained.
    pub verbose: bool,
}

/// A header may be secret.
impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Parses the arguments of the process, its name first.
///
/// The error is clap's: it prints itself, and says which exit code it has (0 for help, 2 for wrong usage).
pub fn parse<I, T>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let typed: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let matches = tree().try_get_matches_from(&typed).map_err(|error| mistakes::explained(error, &typed))?;
    let Some((name, matches)) = matches.subcommand() else {
        return Err(tree().error(ErrorKind::MissingSubcommand, "a command is required"));
    };
    Ok(match name {
        "serve" => Command::Serve(settings(matches)),
        "exec" => Command::Exec { program: program(matches), settings: settings(matches) },
        #[cfg(feature = "sandbox")]
        "sandbox" => Command::Sandbox {
            write: matches.get_one("write").cloned(),
            force: matches.get_flag("force"),
            settings: settings(matches),
        },
        "login" => Command::Login { browser: matches.get_flag("browser"), settings: settings(matches) },
        "logout" => Command::Logout(settings(matches)),
        "whoami" => Command::Whoami { json: matches.get_flag("json"), settings: settings(matches) },
        "credentials" => Command::Credentials(settings(matches)),
        "call" => Command::Call { request: call(matches)?, settings: settings(matches) },
        "ws" => {
            Command::WebSocket { request: request::parse_websocket(matches), settings: settings(matches) }
        }
        "explain" => Command::Explain {
            request: request::parse(matches)?,
            compare: matches.get_one("compare").cloned(),
            online: matches.get_flag("online"),
            settings: settings(matches),
        },
        "init" => Command::Init {
            from: matches.get_many("from").into_iter().flatten().cloned().collect(),
            force: matches.get_flag("force"),
            settings: flags(matches, Arguments::default()),
        },
        "check" => Command::Check {
            options: CheckOptions {
                online: matches.get_flag("online"),
                all: matches.get_flag("all"),
                json: matches.get_flag("json"),
            },
            settings: settings(matches),
        },
        "healthcheck" => Command::Healthcheck(settings(matches)),
        "inspect" => Command::Inspect {
            options: InspectOptions { follow: matches.get_flag("follow"), json: matches.get_flag("json") },
            settings: settings(matches),
        },
        "wait" => Command::Wait {
            max_wait: *matches.get_one("max").expect("it has a default"),
            settings: settings(matches),
        },
        "completions" => Command::Completions(*matches.get_one("shell").expect("clap requires it")),
        "man" => Command::Man(matches.get_one::<PathBuf>("folder").expect("clap requires it").clone()),
        other => unreachable!("clap knows no command {other}"),
    })
}

/// The flags that derive from the table of settings, and `--config`.
fn settings(matches: &ArgMatches) -> Arguments {
    flags(matches, Arguments::default().with_config_file(matches.get_one("config").cloned()))
}

fn flags(matches: &ArgMatches, arguments: Arguments) -> Arguments {
    table::SETTINGS.iter().fold(arguments, |arguments, setting| {
        match matches.try_get_many::<String>(setting.name) {
            Ok(Some(values)) => arguments.with_flag(setting, values.cloned()),
            // Either not given, or not a flag of this command.
            Ok(None) | Err(_) => arguments,
        }
    })
}

fn program(matches: &ArgMatches) -> Program {
    let mut words = matches.get_many::<OsString>("program").into_iter().flatten().cloned();
    Program { name: words.next().expect("clap requires it"), arguments: words.collect() }
}

fn call(matches: &ArgMatches) -> Result<Call, clap::Error> {
    let request = request::parse(matches)?;
    Ok(Call { include: matches.get_flag("include"), verbose: matches.get_flag("verbose"), ..request })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        std::iter::once("countersign").chain(line.split_whitespace()).map(str::to_owned).collect()
    }

    #[test]
    fn the_command_tree_is_consistent() {
        tree().debug_assert();
    }

    #[test]
    fn each_command_is_known() {
        for line in [
            "serve --listen localhost:0 --allow-origin http://a --allow-origin http://b --trust-documents",
            "login --browser --user-pool-id eu-west-1_A",
            "logout",
            "whoami --json",
            "call GET /x",
            "ws /x?y=z -H x-a:1 --query a=b --protocol mqtt --protocol chat --wait 5s -v",
            "explain GET /x --compare - --upstream https://a.example",
            "init --from a.json --from b.json --force --client-id x",
            "check --online --json --upstream https://a.example",
            "healthcheck --admin-listen localhost:1",
            "inspect --follow --json --admin-listen localhost:1",
            "wait --max 5s --admin-listen localhost:1",
            "credentials --amplify-outputs x.json",
            "exec --listen localhost:0 -- npm test",
            "completions bash",
            "man manual",
        ] {
            assert!(parse(words(line)).is_ok(), "{line}");
        }
    }

    #[test]
    #[cfg(feature = "sandbox")]
    fn the_sandbox_takes_its_own_flags_and_no_credentials() {
        assert!(
            parse(words(
                "sandbox --backend http://localhost:1 --credentials-lifetime 30s --listen localhost:0"
            ))
            .is_ok()
        );
        assert!(parse(words("sandbox --user-pool-id eu-west-1_A")).is_err());
        assert!(parse(words("serve --backend http://localhost:1")).is_err());
    }

    #[test]
    fn the_request_of_a_call_is_taken_as_typed() {
        let line = "call POST /orders?a=b -d -1 -H x-a:1 -H x-b:2 --query c=d -i";
        let Ok(Command::Call { request, .. }) = parse(words(line)) else { panic!("valid") };
        assert_eq!(
            request,
            Call {
                method: "POST".into(),
                path: "/orders?a=b".into(),
                data: Some("-1".into()),
                headers: vec!["x-a:1".into(), "x-b:2".into()],
                query: vec!["c=d".into()],
                include: true,
                verbose: false,
            }
        );
    }

    #[test]
    fn arguments_after_the_dashes_belong_to_the_program() {
        let line = "exec --max-body 1MiB -- npm --listen x -- --help";
        let Ok(Command::Exec { program, .. }) = parse(words(line)) else { panic!("valid") };
        let arguments = ["--listen", "x", "--", "--help"].map(OsString::from).to_vec();
        assert_eq!(program, Program { name: "npm".into(), arguments });
    }

    #[test]
    fn the_help_of_exec_has_the_defaults_of_exec() {
        let help = parse(words("exec --help")).expect_err("help").to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for default in ["localhost:0", "off", "warn"] {
            assert!(help.contains(&format!("[default: {default}]")), "{default}: {help}");
        }
        assert!(!help.contains("localhost:818") && !help.contains("exit-zero"), "{help}");
    }

    #[test]
    fn wrong_usage_ends_with_2_and_names_what_is_near() {
        for (line, expected) in [
            ("serve --listn localhost:0", "--listen"),
            ("serv", "serve"),
            ("serve --listen localhost:0 --listen localhost:1", "--listen"),
            ("call GET", "PATH"),
            ("completions klingon", "bash"),
            ("wait --max 5", "did you mean 5s?"),
            ("exec npm test", "-- <PROGRAM>"),
            ("exec --listen localhost:0", "<PROGRAM>"),
        ] {
            let error = parse(words(line)).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn no_command_prints_help_and_succeeds() {
        for line in ["", "--help", "--version", "serve --help"] {
            assert_eq!(parse(words(line)).expect_err(line).exit_code(), 0, "{line}");
        }
    }

    #[test]
    fn a_secret_flag_is_refused_without_repeating_the_secret() {
        for line in ["serve --password hunter2", "login --password=hunter2", "serve --client-secret hunter2"]
        {
            let error = parse(words(line)).expect_err(line);
            let text = error.to_string();
            assert_eq!(error.exit_code(), 2);
            assert!(text.contains("-file FILE, or set the variable COUNTERSIGN_"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn help_has_a_line_with_the_default_for_every_setting_of_serve() {
        let help = parse(words("serve --help")).expect_err("help").to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in table::SETTINGS.iter().filter(|setting| setting.uses.contains(&table::Use::Serve)) {
            assert!(help.contains(&format!("--{}", setting.name)), "{}", setting.name);
            let default = setting.default.map(|default| format!("[default: {default}]"));
            assert!(default.is_none_or(|default| help.contains(&default)), "{}", setting.name);
        }
    }

    #[test]
    fn debug_of_a_command_shows_no_values() {
        let line = "call GET / -H authorization:hunter2 -d hunter2 --set-header x-api-key=hunter2";
        for line in [line, "exec -- psql hunter2"] {
            let command = parse(words(line)).expect("valid");
            assert!(!format!("{command:?}").contains("hunter2"));
        }
    }
}
