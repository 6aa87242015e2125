//! Ends of commands around a rotation of the refresh token: whatever ends them, the session stays usable.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::Duration,
};

use countersign::sandbox::Fault;
use serde_json::Value;
use tokio::{process::Command, task::JoinSet, task::yield_now};

use crate::{
    desk::{Desk, RENEWAL, VEND, failed, send, succeeded},
    support::{
        program::{self, Program},
        soon,
    },
};

/// Each command that renews the session.
const COMMANDS: [&[&str]; 6] = [
    &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"],
    &["exec", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--", "/bin/sh", "-c", "sleep 60"],
    &["call", "GET", "/hello"],
    &["whoami"],
    &["check", "--online"],
    &["credentials"],
];

const SIGNALS: [(&str, i32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];

/// When the end comes, by the rotation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// Another process holds the lock.
    Before,
    /// The old refresh token has been used up, and the answer is on its way.
    During,
    /// The new refresh token is stored, and the identity pool has been asked.
    After,
}

impl Moment {
    pub(crate) const ALL: [Self; 3] = [Self::Before, Self::During, Self::After];
}

/// A user's machine on which a command will stand still at some moment.
pub(crate) struct Stage {
    pub(crate) desk: Desk,
    moment: Moment,
    before: Value,
    lock: Option<File>,
}

impl Stage {
    /// Somebody is signed in at `desk`.
    pub(crate) fn set(desk: Desk, moment: Moment) -> Self {
        desk.sandbox.calls().clear();
        let mut lock = None;
        match moment {
            Moment::Before => lock = Some(hold_lock(&desk)),
            Moment::During => {
                desk.sandbox.faults().next(RENEWAL, 1, Fault::Late(Duration::from_millis(700)));
            }
            Moment::After => desk.sandbox.faults().next(VEND, 1, Fault::Hang),
        }
        let before = desk.session();
        Self { desk, moment, before, lock }
    }

    /// Waits for the moment; `waits` is over once the command has said that it waits for the lock.
    pub(crate) async fn comes(&self, waits: impl Future) {
        match self.moment {
            Moment::Before => drop(waits.await),
            Moment::During => is_asked_for(&self.desk, RENEWAL).await,
            Moment::After => is_asked_for(&self.desk, VEND).await,
        }
    }

    /// Waits until a rotation that has begun is stored.
    #[cfg(target_os = "linux")]
    pub(crate) async fn rotation_is_over(&self, command: &str) {
        if matches!(self.moment, Moment::Before) {
            return;
        }
        soon(command, async {
            while self.desk.session() == self.before {
                yield_now().await;
            }
        })
        .await;
    }

    /// The session is the one that it ought to be, and usable.
    pub(crate) async fn ends_well(mut self) -> Desk {
        let was_used = !matches!(self.moment, Moment::Before);
        let is_new = self.desk.session()["refresh_token"] != self.before["refresh_token"];
        assert_eq!((is_new, self.desk.calls(RENEWAL) > 0), (was_used, was_used));
        drop(self.lock.take());
        is_signed_in(&self.desk).await;
        self.desk
    }
}

fn hold_lock(desk: &Desk) -> File {
    let lock = File::open(desk.session_file().with_extension("lock")).expect("a lock");
    lock.lock().expect("free");
    lock
}

const WAITS: &str = "waiting for another process that uses the session";

/// A command that signals end, also where whoever runs the tests has some of them ignored.
fn command(desk: &Desk, arguments: &[&str]) -> Command {
    heeding_signals(desk, &desk.proxy_command(arguments))
}

fn heeding_signals(desk: &Desk, direct: &Command) -> Command {
    let direct = direct.as_std();
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal=INT,HUP").arg(direct.get_program()).args(direct.get_args());
    let settings = direct.get_envs().filter_map(|(name, value)| value.map(|value| (name, value)));
    command
        .env_clear()
        .envs(settings)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .current_dir(desk.folder.path());
    command.env("COUNTERSIGN_LOG_FORMAT", "json").env("COUNTERSIGN_LOG_LEVEL", "info,countersign=debug");
    command
}

async fn is_asked_for(desk: &Desk, operation: &str) {
    soon(operation, async {
        while desk.calls(operation) == 0 {
            yield_now().await;
        }
    })
    .await;
}

async fn renewal_begins(desk: &Desk) {
    is_asked_for(desk, RENEWAL).await;
}

/// A user of a pool that takes each refresh token once.
pub(crate) async fn signed_in() -> Desk {
    let desk = Desk::rotating(Duration::ZERO).await;
    desk.sign_in().await;
    desk
}

/// Makes the answer to the next renewal come a second after the old token has been used up.
pub(crate) async fn signed_in_with_a_late_answer() -> Desk {
    let desk = signed_in().await;
    desk.sandbox.faults().next(RENEWAL, 1, Fault::Late(Duration::from_secs(1)));
    desk
}

pub(crate) async fn is_signed_in(desk: &Desk) {
    succeeded(&desk.run(&["whoami"]).await);
}

#[tokio::test]
async fn a_signal_at_any_moment_leaves_every_command_a_session_that_is_usable() {
    let mut ends = JoinSet::new();
    for arguments in COMMANDS {
        ends.spawn(async move {
            let mut desk = signed_in().await;
            for (signal, code) in SIGNALS {
                for moment in Moment::ALL {
                    let stage = Stage::set(desk, moment);
                    let program = Program::start(command(&stage.desk, arguments));
                    stage.comes(program.stderr_line(WAITS)).await;
                    program.signal(signal).await;
                    let code = match (arguments[0], signal) {
                        // Where there is no terminal, it has the configuration read again.
                        ("serve", "HUP") => {
                            program.signal("TERM").await;
                            143
                        }
                        _ => code,
                    };
                    let ended = program.ended().await;
                    assert_eq!(ended.code, Some(code), "{arguments:?} {signal} {moment:?}: {ended:?}");
                    desk = stage.ends_well().await;
                }
            }
        });
    }
    while let Some(end) = ends.join_next().await {
        end.expect("a session that is usable");
    }
}

#[tokio::test]
async fn a_signal_at_any_moment_of_a_login_leaves_a_session_that_is_usable() {
    let mut ends = JoinSet::new();
    for (signal, code) in SIGNALS {
        ends.spawn(async move {
            let desk = signed_in().await;
            let before = desk.session();

            let lock = hold_lock(&desk);
            let login = Program::start(heeding_signals(&desk, &desk.login_command()));
            login.stderr_line(WAITS).await;
            login.signal(signal).await;
            assert_eq!(login.ended().await.code, None, "before the sign-in");
            drop(lock);
            assert_eq!((desk.session(), desk.calls("InitiateAuth")), (before.clone(), 0));

            desk.sandbox.faults().next("RespondToAuthChallenge", 1, Fault::Late(Duration::from_secs(60)));
            let login = Program::start(heeding_signals(&desk, &desk.login_command()));
            is_asked_for(&desk, "RespondToAuthChallenge").await;
            login.signal(signal).await;
            assert_eq!(login.ended().await.code, None, "during the sign-in");
            assert_eq!(desk.session(), before);
            is_signed_in(&desk).await;

            desk.sandbox.calls().clear();
            desk.sandbox.faults().next("RespondToAuthChallenge", 1, Fault::Late(Duration::from_millis(500)));
            let login = Program::start(heeding_signals(&desk, &desk.login_command()));
            is_asked_for(&desk, "RespondToAuthChallenge").await;
            obstruct(&desk);
            login.stderr_line("the session cannot be stored yet").await;
            login.signal(signal).await;
            login.stderr_line("finishing the renewal of the session").await;
            fs::remove_dir_all(desk.session_file()).expect("out of the way");
            assert_eq!(login.ended().await.code, Some(code), "after the sign-in");
            is_signed_in(&desk).await;
            assert_eq!(desk.calls("InitiateAuth"), 1, "the sign-in was not lost");
        });
    }
    while let Some(end) = ends.join_next().await {
        end.expect("a session that is usable");
    }
}

#[tokio::test]
async fn a_login_that_cannot_be_stored_at_first_is_stored_as_soon_as_it_can() {
    let desk = Desk::rotating(Duration::ZERO).await;
    desk.sandbox.faults().next("RespondToAuthChallenge", 1, Fault::Late(Duration::from_millis(500)));
    let login = Program::start(desk.login_command());
    is_asked_for(&desk, "RespondToAuthChallenge").await;
    fs::create_dir_all(desk.session_file().join("in the way")).expect("a folder");
    login.stderr_line("the session cannot be stored yet").await;
    fs::remove_dir_all(desk.session_file()).expect("out of the way");
    succeeded(&login.ended().await);
    is_signed_in(&desk).await;
    assert_eq!(desk.calls("InitiateAuth"), 1);
}

#[tokio::test]
async fn a_second_signal_during_a_rotation_ends_it_no_sooner() {
    let mut ends = JoinSet::new();
    for arguments in COMMANDS {
        ends.spawn(async move {
            let desk = signed_in().await;
            // Longer than a process has after its second signal when nothing is at stake.
            desk.sandbox.faults().next(RENEWAL, 1, Fault::Late(Duration::from_secs(4)));
            let program = Program::start(command(&desk, arguments));
            renewal_begins(&desk).await;
            program.signal("TERM").await;
            program.stderr_line("finishing the renewal of the session").await;
            program.signal("TERM").await;
            assert_eq!(program.ended().await.code, Some(143), "{arguments:?}");
            is_signed_in(&desk).await;
        });
    }
    while let Some(end) = ends.join_next().await {
        end.expect("a session that is usable");
    }
}

/// Puts something in the way of the session's file.
fn obstruct(desk: &Desk) {
    fs::remove_file(desk.session_file()).expect("a session");
    fs::create_dir_all(desk.session_file().join("in the way")).expect("a folder");
}

#[tokio::test]
async fn an_unstored_refresh_token_fails_the_command_and_is_stored_later() {
    const SHORT: [&[&str]; 3] = [&["whoami"], &["credentials"], &["call", "GET", "/hello"]];
    let ends = SHORT.map(|arguments| async move {
        let desk = signed_in_with_a_late_answer().await;
        let program = Program::start(command(&desk, arguments));
        renewal_begins(&desk).await;
        obstruct(&desk);
        let ended = program.ended().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("could not be stored"), "{ended:?}");
        assert_ne!(ended.stdout, "", "what could be done was done: {ended:?}");
        fs::remove_dir_all(desk.session_file()).expect("out of the way");
        is_signed_in(&desk).await;
    });
    ends.into_iter().collect::<JoinSet<()>>().join_all().await;
}

