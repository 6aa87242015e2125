//! Files that settings name, and the one that nobody names: what they may be, and whose.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use countersign::{
    config::{Arguments, Config, Environment},
    downstream::listener::Listen,
};
use rustix::fs::{CWD, FileType, Mode};

use super::{IDENTITY_POOL, Run, UPSTREAM, assert_problem, set_mode};

const FILE: &str = "listen = 'localhost:1'";

impl Run {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pipe(self, name: &str) -> Self {
        rustix::fs::mknodat(CWD, self.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .expect("a pipe");
        self
    }

    fn mode(self, name: &str, mode: u32) -> Self {
        set_mode(&self.path(name), mode);
        self
    }
}

#[test]
fn an_implicit_configuration_file_that_others_can_write_is_refused() {
    for mode in [0o620, 0o664, 0o602, 0o666, 0o777] {
        let run = Run::complete().file(FILE).mode("countersign.toml", mode);
        let told = format!(
            "countersign.toml: can be changed by other users (mode {mode:04o}). Run chmod go-w ./countersign.toml, or \
             name it: --config ./countersign.toml"
        );
        assert_eq!(run.problems(), [told]);
        assert_eq!(run.config_flag("countersign.toml").valid().listen, Listen::Localhost(1));
    }
    assert_eq!(
        Run::complete().file(FILE).mode("countersign.toml", 0o644).valid().listen,
        Listen::Localhost(1)
    );
}

#[test]
fn the_file_in_the_users_configuration_folder_is_held_to_the_same() {
    let run = Run::complete().named_file("xdg/countersign/config.toml", FILE);
    let folder = run.path("xdg").display().to_string();
    let run = run.variable("XDG_CONFIG_HOME", &folder).mode("xdg/countersign/config.toml", 0o622);
    assert_problem(&run, &["xdg/countersign/config.toml: can be changed by other users", "--config /"]);
}

#[test]
fn an_implicit_configuration_file_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return; // Nobody else can give a file away; the rule itself has a table beside it.
    }
    let run = Run::complete().file(FILE);
    let owner = rustix::process::Uid::from_raw(12_345);
    rustix::fs::chown(run.path("countersign.toml"), Some(owner), None).expect("root may");
    assert_problem(
        &run,
        &["countersign.toml: belongs to user 12345, not to root or to user 0", "--config ./countersign.toml"],
    );
    assert_eq!(run.config_flag("./countersign.toml").valid().listen, Listen::Localhost(1));
}

#[test]
fn in_a_folder_of_others_a_link_to_our_file_is_not_trusted() {
    let shared = || Run::complete().named_file("mine/a.toml", FILE).mode("", 0o1777);
    let run = shared();
    symlink("mine/a.toml", run.path("countersign.toml")).expect("a link");
    assert_problem(&run, &["countersign.toml: is a symbolic link in a folder that other users can write to"]);
    assert_eq!(run.mode("", 0o755).valid().listen, Listen::Localhost(1));

    let run = shared();
    fs::hard_link(run.path("mine/a.toml"), run.path("countersign.toml")).expect("a link");
    assert_problem(&run, &["countersign.toml: has a second name (a hard link)"]);
    assert_eq!(run.mode("", 0o755).valid().listen, Listen::Localhost(1));

    let run = Run::complete().file(FILE).mode("", 0o1777);
    assert_eq!(run.valid().listen, Listen::Localhost(1), "a file of ours, put there by nobody else");
}

#[test]
fn an_implicit_configuration_file_that_is_not_regular_is_reported_without_waiting() {
    assert_problem(
        &Run::complete().pipe("countersign.toml"),
        &["countersign.toml: cannot be read: it is a pipe, not a regular file"],
    );
    let run = Run::complete();
    fs::create_dir(run.path("countersign.toml")).expect("a folder");
    assert_problem(&run, &["countersign.toml: cannot be read: it is a directory, not a regular file"]);
}

#[test]
fn no_setting_that_names_a_file_waits_for_a_pipe() {
    for (name, value) in [
        ("password-file", "pipe"),
        ("client-secret-file", "pipe"),
        ("bearer-token-file", "pipe"),
        ("totp-secret-file", "pipe"),
        ("set-header", "x-api-key=@pipe"),
        ("ca-file", "pipe"),
        ("amplify-outputs", "pipe"),
    ] {
        let run = Run::complete().variable("COUNTERSIGN_USERNAME", "u").pipe("pipe").flag(name, &[value]);
        let place = format!("--{name}: cannot read ");
        assert_problem(&run, &[&place, "pipe: it is a pipe, not a regular file"]);
    }
    let bundle = |run: Run, variable: &str| {
        let path = run.path("pipe").display().to_string();
        run.pipe("pipe").variable(variable, &path)
    };
    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "COUNTERSIGN_CONFIG"] {
        let place = format!("{variable}: cannot read ");
        assert_problem(&bundle(Run::complete(), variable), &[&place, "it is a pipe"]);
    }
    assert_problem(
        &Run::complete().pipe("pipe").config_flag("pipe"),
        &["--config: cannot read pipe: it is a pipe"],
    );
}

