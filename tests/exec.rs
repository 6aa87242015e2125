//! `countersign exec`: a program beside a proxy of its own, its signals and its end.
#![cfg(all(unix, feature = "sandbox"))]

mod support;

use std::path::Path;

use countersign::sandbox::{self, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Sandbox, Verdict};
use support::{
    Connection,
    program::{self, Program, run, through_shell},
};
use tempfile::TempDir;
use tokio::process::Command;

/// Says where the proxy is, and ends with 7 at SIGTERM.
const SERVER: &str = r#"trap 'echo bye; exit 7' TERM; echo "$COUNTERSIGN_URL"; while :; do sleep 0.05; done"#;

/// Says which signals it gets, and how many of them at the end, with SIGTERM.
const LISTENER: &str = r#"n=0
    trap 'n=$((n+1)); echo INT' INT; trap 'n=$((n+1)); echo HUP' HUP; trap 'echo "$n signals"; exit 7' TERM
    echo go; while :; do sleep 0.05; done"#;

async fn sandbox() -> (Sandbox, TempDir) {
    let sandbox = sandbox::start(sandbox::Settings::default()).await.expect("free ports");
    (sandbox, tempfile::tempdir().expect("a folder"))
}

/// `exec` of a shell script.
fn exec(sandbox: &Sandbox, folder: &Path, flags: &[&str], script: &str) -> Command {
    exec_of(sandbox, folder, flags, &["/bin/sh", "-c", script])
}

fn exec_of(sandbox: &Sandbox, folder: &Path, flags: &[&str], program: &[&str]) -> Command {
    let arguments = [&["exec"], flags, &["--"], program].concat();
    let mut command = program::signed_in(&arguments, sandbox, folder);
    command.env("PATH", "/usr/bin:/bin");
    command
}

/// The same away from the terminal that the tests may run at, and with the signals as they are by default.
fn detached(command: &Command) -> Command {
    let command = command.as_std();
    let mut detached = Command::new("setsid");
    detached.args(["env", "--default-signal=INT,HUP"]).arg(command.get_program()).args(command.get_args());
    detached.env_clear().current_dir(command.get_current_dir().expect("set")).kill_on_drop(true);
    detached.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    detached
}

async fn connect(url: &str) -> Connection {
    let port = url.strip_prefix("http://localhost:").expect("a URL without a slash at the end");
    Connection::open(format!("127.0.0.1:{port}").parse().expect("an address")).await
}

#[tokio::test]
async fn the_program_finds_a_proxy_that_signs_and_nothing_else_is_on_its_stdout() {
    let (sandbox, folder) = sandbox().await;
    let program = Program::start(exec(&sandbox, folder.path(), &[], SERVER));
    let url = program.stdout_line("http").await;
    let mut client = connect(&url).await;
    client.write("GET /orders HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.0.status, 200);
    assert!(matches!(sandbox.requests().remove(0).verdict, Verdict::Verified { .. }));
    program.signal("TERM").await;
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.stdout), (Some(7), format!("{url}\nbye\n")));
    assert!(!ended.stderr.contains("INFO"), "the terminal is the program's: {}", ended.stderr);
}