#[tokio::test]
async fn a_store_that_recovers_in_time_loses_nothing() {
    let desk = signed_in_with_a_late_answer().await;
    let before = desk.session();
    let whoami = Program::start(desk.command(&["whoami"]));
    renewal_begins(&desk).await;
    obstruct(&desk);
    whoami.stderr_line("kept in memory and written again").await;
    fs::remove_dir_all(desk.session_file()).expect("out of the way");
    succeeded(&whoami.ended().await);
    assert_ne!(desk.session()["refresh_token"], before["refresh_token"]);
}

#[tokio::test]
async fn a_running_proxy_stores_a_refresh_token_as_soon_as_it_can() {
    let desk = signed_in_with_a_late_answer().await;
    let (proxy, url) = desk.serve(&[]).await;
    renewal_begins(&desk).await;
    obstruct(&desk);
    proxy.stderr_line("kept in memory and written again").await;
    assert_eq!(send("GET", &url, "").await.status, 200);
    fs::remove_dir_all(desk.session_file()).expect("out of the way");
    proxy.stderr_line("the new refresh token is stored").await;
    proxy.signal("KILL").await;
    proxy.ended().await;
    is_signed_in(&desk).await;
}

/// What happens to the store.
type Act<'a> = &'a dyn Fn();

#[tokio::test]
async fn a_store_that_fails_briefly_does_not_require_a_login() {
    let desk = Desk::rotating(Duration::ZERO).await;
    desk.sign_in().await;
    let folder = desk.session_file().parent().expect("a folder").to_owned();
    let lock = desk.session_file().with_extension("lock");
    let aside = folder.with_extension("aside");
    let fails: [(&str, Act<'_>, Act<'_>); 3] = [
        (
            "a folder that is none",
            &|| {
                fs::rename(&folder, &aside).expect("moved");
                fs::write(&folder, "").expect("a file");
            },
            &|| {
                fs::remove_file(&folder).expect("removed");
                fs::rename(&aside, &folder).expect("moved back");
            },
        ),
        (
            "a folder in place of the lock",
            &|| {
                fs::remove_file(&lock).expect("removed");
                fs::create_dir(&lock).expect("made");
            },
            &|| fs::remove_dir(&lock).expect("removed"),
        ),
        (
            "no room beside the session",
            &|| fs::create_dir_all(desk.session_file().with_extension("new").join("x")).expect("made"),
            &|| fs::remove_dir_all(desk.session_file().with_extension("new")).expect("removed"),
        ),
    ];
    for (failure, break_it, mend_it) in fails {
        desk.sandbox.calls().clear();
        break_it();
        let ended = desk.run(&["whoami"]).await;
        failed(&ended, &["could not be obtained for the moment"]);
        let (proxy, url) = desk.serve(&[]).await;
        proxy.stderr_line("credentials could not be refreshed").await;
        assert_eq!(send("GET", &url, "").await.problem().1, "credentials-unavailable", "{failure}");
        assert_eq!(desk.calls(RENEWAL), 0, "{failure}: no token is used up");
        mend_it();
        soon("the session to be used", async {
            while send("GET", &url, "").await.status != 200 {
                yield_now().await;
            }
        })
        .await;
        proxy.signal("TERM").await;
        proxy.ended().await;
    }
}

