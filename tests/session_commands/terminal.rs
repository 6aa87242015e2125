//! A person at a terminal, and none.

use std::{process::Stdio, time::SystemTime};

use countersign::sandbox::{CustomChallenge, Medium, Mfa, PUBLIC_CLIENT_ID, Settings, User};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinSet,
};
use totp_rs::{Builder, Secret};

use crate::{
    desk::{Desk, failed, succeeded},
    ends::{Moment, Stage, is_signed_in, signed_in},
    support::{program, soon},
};

const PASSWORD: &str = "Sandbox-password-1";

/// Somebody at a terminal, which `script` provides.
struct Person {
    terminal: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    unread: String,
}

impl Person {
    /// Runs a command of the program at the terminal.
    fn runs(desk: &Desk, arguments: &str, settings: &[(&str, &str)]) -> Self {
        let program = env!("CARGO_BIN_EXE_countersign");
        // Ctrl-C means something even if whoever runs the tests has SIGINT ignored.
        let mut command = Command::new("env");
        command.args([
            "--default-signal=INT,HUP",
            "script",
            "--quiet",
            "--return",
            "--command",
            &format!("'{program}' {arguments}"),
            "/dev/null",
        ]);
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(settings.iter().copied());
        desk.configure(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut terminal = command.spawn().expect("script of util-linux");
        let keyboard = terminal.stdin.take().expect("piped");
        let screen = terminal.stdout.take().expect("piped");
        Self { terminal, keyboard, screen, unread: String::new() }
    }

    /// Presses Ctrl-C.
    async fn interrupts(&mut self) {
        self.keyboard.write_all(b"\x03").await.expect("a keyboard");
    }

    async fn ends_with(mut self, code: i32) {
        let status = soon("the end", self.terminal.wait()).await.expect("a status");
        assert_eq!(status.code(), Some(code));
    }

    /// Reads to `words`; gives all that came before them.
    async fn sees(&mut self, words: &str) -> String {
        loop {
            if let Some(at) = self.unread.find(words) {
                let rest = self.unread.split_off(at + words.len());
                return std::mem::replace(&mut self.unread, rest);
            }
            let shown = std::mem::take(&mut self.unread);
            let mut bytes = [0; 4096];
            let read = soon(words, self.screen.read(&mut bytes)).await.expect("a screen");
            assert_ne!(read, 0, "no {words:?} on the screen: {shown}");
            self.unread = shown + &String::from_utf8_lossy(&bytes[..read]);
        }
    }

    async fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).await.expect("a keyboard");
    }

    async fn ends_signed_in(mut self) {
        self.sees("Signed in as demo.").await;
        self.ends_with(0).await;
    }
}

fn demo() -> User {
    let aliases = ["demo@example.com", "+441234567890"].map(str::to_owned).to_vec();
    User { aliases, ..User::new("demo", PASSWORD) }
}

async fn desk_of(user: User) -> Desk {
    Desk::with(Settings { users: vec![user], ..Settings::default() }, PUBLIC_CLIENT_ID).await
}

/// The present code of an authenticator.
fn code(desk: &Desk, secret: &str) -> String {
    let now = desk.sandbox.clock().now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let secret = Secret::try_from_base32(secret).expect("base32");
    Builder::new().with_secret(secret).build_noncompliant().generate(now.as_secs()).to_string()
}

const NAME_AND_PASSWORD: [(&str, &str); 2] =
    [("COUNTERSIGN_USERNAME", "demo"), ("COUNTERSIGN_PASSWORD", PASSWORD)];

/// A session of its own leaves the terminal behind that the tests may have been started at.
#[tokio::test]
async fn without_a_terminal_login_says_which_settings_would_do() {
    let desk = Desk::start().await;
    for (username, words) in
        [(None, ["user name", "set username"]), (Some("demo"), ["password", "password-file"])]
    {
        let mut command = Command::new("setsid");
        command.args([env!("CARGO_BIN_EXE_countersign"), "login"]).env_clear().env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).envs(username.map(|name| ("COUNTERSIGN_USERNAME", name)));
        desk.configure(&mut command);
        failed(&program::run(command).await, &words);
    }
}

#[tokio::test]
async fn a_person_is_asked_for_name_and_password() {
    let desk = desk_of(demo()).await;
    let mut person = Person::runs(&desk, "login", &[]);
    person.sees("User name: ").await;
    person.types("demo@example.com").await;
    person.sees("Password: ").await;
    person.types(PASSWORD).await;
    person.ends_signed_in().await;
    succeeded(&desk.run(&["whoami"]).await);
}

#[tokio::test]
async fn an_authenticator_is_set_up_with_what_the_terminal_shows() {
    let settings = Settings { users: vec![demo()], mfa_required: true, ..Settings::default() };
    let desk = Desk::with(settings, PUBLIC_CLIENT_ID).await;
    let mut person = Person::runs(&desk, "login", &NAME_AND_PASSWORD);
    let image = person.sees("enter the key ").await;
    assert!(image.contains('█') && image.contains('▀'), "{image}");
    let secret = person.sees("\n").await;
    person.sees("Code of the authenticator app: ").await;
    person.types("000000").await;
    person.sees("That code is wrong. ").await;
    person.types(&code(&desk, secret.trim())).await;
    person.ends_signed_in().await;
}

