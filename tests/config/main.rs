//! The configuration from outside: sources, precedence, mistakes, secrets, the example file.

mod amplify;
mod files;
mod hosts;
mod mistakes;
mod payload;
mod sandbox;
mod websocket;

use std::{fs, path::Path, time::Duration};

use countersign::{
    cli::{self, Command},
    config::{Arguments, CallConfig, Config, ConfigError, Environment, SandboxConfig, SessionConfig, table},
    credentials::{AuthFlow, Cognito, Login, RoleChoice, Settings, UserPool},
    downstream::listener::Listen,
    inspector::Mode,
    telemetry::LogFormat,
};
use proptest::prelude::{any, proptest};
use secrecy::ExposeSecret;
use tempfile::TempDir;

const UPSTREAM: &str = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod";
const IDENTITY_POOL: &str = "eu-west-1:01234567-89ab-cdef-0123-456789abcdef";

/// Variables, flags and files of one run, in a folder of their own.
struct Run {
    folder: TempDir,
    variables: Vec<(String, String)>,
    arguments: Arguments,
    stdin: Vec<u8>,
}

impl Run {
    fn empty() -> Self {
        let folder = TempDir::new().expect("a folder");
        Self { folder, variables: Vec::new(), arguments: Arguments::default(), stdin: Vec::new() }
    }

    /// All that `serve` requires, in variables.
    fn complete() -> Self {
        Self::empty()
            .variable("COUNTERSIGN_UPSTREAM", UPSTREAM)
            .variable("COUNTERSIGN_USER_POOL_ID", "eu-west-1_AbCdEf123")
            .variable("COUNTERSIGN_CLIENT_ID", "client1")
            .variable("COUNTERSIGN_IDENTITY_POOL_ID", IDENTITY_POOL)
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, name: &str, values: &[&str]) -> Self {
        let setting = table::find(name).expect("a setting");
        self.arguments = self.arguments.with_flag(setting, values.iter().map(|value| (*value).to_owned()));
        self
    }

    fn file(self, text: &str) -> Self {
        self.named_file("countersign.toml", text)
    }

    fn named_file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("a folder");
        fs::write(&path, text).expect("a file");
        set_mode(&path, 0o600);
        self
    }

    fn config_flag(mut self, path: &str) -> Self {
        self.arguments = self.arguments.with_config_file(Some(path.into()));
        self
    }

    fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    fn environment(&self) -> Environment {
        Environment::new(self.variables.clone(), self.folder.path()).with_stdin(self.stdin.clone())
    }

    fn serve(&self) -> Result<Config, ConfigError> {
        Config::for_serve(&self.arguments, &self.environment())
    }

    fn session(&self) -> Result<SessionConfig, ConfigError> {
        Config::for_session(&self.arguments, &self.environment())
    }

    fn call(&self) -> Result<CallConfig, ConfigError> {
        Config::for_call(&self.arguments, &self.environment())
    }

    fn sandbox(&self) -> Result<SandboxConfig, ConfigError> {
        Config::for_sandbox(&self.arguments, &self.environment())
    }

    fn valid(&self) -> Config {
        self.serve().unwrap_or_else(|error| panic!("{error}"))
    }

    fn problems(&self) -> Vec<String> {
        problems(self.serve())
    }
}

fn problems<T>(result: Result<T, ConfigError>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(ToString::to_string).collect(),
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode");
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) {}

fn cognito(settings: &Settings) -> &Cognito {
    match settings {
        Settings::Cognito(cognito) => cognito,
        other => panic!("not cognito: {other:?}"),
    }
}

fn user_pool(settings: &Settings) -> &UserPool {
    match &cognito(settings).login {
        Login::UserPool(user_pool) => user_pool,
        Login::IdTokenFile { .. } => panic!("not a user pool"),
    }
}

/// Asserts that there is one problem, and that all of `parts` are in it.
#[track_caller]
fn assert_problem(run: &Run, parts: &[&str]) {
    let problems = run.problems();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for part in parts {
        assert!(problems[0].contains(part), "{part:?} is not in {:?}", problems[0]);
    }
}

#[test]
fn defaults_are_those_that_are_documented() {
    let config = Run::complete().valid();
    assert_eq!(config.listen, Listen::Localhost(8181));
    assert_eq!(config.admin_listen, Some(Listen::Localhost(8182)));
    let limits = config.proxy.limits;
    assert_eq!((limits.max_body, limits.body_memory), (10 * 1024 * 1024, 64 * 1024 * 1024));
    assert_eq!((limits.max_connections, limits.max_in_flight), (1024, 256));
    let timeouts = config.proxy.timeouts;
    assert_eq!((timeouts.connect, timeouts.response), (Duration::from_secs(3), Duration::from_secs(60)));
    assert_eq!((timeouts.idle, timeouts.drain), (Duration::from_secs(310), Duration::from_secs(25)));
    assert_eq!((config.telemetry.format, config.telemetry.level.as_str()), (LogFormat::Auto, "info"));
    assert!(!config.exit_zero_on_sigterm && !config.proxy.guard.trust_documents);
    let pool = user_pool(&config.credentials);
    assert_eq!((pool.auth_flow, pool.redirect_port), (AuthFlow::Srp, 8976));
    assert_eq!(pool.endpoint, "https://cognito-idp.eu-west-1.amazonaws.com");
    assert_eq!(
        cognito(&config.credentials).identity_pool.endpoint,
        "https://cognito-identity.eu-west-1.amazonaws.com"
    );
    assert_eq!(cognito(&config.credentials).identity_pool.role, RoleChoice::Pool);
    let [route] = config.proxy.routes.as_slice() else { panic!("one route") };
    assert_eq!(
        (route.path.as_str(), route.region.as_str(), route.service.as_str()),
        ("/", "eu-west-1", "execute-api")
    );
    assert_eq!(route.upstream, UPSTREAM);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let run = Run::complete();
    assert_eq!(run.valid().proxy.limits.max_in_flight, 256);
    let run = run.file("max-in-flight = 1");
    assert_eq!(run.valid().proxy.limits.max_in_flight, 1);
    let run = run.variable("COUNTERSIGN_MAX_IN_FLIGHT", "2");
    assert_eq!(run.valid().proxy.limits.max_in_flight, 2);
    let run = run.flag("max-in-flight", &["3"]);
    assert_eq!(run.valid().proxy.limits.max_in_flight, 3);
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let run = Run::complete().file("listen = 'localhost:1'").variable("COUNTERSIGN_LISTEN", "");
    assert_eq!(run.valid().listen, Listen::Localhost(1));
    let run = run.variable("COUNTERSIGN_PASSWORD", "").variable("COUNTERSIGN_NOTHING", "");
    assert!(run.valid().warnings.is_empty());
}