#[tokio::test]
async fn a_running_proxy_takes_up_a_folder_that_comes_back() {
    let desk = Desk::rotating(Duration::ZERO).await;
    desk.sign_in().await;
    let folder = desk.session_file().parent().expect("a folder").to_owned();
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).expect("moved");
    let (proxy, url) = desk.serve(&[]).await;
    proxy.stderr_line("action needed").await;
    fs::rename(&aside, &folder).expect("moved back");
    soon("the session to be used", async {
        while send("GET", &url, "").await.status != 200 {
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_outlives_the_folder_that_it_belongs_into() {
    let desk = signed_in_with_a_late_answer().await;
    let whoami = Program::start(desk.command(&["whoami"]));
    renewal_begins(&desk).await;
    fs::remove_dir_all(desk.session_file().parent().expect("a folder")).expect("removed");
    succeeded(&whoami.ended().await);
    is_signed_in(&desk).await;
}

#[tokio::test]
async fn a_login_that_cannot_be_stored_asks_for_no_password() {
    let desk = Desk::start().await;
    fs::create_dir_all(desk.session_file().with_extension("new").join("in the way")).expect("a folder");
    failed(&program::run(desk.login_command()).await, &["cannot be used"]);
    assert_eq!(desk.calls("InitiateAuth"), 0);
}

#[tokio::test]
async fn the_reason_a_session_ended_appears_in_every_command() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    desk.sandbox.sign_out("demo");
    for arguments in [&["credentials"], &["whoami"], &["credentials"]] {
        failed(
            &desk.run(arguments).await,
            &[
                "sign in again with `countersign login`",
                "session has ended",
                "Refresh Token has been revoked",
            ],
        );
    }
    assert_eq!(desk.calls(RENEWAL), 1);
    let (proxy, url) = desk.serve(&[]).await;
    let line = proxy.stderr_line("action needed").await;
    assert!(line.contains("Refresh Token has been revoked"), "{line}");
    assert_eq!(send("GET", &url, "").await.problem().1, "login-required");
    desk.sign_in().await;
    is_signed_in(&desk).await;
}

#[tokio::test]
async fn a_page_in_place_of_cognitos_answer_is_logged_and_ends_no_session() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    for (operation, status) in [(RENEWAL, 403), ("GetId", 407), ("GetCredentialsForIdentity", 403)] {
        desk.sandbox.faults().next(operation, 1, Fault::Page(status, "Blocked by ACME".to_owned()));
        failed(
            &desk.run(&["whoami"]).await,
            &["for the moment", &format!("HTTP {status}"), "Blocked by ACME"],
        );
    }
    is_signed_in(&desk).await;
}

#[tokio::test]
async fn an_id_token_file_that_is_not_a_regular_file_is_an_error() {
    let desk = Desk::start().await;
    let fifo = desk.folder.path().join("token");
    assert!(Command::new("mkfifo").arg(&fifo).status().await.expect("mkfifo").success());
    set_private(&fifo);
    let mut command = program::command(&["whoami"]);
    desk.configure(&mut command);
    command.env_remove("COUNTERSIGN_USER_POOL_ID").env_remove("COUNTERSIGN_CLIENT_ID");
    command.env("COUNTERSIGN_ID_TOKEN_FILE", &fifo);
    let ended = program::run(command).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{ended:?}");
    assert!(ended.stderr.contains("it is a pipe, not a regular file"), "{}", ended.stderr);
}

fn set_private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
}

/// The time that a page of a corporate proxy gives is that proxy's own.
#[tokio::test]
async fn the_date_of_a_page_in_place_of_cognitos_answer_moves_no_clock() {
    let desk = Desk::start().await;
    desk.sign_in().await;
    desk.sandbox.set_clock_skew(2 * 3_600 * 1_000);
    for operation in [RENEWAL, "GetId"] {
        let page = Fault::Page(403, "Blocked by ACME".to_owned());
        desk.sandbox.faults().next(operation, 1, page);
        let ended = desk.run(&["whoami"]).await;
        failed(&ended, &["Blocked by ACME"]);
        let is_of_cognito = operation != RENEWAL;
        assert_eq!(ended.stderr.contains("correcting for it"), is_of_cognito, "{operation}: {ended:?}");
    }
}