#[tokio::test]
async fn a_second_factor_is_chosen_and_its_code_typed() {
    let desk = desk_of(User { mfa: vec![Mfa::Sms, Mfa::Email], ..demo() }).await;
    let mut person = Person::runs(&desk, "login", &NAME_AND_PASSWORD);
    person.sees("2 code by e-mail").await;
    person.sees("Number: ").await;
    person.types("2").await;
    person.sees("Code from the e-mail to ").await;
    person.types("000000").await;
    person.sees("That code is wrong. ").await;
    let message = desk.sandbox.messages().pop().expect("a message");
    assert_eq!((message.medium, message.address.as_str()), (Medium::Email, "demo@example.com"));
    person.types(&message.code).await;
    person.ends_signed_in().await;
}

#[tokio::test]
async fn a_code_by_text_message_stands_in_for_a_password() {
    let desk = desk_of(User { passkey: true, ..demo() }).await;
    let settings = [("COUNTERSIGN_USERNAME", "demo"), ("COUNTERSIGN_AUTH_FLOW", "user-auth")];
    let mut person = Person::runs(&desk, "login", &settings);
    person.sees("Sign in by:").await;
    let choices = person.sees("Number: ").await;
    let line = choices.lines().find(|line| line.contains("text message")).expect("offered");
    person.types(line.split_whitespace().next().expect("a number")).await;
    person.sees("Code from the text message to ").await;
    person.types(&desk.sandbox.messages().pop().expect("a message").code).await;
    person.ends_signed_in().await;
}

#[tokio::test]
async fn a_question_of_the_pools_own_is_shown_and_answered() {
    let parameters = vec![("question".to_owned(), "What is the answer?".to_owned())];
    let challenge = CustomChallenge { parameters, answer: "42".to_owned() };
    let desk = desk_of(User { custom_challenges: vec![challenge], ..demo() }).await;
    let settings = [("COUNTERSIGN_USERNAME", "demo"), ("COUNTERSIGN_AUTH_FLOW", "custom")];
    let mut person = Person::runs(&desk, "login", &settings);
    person.sees("question: What is the answer?").await;
    person.sees("Answer: ").await;
    person.types("42").await;
    person.ends_signed_in().await;
}

#[tokio::test]
async fn credentials_on_a_screen_come_with_a_warning() {
    let desk = desk_of(demo()).await;
    desk.sign_in().await;
    let mut person = Person::runs(&desk, "credentials", &[]);
    person.sees("these are secrets").await;
    person.sees("\"SecretAccessKey\"").await;
    person.ends_with(0).await;
}

#[tokio::test]
async fn signing_needs_no_question() {
    let desk = desk_of(demo()).await;
    let mut person = Person::runs(&desk, "credentials", &[]);
    let shown = person.sees("sign in with `countersign login`").await;
    assert!(!shown.contains("User name"), "{shown}");
    person.ends_with(1).await;
}

#[tokio::test]
async fn ctrl_c_reaches_a_program_of_exec_once() {
    let desk = desk_of(demo()).await;
    desk.sign_in().await;
    let api = desk.sandbox.api_url();
    let settings = [
        ("COUNTERSIGN_UPSTREAM", api.as_str()),
        ("COUNTERSIGN_REGION", "eu-west-1"),
        ("COUNTERSIGN_LOG_LEVEL", "debug"),
    ];
    let script = r#"n=0; trap "n=\$((n+1)); echo int \$n" INT; echo go; until read line; do :; done; echo ended after $n"#;
    let mut person = Person::runs(&desk, &format!("exec -- sh -c '{script}'"), &settings);
    person.sees("go\r").await;
    person.interrupts().await;
    person.sees("told the program as well").await;
    person.types("").await;
    person.sees("ended after 1").await;
}

#[tokio::test]
async fn a_terminal_that_is_closed_at_any_moment_loses_no_session() {
    let mut ends = JoinSet::new();
    for arguments in [
        "whoami",
        "credentials",
        "call GET /hello",
        "check --online",
        "serve --listen 127.0.0.1:0 --admin-listen off",
        "exec --listen 127.0.0.1:0 --admin-listen off -- sleep 60",
    ] {
        ends.spawn(async move {
            let mut desk = signed_in().await;
            for moment in Moment::ALL {
                let stage = Stage::set(desk, moment);
                let upstream = stage.desk.sandbox.api_url();
                let settings = [
                    ("COUNTERSIGN_UPSTREAM", upstream.as_str()),
                    ("COUNTERSIGN_REGION", stage.desk.sandbox.region()),
                    ("COUNTERSIGN_SERVICE", "execute-api"),
                    ("COUNTERSIGN_LOG_LEVEL", "info,countersign=debug"),
                ];
                let mut person = Person::runs(&stage.desk, arguments, &settings);
                stage.comes(person.sees("waiting for another process")).await;
                person.terminal.kill().await.expect("a terminal");
                // It holds the lock for as long as it runs on.
                stage.rotation_is_over(arguments).await;
                desk = stage.ends_well().await;
            }
        });
    }
    while let Some(end) = ends.join_next().await {
        end.expect("a session that is usable");
    }
}

#[tokio::test]
async fn a_terminal_that_is_closed_at_a_question_of_login_loses_no_session() {
    let desk = desk_of(demo()).await;
    desk.sign_in().await;
    let before = desk.session();
    let mut person = Person::runs(&desk, "login", &[("COUNTERSIGN_USERNAME", "demo")]);
    person.sees("Password: ").await;
    person.terminal.kill().await.expect("a terminal");
    assert_eq!(desk.session(), before);
    is_signed_in(&desk).await;
}