#[test]
fn lists_are_separated_by_commas_in_variables_and_replaced_by_higher_layers() {
    let origins = |run: &Run| run.valid().proxy.guard.allowed_origins;
    let run = Run::complete().file("allow-origin = ['http://file:1', 'http://file:2']");
    assert_eq!(origins(&run), ["http://file:1", "http://file:2"]);
    let run = run.variable("COUNTERSIGN_ALLOW_ORIGIN", "http://a:1, http://b:2 ,");
    assert_eq!(origins(&run), ["http://a:1", "http://b:2"]);
    let run = run.flag("allow-origin", &["http://flag"]);
    assert_eq!(origins(&run), ["http://flag"]);
}

#[test]
fn one_text_in_the_file_is_a_list_of_one() {
    let run = Run::complete().file("allow-host = 'proxy'");
    assert_eq!(run.valid().proxy.guard.allowed_hosts, ["proxy"]);
}

#[test]
fn the_file_is_the_named_one_else_that_of_the_folder_else_that_of_the_user() {
    let listen = |run: &Run| run.valid().listen;
    let run = Run::complete();
    let home = run.folder.path().join("home").display().to_string();
    let run = run
        .variable("HOME", &home)
        .named_file("home/.config/countersign/config.toml", "listen = 'localhost:1'");
    assert_eq!(listen(&run), Listen::Localhost(1));
    let xdg = run.folder.path().join("xdg").display().to_string();
    let run = run
        .variable("XDG_CONFIG_HOME", &xdg)
        .named_file("xdg/countersign/config.toml", "listen = 'localhost:2'");
    assert_eq!(listen(&run), Listen::Localhost(2));
    let run = run.file("listen = 'localhost:3'");
    assert_eq!(listen(&run), Listen::Localhost(3));
    let run =
        run.named_file("other.toml", "listen = 'localhost:4'").variable("COUNTERSIGN_CONFIG", "other.toml");
    assert_eq!(listen(&run), Listen::Localhost(4));
    let run = run.named_file("flag.toml", "listen = 'localhost:5'").config_flag("flag.toml");
    assert_eq!(listen(&run), Listen::Localhost(5));
}

#[test]
fn a_named_file_that_is_missing_is_the_one_problem() {
    let run = Run::empty().config_flag("nowhere.toml");
    assert_problem(&run, &["--config: cannot read nowhere.toml: No such file"]);
    let run = Run::empty().config_flag(".");
    assert_problem(&run, &["--config: cannot read .: "]);
}