#[test]
fn an_irregular_id_token_file_is_refused() {
    let run = Run::empty()
        .variable("COUNTERSIGN_UPSTREAM", UPSTREAM)
        .variable("COUNTERSIGN_IDENTITY_POOL_ID", IDENTITY_POOL)
        .variable("COUNTERSIGN_ID_TOKEN_FILE", "pipe");
    assert!(run.valid().warnings[0].contains("does not exist yet"));
    assert_problem(&run.pipe("pipe"), &["COUNTERSIGN_ID_TOKEN_FILE: cannot read ", "it is a pipe"]);
}

#[test]
fn a_secret_from_a_pipe_is_refused_with_the_alternatives() {
    let run = Run::complete().variable("COUNTERSIGN_USERNAME", "u").pipe("pipe");
    assert_problem(
        &run.flag("password-file", &["pipe"]),
        &["; write - instead to read the secret from standard input"],
    );
    let run = Run::complete().variable("COUNTERSIGN_USERNAME", "u").named_file("socket/x", "");
    let _listener = UnixListener::bind(run.path("socket/s")).expect("a socket");
    assert_problem(&run.flag("password-file", &["socket/s"]), &["it is a socket", "write - instead"]);
}

#[test]
fn a_secret_that_was_saved_wrongly_is_named_and_not_sent() {
    for (text, what) in [
        ("\u{feff}Pa55word\n", "begins with a byte order mark"),
        ("Pa55word\n\n", "has more than one line"),
        ("Pa55word\r\n\r\n", "has more than one line"),
        ("\nPa55word", "has more than one line"),
        ("Pa55word\0", "has a control character in it"),
        ("Pa55word ", "begins or ends with a space"),
        ("\n", "is empty"),
    ] {
        let run = || Run::complete().variable("COUNTERSIGN_USERNAME", "u");
        let from_file = run().named_file("pw", text).flag("password-file", &["pw"]);
        assert_problem(&from_file, &["--password-file: ", what]);
        assert_problem(&run().flag("password-file", &["-"]).stdin(text), &["--password-file: ", what]);
        if text.contains('\0') {
            continue; // No variable can hold it.
        }
        let from_variable = run().variable("COUNTERSIGN_PASSWORD", text);
        assert_problem(&from_variable, &["COUNTERSIGN_PASSWORD: ", what]);
        for run in [from_file, from_variable] {
            assert!(!run.problems().concat().contains("55"), "the secret is not repeated");
        }
    }
    for name in ["client-secret-file", "bearer-token-file", "totp-secret-file"] {
        let run = Run::complete().named_file("secret", "\u{feff}JBSWY3DPEHPK3PXP").flag(name, &["secret"]);
        assert_problem(&run, &["begins with a byte order mark"]);
    }
    let run = Run::complete().named_file("key", "one\ntwo\n").flag("set-header", &["x-api-key=@key"]);
    assert_problem(&run, &["--set-header: names a file that has more than one line"]);
}

#[test]
fn a_byte_order_mark_before_a_configuration_does_no_harm() {
    let run = Run::complete().file(&format!("\u{feff}{FILE}"));
    assert_eq!(run.valid().listen, Listen::Localhost(1));
    let run = Run::complete().named_file("amplify.json", "\u{feff}{\"version\":\"1\"}");
    run.flag("amplify-outputs", &["amplify.json"]).valid();
}

#[test]
fn a_path_need_not_be_text() {
    let run = Run::complete().named_file("plain", FILE);
    let path = run.folder.path().join(Path::new(OsStr::from_bytes(b"\xff.toml")));
    fs::rename(run.path("plain"), &path).expect("renamed");
    let variables = run.variables.iter().map(|(name, value)| (name.clone(), value.into()));
    let variables = variables.chain([("COUNTERSIGN_CONFIG".to_owned(), path.into_os_string())]);
    let environment = Environment::new(variables, run.folder.path());
    let config = Config::for_serve(&Arguments::default(), &environment).expect("valid");
    assert_eq!(config.listen, Listen::Localhost(1));
    serde_json::to_string(&config.effective).expect("a listing, whatever the name");
}