#[tokio::test]
async fn the_exit_code_is_the_programs_as_shells_have_it() {
    let (sandbox, folder) = sandbox().await;
    for (script, code) in
        [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        let ended = run(exec(&sandbox, folder.path(), &[], script)).await;
        assert_eq!(ended.code, Some(code), "{script}: {ended:?}");
    }
    for (program, code, words) in [
        ("countersign-nowhere", 127, "cannot run countersign-nowhere: No such file"),
        ("./password", 126, "cannot run ./password: Permission denied"),
        ("/tmp", 126, "Permission denied"),
    ] {
        let ended = run(exec_of(&sandbox, folder.path(), &[], &[program])).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}

#[tokio::test]
async fn the_programs_arguments_and_input_are_its_own() {
    let (sandbox, folder) = sandbox().await;
    let mut command = exec_of(&sandbox, folder.path(), &[], &["/bin/cat", "-", "--", "--listen"]);
    std::fs::write(folder.path().join("--listen"), "file").expect("a file");
    std::fs::write(folder.path().join("input"), "input,").expect("a file");
    command.stdin(std::fs::File::open(folder.path().join("input")).expect("a file"));
    assert_eq!(run(command).await.stdout, "input,file");
}

/// What a program inherits, a line each. The limits of core files are set, since the tests may run without any.
const INHERITED: &str = "echo core $(ulimit -Sc) $(ulimit -Hc); echo files $(ulimit -Sn) $(ulimit -Hn); umask; pwd; \
    nice; readlink /proc/self/fd/5; grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -a";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_program_inherits_what_the_shell_would_have_given_it() {
    let (sandbox, folder) = sandbox().await;
    let shell =
        "ulimit -Sc $(ulimit -Hc); ulimit -Sn 512; umask 027; exec 5</dev/null; exec nice -n 3 \"$@\"";
    let mut plain = Command::new("/bin/sh");
    plain.args(["-c", INHERITED]).env("PATH", "/usr/bin:/bin").current_dir(folder.path());
    let plain = run(through_shell(&plain, shell)).await;
    let by_exec = run(through_shell(&exec(&sandbox, folder.path(), &[], INHERITED), shell)).await;
    assert_eq!(by_exec.code, Some(0), "{by_exec:?}");
    assert!(plain.stdout.starts_with("core ") && plain.stdout.contains("/dev/null"), "{plain:?}");
    assert_eq!(by_exec.stdout, plain.stdout);
}

#[tokio::test]
async fn no_secret_of_the_proxy_is_in_the_programs_environment() {
    let (sandbox, folder) = sandbox().await;
    let mut command = exec_of(&sandbox, folder.path(), &[], &["/usr/bin/env"]);
    command
        .env_remove("COUNTERSIGN_PASSWORD_FILE")
        .env("COUNTERSIGN_PASSWORD", "Sandbox-password-1")
        .env("COUNTERSIGN_CLIENT_ID", CONFIDENTIAL_CLIENT_ID)
        .env("COUNTERSIGN_CLIENT_SECRET", CONFIDENTIAL_CLIENT_SECRET)
        .env("COUNTERSIGN_BEARER_TOKEN", "the-token-of-the-clients")
        .env("COUNTERSIGN_TOTP_SECRET", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
        .env("MINE", "kept");
    let ended = run(command).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for kept in ["MINE=kept", "COUNTERSIGN_USERNAME=demo", "COUNTERSIGN_URL=http://localhost:"] {
        assert!(ended.stdout.lines().any(|line| line.starts_with(kept)), "{kept}: {ended:?}");
    }
    for secret in ["PASSWORD", "SECRET", "TOKEN", "Sandbox-password-1", "GEZDGNBV"] {
        assert!(!ended.stdout.contains(secret), "{secret}: {ended:?}");
    }
}

#[tokio::test]
async fn without_credentials_the_program_never_runs() {
    let (sandbox, folder) = sandbox().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    for (variable, value, code, words) in [
        ("COUNTERSIGN_PASSWORD_FILE", "wrong", 1, "was not started: check username and password"),
        ("COUNTERSIGN_CLIENT_ID", "", 64, "client-id: is required"),
        ("COUNTERSIGN_LISTEN", taken.as_str(), 1, "cannot listen on"),
    ] {
        let wrong = folder.path().join("wrong");
        std::fs::write(&wrong, "Wrong-password-1").expect("a file");
        let mut command = exec(&sandbox, folder.path(), &[], "echo ran");
        command.env(variable, value);
        let ended = run(command).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{variable}: {ended:?}");
        assert!(ended.stderr.contains(words), "{variable}: {ended:?}");
    }
    assert_eq!(sandbox.calls().count("InitiateAuth"), 1, "a wrong password is sent once");
}

#[tokio::test]
async fn a_signal_before_there_are_credentials_ends_it_without_the_program() {
    let (sandbox, folder) = sandbox().await;
    sandbox.faults().always("InitiateAuth", sandbox::Fault::Hang);
    let program = Program::start(exec(&sandbox, folder.path(), &["--log-level", "info"], "echo ran"));
    program.stderr_line("starting").await;
    program.signal("TERM").await;
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(143), ""), "{ended:?}");
}

#[tokio::test]
async fn signals_that_come_to_countersign_reach_the_program_once() {
    let (sandbox, folder) = sandbox().await;
    let program = Program::start(detached(&exec(&sandbox, folder.path(), &[], LISTENER)));
    program.stdout_line("go").await;
    for signal in ["INT", "HUP"] {
        program.signal(signal).await;
        program.stdout_line(signal).await;
    }
    program.signal("TERM").await;
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), "go\nINT\nHUP\n2 signals\n"));
}

#[tokio::test]
async fn a_signal_that_countersign_was_started_to_ignore_is_ignored_by_the_program_too() {
    let (sandbox, folder) = sandbox().await;
    let script = "kill -HUP $$; kill -HUP $PPID; echo survived";
    let command = exec(&sandbox, folder.path(), &[], script);
    let command = command.as_std();
    let mut nohup = Command::new("env");
    nohup.args(["--ignore-signal=HUP"]).arg(command.get_program()).args(command.get_args()).env_clear();
    nohup.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    nohup.current_dir(folder.path()).kill_on_drop(true);
    let ended = run(nohup).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "survived\n"), "{ended:?}");
}

#[tokio::test]
async fn requests_that_outlive_the_program_are_finished() {
    let (sandbox, folder) = sandbox().await;
    let program = Program::start(exec(&sandbox, folder.path(), &[], SERVER));
    let mut client = connect(&program.stdout_line("http").await).await;
    client
        .write("POST /x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status, 100);
    program.signal("TERM").await;
    program.stdout_line("bye").await;
    client.write("x").await;
    assert_eq!(client.answer().await.0.status, 200);
    assert_eq!(program.ended().await.code, Some(7));
}

#[tokio::test]
async fn quitquitquit_ends_the_program() {
    let (sandbox, folder) = sandbox().await;
    let flags = ["--admin-listen", "127.0.0.1:0", "--log-level", "info"];
    let program = Program::start(exec(&sandbox, folder.path(), &flags, SERVER));
    program.stdout_line("http").await;
    let admin = program.logged("starting", "admin").await;
    let address = admin.trim_start_matches("http://").parse().expect("an address");
    let mut client = Connection::open(address).await;
    client.write("POST /quitquitquit HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.0.status, 200);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(7), "{ended:?}");
}