#[test]
fn an_invalid_toml_file_is_reported_by_position_without_its_content() {
    let run = Run::complete().file("listen = 'localhost:1'\npassword = hunter2\n");
    assert_problem(&run, &["countersign.toml:2: is not TOML"]);
    assert!(!run.problems().concat().contains("hunter2"));
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_positions() {
    let run = Run::empty()
        .file("# a comment\nlistn = 'localhost:1'\nmax-body = 'much'\nregion = 5\n\n[[route]]\npath = '/a'\nupstrem = 'x'\n")
        .variable("COUNTERSIGN_AUTH_FLOW", "spr")
        .flag("drain-timeout", &["25"]);
    let problems = run.problems();
    for expected in [
        "countersign.toml:2: listn: is not a setting; did you mean listen?",
        "countersign.toml:3: max-body: \"much\" is not a size such as 512KiB, 10MiB or a number of bytes",
        "countersign.toml:4: region: expected text in quotes, found a whole number",
        "countersign.toml:8: upstrem: is not a key of [[route]]; did you mean upstream?",
        "countersign.toml:6: [[route]]: has no upstream",
        "COUNTERSIGN_AUTH_FLOW: \"spr\" is not srp, password, custom or user-auth; did you mean srp?",
        "--drain-timeout: \"25\" is a duration without a unit; did you mean 25s?",
        "user-pool-id: is required: set --user-pool-id, COUNTERSIGN_USER_POOL_ID, or user-pool-id in the file",
    ] {
        assert!(problems.iter().any(|problem| problem == expected), "{expected}\nnot in {problems:#?}");
    }
}

#[test]
fn values_of_a_wrong_type_in_the_file_are_refused() {
    for (text, expected) in [
        ("listen = 8181", "text in quotes"),
        ("max-in-flight = '256'", "a whole number"),
        ("max-in-flight = 2.5", "a whole number"),
        ("trust-documents = 'yes'", "true or false"),
        ("allow-origin = [1]", "a list of texts"),
        ("allow-origin = true", "a list of texts"),
        ("listen = ['localhost:1']", "text in quotes"),
        ("max-body = true", "a size"),
        ("route = 'x'", "write [[route]]"),
        ("[route]\npath = '/'", "write [[route]]"),
        ("[listen]\nport = 1", "text in quotes"),
    ] {
        assert_problem(&Run::complete().file(text), &["countersign.toml:1: ", expected]);
    }
}

#[test]
fn a_setting_of_a_wrong_type_is_not_called_missing_as_well() {
    let run = Run::complete().variable("COUNTERSIGN_UPSTREAM", "").file("upstream = 5");
    assert_problem(&run, &["countersign.toml:1: upstream: expected text"]);
}

#[test]
fn values_that_are_wrong_are_refused_wherever_they_stand() {
    for (name, value) in [
        ("listen", "8181"),
        ("admin-listen", "none"),
        ("allow-origin", "*"),
        ("allow-host", "a:1"),
        ("upstream", "http://example.com"),
        ("region", "eu-west-1a"),
        ("service", "Execute API"),
        ("sign-host", "https://a"),
        ("set-header", "host=x"),
        ("set-header", "novalue"),
        ("strip-header", "authorization"),
        ("ca-file", "missing.pem"),
        ("credentials", "cogneto"),
        ("user-pool-id", "AbC"),
        ("client-id", "a b"),
        ("identity-pool-id", "eu-west-1:x"),
        ("auth-flow", "SRP"),
        ("redirect-port", "0"),
        ("domain", "prefix"),
        ("login-provider", "https://a.example"),
        ("custom-role-arn", "arn:aws:iam::1:role/x"),
        ("classic-flow-role-arn", "role/x"),
        ("max-body", "-1"),
        ("max-connections", "0"),
        ("max-in-flight", "x"),
        ("connect-timeout", "0s"),
        ("response-timeout", "3"),
        ("idle-timeout", "100000 years"),
        ("drain-timeout", "-1s"),
        ("log-format", "xml"),
        ("log-level", "inof"),
        ("log-level", "\u{2004}C\u{a0}Y=~"),
        ("exit-zero-on-sigterm", "maybe"),
    ] {
        let variable = format!("COUNTERSIGN_{}", name.replace('-', "_").to_uppercase());
        assert_problem(&Run::complete().variable(&variable, value), &[&format!("{variable}: ")]);
        assert_problem(&Run::complete().flag(name, &[value]), &[&format!("--{name}: ")]);
    }
}

#[test]
fn contradictions_name_the_setting_that_must_go() {
    for (name, value, other, other_value) in [
        ("username", "u", "id-token-file", "token"),
        ("user-pool-id", "eu-west-1_A", "credentials", "guest"),
        ("username", "u", "credentials", "guest"),
        ("id-token-file", "token", "credentials", "guest"),
        ("identity-pool-id", IDENTITY_POOL, "credentials", "aws"),
        (
            "classic-flow-role-arn",
            "arn:aws:iam::123456789012:role/x",
            "custom-role-arn",
            "arn:aws:iam::123456789012:role/y",
        ),
    ] {
        let run = Run::empty().named_file("token", "x").flag("upstream", &[UPSTREAM]);
        let run = run.flag(name, &[value]).flag(other, &[other_value]);
        let problems = run.problems();
        let expected = format!("--{name}: contradicts {other}");
        assert!(
            problems.iter().any(|problem| problem.starts_with(&expected)),
            "{expected} not in {problems:#?}"
        );
    }
}

#[test]
fn a_password_needs_a_username() {
    let run = Run::complete().variable("COUNTERSIGN_PASSWORD", "hunter2");
    assert_problem(&run, &["COUNTERSIGN_PASSWORD: ", "username"]);
}

#[test]
fn secrets_come_from_a_variable_a_file_or_standard_input() {
    let password = |run: &Run| {
        let config = run.valid();
        user_pool(&config.credentials).password.as_ref().map(|password| password.expose_secret().to_owned())
    };
    let run = || Run::complete().variable("COUNTERSIGN_USERNAME", "u");
    assert_eq!(password(&run()), None);
    for text in ["one", "one\n", "one\r\n"] {
        assert_eq!(password(&run().variable("COUNTERSIGN_PASSWORD", text)), Some("one".to_owned()));
    }
    let file = |text: &str| run().named_file("pw", text).variable("COUNTERSIGN_PASSWORD_FILE", "pw");
    assert_eq!(password(&file("two")), Some("two".to_owned()));
    assert_eq!(password(&file("two\n")), Some("two".to_owned()));
    assert_eq!(password(&file("two\r\n")), Some("two".to_owned()));
    assert_eq!(password(&run().flag("password-file", &["-"]).stdin("three\n")), Some("three".to_owned()));
    let beside = run().named_file("conf/pw", "four\n").named_file("conf/c.toml", "password-file = 'pw'");
    assert_eq!(password(&beside.config_flag("conf/c.toml")), Some("four".to_owned()));
}

#[test]
fn a_secret_given_twice_is_refused() {
    let run = Run::complete()
        .variable("COUNTERSIGN_USERNAME", "u")
        .variable("COUNTERSIGN_PASSWORD", "hunter2")
        .named_file("pw", "hunter3")
        .file("password-file = 'pw'");
    assert_problem(&run, &["countersign.toml:1: password-file: is set as well as COUNTERSIGN_PASSWORD"]);
}

#[test]
fn standard_input_is_one_secret_only() {
    let run = Run::complete()
        .variable("COUNTERSIGN_CLIENT_SECRET_FILE", "-")
        .variable("COUNTERSIGN_USERNAME", "u")
        .flag("password-file", &["-"])
        .stdin("x");
    assert_problem(
        &run,
        &["--password-file: cannot read standard input, which COUNTERSIGN_CLIENT_SECRET_FILE reads"],
    );
}

#[test]
fn secrets_in_the_file_are_refused_and_not_repeated() {
    for (key, variable) in [
        ("password", "COUNTERSIGN_PASSWORD"),
        ("client-secret", "COUNTERSIGN_CLIENT_SECRET"),
        ("bearer-token", "COUNTERSIGN_BEARER_TOKEN"),
        ("totp_secret", "COUNTERSIGN_TOTP_SECRET"),
    ] {
        let run = Run::complete().file(&format!("{key} = 'hunter2'"));
        assert_problem(
            &run,
            &["secrets do not belong in the file: use ", "-file or the variable ", variable],
        );
        assert!(!run.problems()[0].contains("hunter2"));
    }
}

#[test]
fn secret_files_that_hold_no_secret_are_refused() {
    let run = Run::complete().variable("COUNTERSIGN_CLIENT_SECRET_FILE", "secret");
    assert_problem(&run, &["COUNTERSIGN_CLIENT_SECRET_FILE: cannot read ", "No such file"]);
    assert_problem(&run.named_file("secret", "\n"), &["is empty"]);
    let run = Run::complete().variable("COUNTERSIGN_TOTP_SECRET", "hunter2");
    assert_problem(&run, &["COUNTERSIGN_TOTP_SECRET: is not a base32 secret"]);
    assert!(!run.problems()[0].contains("hunter2"));
    let run = Run::complete().variable("COUNTERSIGN_BEARER_TOKEN", "two words");
    assert_problem(&run, &["COUNTERSIGN_BEARER_TOKEN: "]);
}

#[test]
fn a_totp_secret_may_be_written_in_groups() {
    let config = Run::complete().variable("COUNTERSIGN_TOTP_SECRET", "jbsw y3dp ehpk 3pxp").valid();
    let secret = user_pool(&config.credentials).totp_secret.as_ref().expect("set");
    assert_eq!(secret.expose_secret(), "JBSWY3DPEHPK3PXP");
}

#[test]
#[cfg(unix)]
fn a_secret_file_that_others_can_read_draws_a_warning() {
    let run = Run::complete().named_file("secret", "x").variable("COUNTERSIGN_CLIENT_SECRET_FILE", "secret");
    assert!(run.valid().warnings.is_empty());
    for mode in [0o640, 0o604, 0o644] {
        set_mode(&run.folder.path().join("secret"), mode);
        let warnings = run.valid().warnings;
        assert_eq!(warnings.len(), 1, "{mode:o}");
        assert!(
            warnings[0].starts_with("COUNTERSIGN_CLIENT_SECRET_FILE: ") && warnings[0].contains("chmod 600")
        );
    }
}

#[test]
fn secrets_show_neither_in_debug_nor_in_the_listing() {
    let config = Run::complete()
        .variable("COUNTERSIGN_USERNAME", "u")
        .variable("COUNTERSIGN_PASSWORD", "hunter2")
        .variable("COUNTERSIGN_CLIENT_SECRET", "hunter3")
        .variable("COUNTERSIGN_SET_HEADER", "x-api-key=hunter4")
        .variable("HTTPS_PROXY", "http://me:hunter5@proxy:3128")
        .named_file("token", "hunter6")
        .flag("bearer-token-file", &["token"])
        .valid();
    let json = serde_json::to_string(&config.effective).expect("serialises");
    let shown = format!("{config:?}{}{json}", config.effective);
    assert!(!shown.contains("hunter"), "{shown}");
    let text = config.effective.to_string();
    for line in [
        "password-file [set] COUNTERSIGN_PASSWORD",
        "set-header x-api-key=[set] COUNTERSIGN_SET_HEADER",
        "bearer-token-file token --bearer-token-file",
    ] {
        assert!(
            text.lines().any(|shown| shown.split_whitespace().collect::<Vec<_>>().join(" ") == line),
            "{line}\n{text}"
        );
    }
}

#[test]
fn the_listing_shows_the_forward_proxy_without_its_password_and_who_goes_through_it() {
    let run = Run::complete()
        .variable("https_proxy", "http://me:hunter2@proxy.example:3128/")
        .variable("NO_PROXY", "localhost,*.internal.example")
        .file("[[route]]\npath = '/in'\nupstream = 'https://a.internal.example'\nregion = 'eu-west-1'\n");
    let config = run.valid();
    let json = serde_json::to_value(&config.effective).expect("serialises");
    assert_eq!(json["variables"]["https_proxy"], "http://[set]@proxy.example:3128/");
    assert_eq!(json["variables"]["NO_PROXY"], "localhost,*.internal.example");
    let [inside, outside] = [&json["routes"][0], &json["routes"][1]];
    assert_eq!((&inside["path"], &inside["proxy"]), (&"/in".into(), &serde_json::Value::Null));
    assert_eq!(
        (&outside["proxy"], &outside["proxy-origin"]),
        (&"http://[set]@proxy.example:3128".into(), &"https_proxy".into())
    );
    let text = config.effective.to_string();
    let line = text.lines().find(|line| line.trim_start().starts_with("proxy ")).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["proxy", "http://[set]@proxy.example:3128", "https_proxy"]);
    assert!(!format!("{config:?}{text}{json}").contains("hunter2"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_forward_proxy_that_cannot_be_used_is_a_mistake_of_its_variable() {
    for (name, value, shown) in [
        ("HTTPS_PROXY", "socks5://me:hunter2@proxy:1080", "socks5://[set]@proxy:1080"),
        ("https_proxy", "http://me:hunter2@proxy", "http://[set]@proxy"),
        ("ALL_PROXY", "me:hun@ter2@proxy:3128", "[set]@proxy:3128"),
        ("all_proxy", "nonsense", "nonsense"),
    ] {
        let run = Run::complete().variable(name, value);
        assert_problem(&run, &[&format!("{name}: {shown:?} ")]);
        for problems in [problems(run.session()), problems(run.call())] {
            assert!(problems.iter().any(|problem| problem.starts_with(name)), "{name}: {problems:?}");
        }
        assert!(!run.problems()[0].contains("ter2"), "{name}");
    }
}

#[test]
fn a_rule_of_no_proxy_that_is_not_understood_draws_a_warning() {
    let run = Run::complete().variable("HTTPS_PROXY", "proxy:3128").variable("NO_PROXY", "127.*,a.example");
    assert_eq!(
        run.valid().warnings,
        ["NO_PROXY: \"127.*\" is neither a host name, an address nor a network and is ignored"]
    );
}

#[test]
fn an_upstream_that_is_our_listener_is_a_mistake() {
    let run = Run::complete()
        .flag("listen", &["0.0.0.0:8181"])
        .flag("allow-unauthenticated", &["true"])
        .variable("ALL_PROXY", "http://localhost:8181")
        .file(
            "admin-listen = 'localhost:8190'\n[[route]]\npath = '/a'\nupstream = 'http://127.0.0.9:8181'\n\
             region = 'eu-west-1'\n[[route]]\npath = '/b'\nupstream = 'https://[::1]:8190'\nregion = 'eu-west-1'\n",
        );
    let problems = run.problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (problem, parts) in problems.iter().zip([
        [
            "countersign.toml:2",
            "the upstream 127.0.0.9:8181 is where this proxy itself listens (0.0.0.0:8181)",
        ],
        ["countersign.toml:6", "the upstream [::1]:8190 is where this proxy itself listens (localhost:8190)"],
        ["ALL_PROXY", "localhost:8181 is where this proxy itself listens (0.0.0.0:8181)"],
    ]) {
        assert!(parts.iter().all(|part| problem.contains(part)), "{problem}");
    }
    for (listen, upstream) in [("127.0.0.1:80", "http://localhost/a"), ("[::1]:443", "https://[::1]")] {
        let run = Run::complete().flag("listen", &[listen]).variable("COUNTERSIGN_REGION", "eu-west-1");
        assert_problem(&run.variable("COUNTERSIGN_UPSTREAM", upstream), &["where this proxy itself listens"]);
    }
    for upstream in ["http://localhost:8183", "http://127.0.0.1:8182", "https://api.example.com:8181"] {
        let run =
            Run::complete().flag("admin-listen", &["[::1]:8182"]).variable("COUNTERSIGN_REGION", "eu-west-1");
        assert_eq!(run.variable("COUNTERSIGN_UPSTREAM", upstream).problems(), [""; 0], "{upstream}");
    }
}

#[test]
fn the_listing_has_every_setting_with_its_origin() {
    let run = Run::complete().file("\nallow-host = ['a', 'b']\n").flag("listen", &["localhost:0"]);
    let config = run.variable("RUST_LOG", "debug").valid();
    let json = serde_json::to_value(&config.effective).expect("serialises");
    assert_eq!(json["file"], "countersign.toml");
    let settings = &json["settings"];
    for (name, value, origin) in [
        ("listen", serde_json::json!("localhost:0"), "--listen"),
        ("upstream", serde_json::json!(UPSTREAM), "COUNTERSIGN_UPSTREAM"),
        ("allow-host", serde_json::json!(["a", "b"]), "countersign.toml:2"),
        ("connect-timeout", serde_json::json!("3s"), "default"),
        ("log-level", serde_json::json!("debug"), "RUST_LOG"),
        ("username", serde_json::Value::Null, "not set"),
    ] {
        assert_eq!(settings[name], serde_json::json!({ "value": value, "origin": origin }), "{name}");
    }
    assert_eq!(settings["region"], serde_json::json!({ "value": "eu-west-1", "origin": "the host's name" }));
    let route = &json["routes"][0];
    assert_eq!((&route["region"], &route["region-origin"]), (&"eu-west-1".into(), &"the host's name".into()));
    assert_eq!(
        (&route["service"], &route["service-origin"]),
        (&"execute-api".into(), &"the host's name".into())
    );
    for setting in table::SETTINGS.iter().filter(|setting| setting.uses.contains(&table::Use::Serve)) {
        assert!(settings.get(setting.name).is_some(), "{}", setting.name);
    }
}

#[test]
fn the_variable_that_exec_sets_draws_no_warning() {
    let run = Run::complete().variable("COUNTERSIGN_URL", "http://localhost:1");
    assert!(run.valid().warnings.is_empty());
}

#[test]
fn exec_and_credentials_have_different_defaults() {
    let run = Run::complete();
    let exec = Config::for_exec(&run.arguments, &run.environment()).expect("valid");
    assert_eq!((exec.listen, exec.admin_listen), (Listen::Localhost(0), None));
    let credentials = Config::for_credentials(&run.arguments, &run.environment()).expect("valid");
    assert_eq!([exec.telemetry.level, credentials.telemetry.level], ["warn", "warn"]);
    let run = run.file("listen = 'localhost:1'").variable("COUNTERSIGN_LOG_LEVEL", "debug");
    let exec = Config::for_exec(&run.arguments, &run.environment()).expect("valid");
    assert_eq!((exec.listen, exec.telemetry.level.as_str()), (Listen::Localhost(1), "debug"));
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let warnings = Run::complete()
        .variable("COUNTERSIGN_USERPOOL_ID", "x")
        .variable("COUNTERSIGN_XYZZY", "1")
        .valid()
        .warnings;
    assert_eq!(
        warnings,
        [
            "COUNTERSIGN_USERPOOL_ID is not a setting and is ignored; did you mean COUNTERSIGN_USER_POOL_ID?",
            "COUNTERSIGN_XYZZY is not a setting and is ignored"
        ]
    );
}

#[test]
fn variables_that_kubernetes_injects_are_passed_over() {
    let run = [
        ("COUNTERSIGN_SERVICE_HOST", "10.0.0.1"),
        ("COUNTERSIGN_SERVICE_PORT", "8181"),
        ("COUNTERSIGN_SERVICE_PORT_HTTP", "8181"),
        ("COUNTERSIGN_PORT", "tcp://10.0.0.1:8181"),
        ("COUNTERSIGN_PORT_8181_TCP", "tcp://10.0.0.1:8181"),
        ("COUNTERSIGN_PORT_8181_TCP_PROTO", "tcp"),
        ("COUNTERSIGN_PORT_8181_TCP_ADDR", "10.0.0.1"),
        ("COUNTERSIGN_ADMIN_SERVICE_HOST", "10.0.0.1"),
    ]
    .into_iter()
    .fold(Run::complete(), |run, (name, value)| run.variable(name, value));
    assert!(run.valid().warnings.is_empty());
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_not_unicode_is_refused() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    let run = Run::complete();
    let variables = run.variables.iter().map(|(name, value)| (name.clone(), OsString::from(value)));
    let broken = ("COUNTERSIGN_USERNAME".to_owned(), OsString::from_vec(vec![0xff]));
    let environment = Environment::new(variables.chain([broken]), run.folder.path());
    let problems = problems(Config::for_serve(&run.arguments, &environment));
    assert_eq!(problems, ["COUNTERSIGN_USERNAME: is not text in UTF-8"]);
}

#[test]
fn region_and_service_come_from_the_host_unless_they_are_given() {
    let scope = |run: &Run| {
        let route = run.valid().proxy.routes.remove(0);
        (route.region.as_str().to_owned(), route.service)
    };
    let is = |region: &str, service: &str| (region.to_owned(), service.to_owned());
    let run = |upstream: &str| Run::complete().variable("COUNTERSIGN_UPSTREAM", upstream);
    assert_eq!(
        scope(&run("https://id.lambda-url.us-east-1.on.aws").variable("AWS_REGION", "eu-west-3")),
        is("us-east-1", "lambda")
    );
    assert_eq!(
        scope(&run("https://id.lambda-url.us-east-1.on.aws").flag("region", &["eu-west-3"])),
        is("eu-west-3", "lambda")
    );
    assert_eq!(
        scope(&run("https://api.example.com").variable("AWS_REGION", "eu-west-3")),
        is("eu-west-3", "execute-api")
    );
    assert_eq!(
        scope(
            &run("https://api.example.com")
                .flag("region", &["eu-west-2"])
                .variable("AWS_REGION", "eu-west-3")
        ),
        is("eu-west-2", "execute-api")
    );
    assert_eq!(
        scope(&run("http://localhost:3000").flag("region", &["eu-west-2"]).flag("service", &["es"])),
        is("eu-west-2", "es")
    );
    let private = run("https://10.1.2.3").flag("sign-host", &["ABC.execute-api.eu-west-1.amazonaws.com"]);
    assert_eq!(scope(&private), is("eu-west-1", "execute-api"));
    assert_eq!(
        private.valid().proxy.routes[0].sign_host.as_deref(),
        Some("abc.execute-api.eu-west-1.amazonaws.com")
    );
}

#[test]
fn a_custom_domain_without_region_says_what_to_set() {
    for upstream in ["https://api.example.com", "http://localhost:3000"] {
        assert_problem(
            &Run::complete().variable("COUNTERSIGN_UPSTREAM", upstream),
            &["region: is required", "--region, COUNTERSIGN_REGION"],
        );
    }
}

#[test]
fn routes_have_their_own_scope_and_headers_and_the_longest_comes_first() {
    let run = Run::complete()
        .named_file("key", "k1\n")
        .variable("COUNTERSIGN_SET_HEADER", "x-a=common,x-b=common")
        .file(
            "region = 'eu-west-1'\n[[route]]\npath = '/a'\nupstream = 'https://x.execute-api.us-east-1.amazonaws.com'\n\
             [[route]]\npath = '/a/b/'\nupstream = 'https://api.example.com/v1/'\nstrip-prefix = '/a'\n\
             set-header = ['x-a=@key']\nservice = 'es'\nsign-host = 'h.example.com'\n",
        );
    let routes = run.valid().proxy.routes;
    let shown: Vec<_> = routes
        .iter()
        .map(|route| {
            (route.path.as_str(), route.upstream.to_string(), route.region.as_str(), route.service.as_str())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("/a/b", "https://api.example.com/v1".to_owned(), "eu-west-1", "es"),
            ("/a", "https://x.execute-api.us-east-1.amazonaws.com/".to_owned(), "us-east-1", "execute-api"),
            ("/", UPSTREAM.to_owned(), "eu-west-1", "execute-api"),
        ]
    );
    assert_eq!(
        (routes[0].strip_prefix.as_deref(), routes[0].sign_host.as_deref()),
        (Some("/a"), Some("h.example.com"))
    );
    let headers: Vec<_> =
        routes[0].set_headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, [("x-b", b"common".as_slice()), ("x-a", b"k1")]);
}

#[test]
fn routes_that_contradict_each_other_are_refused() {
    let route =
        |path: &str, more: &str| format!("[[route]]\npath = '{path}'\nupstream = '{UPSTREAM}'\n{more}\n");
    let run = Run::complete().file(&route("/", ""));
    assert_problem(
        &run,
        &["countersign.toml:1: [[route]]: has the path /, which COUNTERSIGN_UPSTREAM has too"],
    );
    let run = Run::complete().file(&[route("/a", ""), route("/a/", "")].concat());
    assert_problem(
        &run,
        &["countersign.toml:5: [[route]]: has the path /a, which countersign.toml:1: [[route]] has too"],
    );
    let run = Run::complete().file(&route("/a", "strip-prefix = '/ab'"));
    assert_problem(&run, &["strips /ab"]);
    let run = Run::complete()
        .variable("COUNTERSIGN_UPSTREAM", "")
        .flag("sign-host", &["h.example"])
        .file(&route("/", ""));
    assert_problem(&run, &["--sign-host: belongs to upstream"]);
    assert_problem(&Run::complete().file(&route("a", "")), &["countersign.toml:2: path: "]);
    assert_problem(
        &Run::complete().file("path = '/a'"),
        &["countersign.toml:1: path: belongs in a [[route]]"],
    );
}

#[test]
fn routes_alone_are_enough() {
    let run = Run::complete()
        .variable("COUNTERSIGN_UPSTREAM", "")
        .file(&format!("[[route]]\npath = '/x'\nupstream = '{UPSTREAM}'"));
    assert_eq!(run.valid().proxy.routes.len(), 1);
    assert_problem(&Run::complete().variable("COUNTERSIGN_UPSTREAM", ""), &["upstream: is required"]);
}

#[test]
fn a_listener_that_others_reach_needs_a_token_or_a_word_that_it_does_not() {
    for listen in ["0.0.0.0:8181", "192.168.1.5:80", "[::]:8181", "[::ffff:10.0.0.1]:80"] {
        let run = Run::complete().variable("COUNTERSIGN_LISTEN", listen);
        assert_problem(&run, &["COUNTERSIGN_LISTEN: ", "bearer-token-file", "allow-unauthenticated"]);
        assert!(run.variable("COUNTERSIGN_BEARER_TOKEN", "t").serve().is_ok(), "{listen}");
        let run = Run::complete().flag("listen", &[listen]).flag("allow-unauthenticated", &["true"]);
        assert!(run.serve().is_ok(), "{listen}");
    }
    for listen in ["localhost:1", "127.0.0.9:1", "[::1]:1", "unix:/run/c.sock"] {
        assert!(Run::complete().flag("listen", &[listen]).serve().is_ok(), "{listen}");
    }
    let both =
        Run::complete().flag("allow-unauthenticated", &["true"]).variable("COUNTERSIGN_BEARER_TOKEN", "t");
    assert_problem(&both, &["COUNTERSIGN_BEARER_TOKEN: contradicts allow-unauthenticated"]);
}

#[test]
fn the_admin_listener_is_off_or_another_one() {
    assert_eq!(Run::complete().flag("admin-listen", &["off"]).valid().admin_listen, None);
    for (listen, admin) in [
        ("localhost:1", "127.0.0.1:1"),
        ("127.0.0.1:1", "0.0.0.0:1"),
        ("unix:/a", "unix:/a"),
        ("localhost:8182", "localhost:8182"),
    ] {
        let run = Run::complete().flag("listen", &[listen]).flag("admin-listen", &[admin]);
        assert_problem(&run, &["--admin-listen: listen and admin-listen"]);
    }
    for (listen, admin) in
        [("localhost:0", "localhost:0"), ("127.0.0.1:1", "127.0.0.2:1"), ("unix:/a", "unix:/b")]
    {
        assert!(Run::complete().flag("listen", &[listen]).flag("admin-listen", &[admin]).serve().is_ok());
    }
}

#[test]
fn the_largest_body_fits_into_the_memory_of_all() {
    let run = Run::complete().flag("max-body", &["65MiB"]);
    assert_problem(&run, &["--max-body: body-memory is smaller than max-body"]);
    assert_eq!(run.flag("body-memory", &["68157440"]).valid().proxy.limits.body_memory, 65 * 1024 * 1024);
}

#[test]
fn endpoints_are_redirected_by_the_variables_of_the_sdks() {
    let role = "arn:aws:iam::123456789012:role/x";
    let endpoints = |run: &Run| {
        let config = run.valid();
        let cognito = cognito(&config.credentials).clone();
        let sts = match cognito.identity_pool.role {
            RoleChoice::Classic { sts_endpoint, .. } => sts_endpoint,
            other => panic!("{other:?}"),
        };
        [user_pool(&config.credentials).endpoint.clone(), cognito.identity_pool.endpoint, sts]
    };
    let run = Run::complete()
        .flag("classic-flow-role-arn", &[role])
        .variable("AWS_ENDPOINT_URL", "http://127.0.0.1:4566/");
    assert_eq!(endpoints(&run), ["http://127.0.0.1:4566"; 3]);
    let run = run
        .variable("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "https://idp.example.com")
        .variable("AWS_ENDPOINT_URL_COGNITO_IDENTITY", "https://identity.example.com")
        .variable("AWS_ENDPOINT_URL_STS", "https://sts.example.com/x/");
    assert_eq!(
        endpoints(&run),
        ["https://idp.example.com", "https://identity.example.com", "https://sts.example.com/x"]
    );
    let run = Run::complete().variable("AWS_ENDPOINT_URL_COGNITO_IDENTITY", "http://identity.example.com");
    assert_problem(&run, &["AWS_ENDPOINT_URL_COGNITO_IDENTITY: is plain http"]);
}

#[test]
fn rust_log_wins_over_log_level_unless_that_is_a_flag() {
    let level = |run: &Run| run.valid().telemetry.level;
    let run = Run::complete().variable("COUNTERSIGN_LOG_LEVEL", "warn");
    assert_eq!(level(&run), "warn");
    let run = run.variable("RUST_LOG", "countersign=trace,hyper=warn");
    assert_eq!(level(&run), "countersign=trace,hyper=warn");
    assert_eq!(level(&run.flag("log-level", &["ERROR"])), "error");
    assert_problem(&Run::complete().variable("RUST_LOG", "a=b=c"), &["RUST_LOG: "]);
}

#[test]
fn certificate_files_are_those_of_the_upstream_and_of_the_sdks() {
    let pem = rcgen::generate_simple_self_signed([]).expect("a certificate").cert.pem();
    let run = Run::complete().named_file("own.pem", &pem).named_file("aws.pem", &pem);
    let run = run.flag("ca-file", &["own.pem"]).variable("AWS_CA_BUNDLE", "aws.pem");
    let (own, aws) = (run.folder.path().join("own.pem"), run.folder.path().join("aws.pem"));
    let config = run.valid();
    assert_eq!(config.proxy.ca_files, [own, aws.clone()]);
    assert_eq!(config.aws_http.ca_files, [aws]);
    assert_problem(&Run::complete().variable("AWS_CA_BUNDLE", "none.pem"), &["AWS_CA_BUNDLE: cannot read"]);
    assert_problem(&Run::complete().variable("AWS_CA_BUNDLE", "."), &["AWS_CA_BUNDLE: cannot read"]);
}

#[test]
fn a_file_without_certificates_that_can_be_used_is_a_mistake_of_the_configuration() {
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for text in ["", "nonsense", not_a_certificate] {
        let run = || Run::complete().named_file("bad.pem", text);
        let problem = "bad.pem cannot be used as trusted roots: ";
        assert_problem(&run().flag("ca-file", &["bad.pem"]), &["--ca-file: ", problem]);
        assert_problem(&run().variable("AWS_CA_BUNDLE", "bad.pem"), &["AWS_CA_BUNDLE: ", problem]);
    }
}

#[test]
fn sessions_are_stored_below_the_state_folder() {
    let state_dir = |run: &Run| user_pool(&run.valid().credentials).state_dir.clone();
    assert_eq!(state_dir(&Run::complete()), None);
    let run = Run::complete().variable("HOME", "/home/u");
    assert_eq!(state_dir(&run), Some("/home/u/.local/state/countersign".into()));
    assert_eq!(state_dir(&run.variable("XDG_STATE_HOME", "/state")), Some("/state/countersign".into()));
    assert_eq!(state_dir(&Run::complete().variable("XDG_STATE_HOME", "relative")), None);
    let run = Run::complete().named_file("file", "");
    let file = run.folder.path().join("file").display().to_string();
    assert_eq!(state_dir(&run.variable("HOME", &file)), None, "no session can be below a file");
}

#[test]
fn other_sources_of_credentials_need_less() {
    let run = Run::empty().flag("upstream", &[UPSTREAM]);
    assert!(matches!(run.flag("credentials", &["aws"]).valid().credentials, Settings::Aws));
    let run = Run::empty().flag("upstream", &[UPSTREAM]).flag("identity-pool-id", &[IDENTITY_POOL]);
    let Settings::Guest { identity_pool } = run.flag("credentials", &["guest"]).valid().credentials else {
        panic!("guest")
    };
    assert_eq!(identity_pool.id.to_string(), IDENTITY_POOL);
    let run = Run::empty()
        .named_file("token", "x")
        .flag("upstream", &[UPSTREAM])
        .flag("identity-pool-id", &[IDENTITY_POOL])
        .flag("id-token-file", &["token"])
        .flag("login-provider", &["login.example.com"]);
    let config = run.valid();
    let Login::IdTokenFile { path, login_provider } = &cognito(&config.credentials).login else {
        panic!("a token")
    };
    assert_eq!(
        (path, login_provider.as_deref()),
        (&run.folder.path().join("token"), Some("login.example.com"))
    );
}

#[test]
fn a_token_file_may_come_later_than_the_proxy() {
    let run = Run::empty()
        .flag("upstream", &[UPSTREAM])
        .flag("identity-pool-id", &[IDENTITY_POOL])
        .flag("id-token-file", &["token"]);
    let warnings = run.valid().warnings;
    assert!(warnings.len() == 1 && warnings[0].ends_with("token does not exist yet"), "{warnings:?}");
}

#[test]
fn flags_as_typed_reach_the_configuration() {
    let line = "countersign serve --trust-documents=false --exit-zero-on-sigterm --allow-host a --allow-host b \
                --set-header x-list=1,2";
    let Ok(Command::Serve(arguments)) = cli::parse(line.split_whitespace()) else { panic!("serve") };
    let mut run = Run::complete().variable("COUNTERSIGN_TRUST_DOCUMENTS", "on");
    run.arguments = arguments;
    let config = run.valid();
    assert!(!config.proxy.guard.trust_documents && config.exit_zero_on_sigterm);
    assert_eq!(config.proxy.guard.allowed_hosts, ["a", "b"]);
    assert_eq!(config.proxy.routes[0].set_headers[0].1, "1,2");
}

#[test]
fn each_command_needs_only_its_part() {
    let run =
        Run::complete().variable("COUNTERSIGN_UPSTREAM", "").variable("COUNTERSIGN_LISTEN", "0.0.0.0:1");
    assert!(run.session().is_ok());
    let call = Run::complete().variable("COUNTERSIGN_LISTEN", "0.0.0.0:1").call().expect("valid");
    assert_eq!(call.proxy.routes.len(), 1);
    let sandbox =
        Run::empty().flag("backend", &["http://localhost:3000"]).flag("credentials-lifetime", &["30s"]);
    let sandbox =
        sandbox.variable("COUNTERSIGN_ALLOW_ORIGIN", "http://localhost:5173").sandbox().expect("valid");
    assert_eq!(sandbox.credentials_lifetime, Duration::from_secs(30));
    assert_eq!(sandbox.backend.expect("set").to_string(), "http://localhost:3000/");
    assert_eq!(sandbox.proxy.guard.allowed_origins, ["http://localhost:5173"]);
    let health = |run: Run| Config::for_healthcheck(&run.arguments, &run.environment());
    assert_eq!(health(Run::empty()).expect("valid").admin_listen, Listen::Localhost(8182));
    assert_eq!(problems(health(Run::empty().flag("admin-listen", &["off"]))).len(), 1);
}

#[test]
fn the_example_has_every_setting_with_its_default_and_no_other() {
    let example: String = include_str!("../../config/countersign.example.toml")
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let parsed: toml::Table = example.parse().unwrap_or_else(|error| panic!("{error}"));
    for setting in table::SETTINGS {
        let value = parsed.get(setting.name).unwrap_or_else(|| panic!("{} is missing", setting.name));
        let Some(default) = setting.default else { continue };
        let written = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(written, default, "{}", setting.name);
    }
    let problems = Run::empty().file(&example).problems();
    let unknown: Vec<_> = problems
        .iter()
        .filter(|problem| problem.contains("is not a") || problem.contains("expected"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn the_example_as_it_stands_sets_nothing() {
    let run = Run::complete().file(include_str!("../../config/countersign.example.toml"));
    let effective = run.valid().effective;
    let from_file = |origin: &str| origin.starts_with("countersign.toml");
    assert!(effective.settings.values().all(|row| !from_file(&row.origin)));
}

proptest! {
    #[test]
    fn no_file_makes_the_program_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let run = Run::empty();
        fs::write(run.folder.path().join("countersign.toml"), bytes).expect("a file");
        let run = run.config_flag("countersign.toml");
        assert!(run.serve().is_err());
    }

    #[test]
    fn no_value_makes_the_program_panic(index in 0..table::SETTINGS.len(), value in "\\PC{0,40}|[a-z:/@%=.\\[\\]0-9-]{0,40}") {
        let run = Run::empty().flag(table::SETTINGS[index].name, &[&value]);
        let _ = (run.serve(), run.sandbox());
    }

    #[test]
    fn no_toml_makes_the_program_panic(text in "([a-z-]{1,8} ?= ?(\"[^\"]{0,9}\"|[0-9]{1,22}|\\[.{0,9}\\]|\\{.{0,9}\\})\n|\\[\\[?route\\]?\\]\n|path = '.{0,5}'\n){0,8}") {
        assert!(Run::empty().file(&text).serve().is_err());
    }
}

#[test]
fn the_inspector_is_off_unless_it_is_asked_for_and_needs_the_admin_listener() {
    let mode = |run: Run| run.serve().map(|config| config.inspector.mode);
    assert_eq!(mode(Run::complete()).expect("valid"), None);
    assert_eq!(mode(Run::complete().flag("inspect", &["heads"])).expect("valid"), Some(Mode::Heads));
    let sandbox = Run::empty().sandbox().expect("valid");
    assert_eq!(sandbox.inspector.mode, Some(Mode::Bodies));
    let off = Run::empty().flag("admin-listen", &["off"]).sandbox();
    assert_eq!(off.expect("its default gives way").inspector.mode, None);
    for (run, words) in [
        (Run::complete().flag("inspect", &["everything"]), "none of off, heads and bodies"),
        (
            Run::complete().flag("inspect", &["heads"]).flag("admin-listen", &["off"]),
            "needs the admin listener",
        ),
        (Run::complete().flag("inspect-redact", &["--"]), "no letter"),
    ] {
        let error = mode(run).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    let run = Run::complete().file("inspect = \"heads\"\n");
    let exec =
        Config::for_exec(&run.arguments, &run.environment()).expect("the file may be another command's");
    assert_eq!(exec.inspector.mode, None);
    assert!(
        exec.warnings.iter().any(|warning| warning.contains("inspect has no effect")),
        "{:?}",
        exec.warnings
    );
}
