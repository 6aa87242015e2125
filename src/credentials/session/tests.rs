use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::Duration,
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::credentials::user_pool::{
    UserPoolClient, Verdict,
    script::{Script, clock, pool, refused, tokens},
};

fn session(refresh_token: &str) -> Session {
    Session {
        refresh_token: Some(SecretString::from(refresh_token)),
        ended: None,
        username: "internal".to_owned(),
        signed_in_as: "me@example.com".to_owned(),
        subject: "sub-1".to_owned(),
        device: Some(Device {
            key: "eu-west-1_device".to_owned(),
            group_key: "group".to_owned(),
            password: SecretString::from("device-password"),
        }),
        identity_ids: BTreeMap::from([("eu-west-1:pool".to_owned(), "eu-west-1:identity".to_owned())]),
    }
}

struct Scene {
    folder: TempDir,
    store: SessionStore,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let store = SessionStore::new(&folder.path().join("countersign"), &pool().id, "client");
        Self { folder, store }
    }

    async fn with(refresh_token: &str) -> Self {
        let scene = Self::new();
        scene.write(&session(refresh_token)).await;
        scene
    }

    async fn write(&self, session: &Session) {
        self.store.lock().await.expect("free").write(session).await.expect("written");
    }

    async fn read(&self) -> Result<Option<Session>, Error> {
        self.store.lock().await.expect("free").read().await
    }

    async fn stored_token(&self) -> Option<String> {
        let session = self.read().await.expect("readable").expect("present");
        session.refresh_token.map(|token| token.expose_secret().to_owned())
    }

    fn file(&self) -> PathBuf {
        self.store.path("json")
    }
}

/// A user pool during whose answers something happens to the files.
#[derive(Clone, Debug)]
struct Meddling {
    script: Script,
    meddle: fn(&Path),
    file: PathBuf,
}

impl Meddling {
    fn client(scene: &Scene, script: &Script, meddle: fn(&Path)) -> UserPoolClient {
        let meddling = Self { script: script.clone(), meddle, file: scene.file() };
        UserPoolClient::new(pool(), SharedHttpConnector::new(meddling), clock())
    }
}

impl HttpConnector for Meddling {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        (self.meddle)(&self.file);
        self.script.call(request)
    }
}

/// From here on nothing can take the place of `file`.
fn obstruct(file: &Path) {
    fs::remove_file(file).expect("a session");
    fs::create_dir_all(file.join("in the way")).expect("a folder");
}

fn write_private(file: &Path, content: &[u8]) {
    fs::write(file, content).expect("written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("ours");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_session_is_read_as_it_was_written() {
    let scene = Scene::with("refresh-1").await;
    let read = scene.read().await.expect("readable").expect("present");
    assert_eq!(*record::encode(&read), *record::encode(&session("refresh-1")));
}

#[tokio::test]
async fn only_the_owner_can_read_file_and_folder() {
    let scene = Scene::with("refresh-1").await;
    assert_eq!(mode(&scene.file()), 0o600);
    assert_eq!(mode(&scene.store.path("lock")), 0o600);
    assert_eq!(mode(&scene.folder.path().join("countersign")), 0o700);
}

#[tokio::test]
async fn nothing_but_session_and_lock_stays_behind() {
    let scene = Scene::with("refresh-1").await;
    fs::write(scene.file().with_extension("new"), "left by a crash").expect("written");
    scene.write(&session("refresh-2")).await;
    let mut names: Vec<_> = fs::read_dir(scene.folder.path().join("countersign"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names, ["eu-west-1_AbCdEf123@client.json", "eu-west-1_AbCdEf123@client.lock"]);
}

#[tokio::test]
async fn damaged_sessions_count_as_absent() {
    let scene = Scene::with("refresh-1").await;
    let whole = fs::read(scene.file()).expect("there");
    let other_version =
        String::from_utf8(whole.clone()).expect("UTF-8").replace("\"version\": 1", "\"version\": 2");
    for damaged in [&b""[..], b"{}", b"\0\0\0", &whole[..whole.len() / 2], other_version.as_bytes()] {
        fs::write(scene.file(), damaged).expect("written");
        assert!(scene.read().await.expect("readable").is_none());
    }
}

#[tokio::test]
async fn a_session_that_others_can_read_is_refused_with_the_remedy() {
    let scene = Scene::with("refresh-1").await;
    for open in [0o640, 0o604, 0o666, 0o620] {
        fs::set_permissions(scene.file(), fs::Permissions::from_mode(open)).expect("changed");
        let error = scene.read().await.expect_err("refused");
        assert!(matches!(error, Error::Exposed(_)), "{open:o}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", scene.file().display())));
    }
    fs::set_permissions(scene.file(), fs::Permissions::from_mode(0o600)).expect("changed");
    assert!(scene.read().await.expect("readable").is_some());
}

#[tokio::test]
async fn writing_makes_an_exposed_file_private_again() {
    let scene = Scene::with("refresh-1").await;
    fs::set_permissions(scene.file(), fs::Permissions::from_mode(0o644)).expect("changed");
    scene.write(&session("refresh-2")).await;
    assert_eq!(mode(&scene.file()), 0o600);
}

#[tokio::test]
async fn forgetting_is_final_and_can_be_repeated() {
    let scene = Scene::with("refresh-1").await;
    let locked = scene.store.lock().await.expect("free");
    locked.forget().await.expect("deleted");
    locked.forget().await.expect("still gone");
    assert!(locked.read().await.expect("readable").is_none());
}

#[tokio::test]
async fn client_ids_cannot_lead_out_of_the_folder() {
    let store = SessionStore::new(Path::new("/state"), &pool().id, "../../etc/passwd");
    assert_eq!(store.path("json"), Path::new("/state/eu-west-1_AbCdEf123@......etc.passwd.json"));
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_but_not_forever() {
    let scene = Scene::new();
    let held = scene.store.lock().await.expect("free");
    let started = tokio::time::Instant::now();
    assert!(matches!(scene.store.lock().await, Err(Error::Busy(..))));
    assert_eq!(started.elapsed().as_secs(), 30);

    let waiting = scene.store.lock();
    let (lock, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let wait = scene.store.waits_for().expect("the lock");
        let lock = scene.store.path("lock");
        assert_eq!(wait, Wait::Lock(lock.clone()));
        if cfg!(target_os = "linux") {
            let holder = format!("process {} holds the session lock {}", std::process::id(), lock.display());
            assert_eq!(wait.to_string(), holder);
        }
        drop(held);
    });
    assert!(lock.is_ok());
    assert_eq!(scene.store.waits_for(), None);
}

#[tokio::test]
async fn a_rotated_token_is_stored_when_the_tokens_are_handed_out() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([tokens(Some("refresh-2")), tokens(None)]);
    let client = script.client(pool());
    let renewed = scene.store.renew(&client, None).await.expect("tokens");
    assert_eq!(renewed.session.refresh_token.expect("rotated").expose_secret(), "refresh-2");
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-2"));

    scene.store.renew(&client, None).await.expect("tokens");
    assert_eq!(script.requests()[1].1["RefreshToken"], "refresh-2");
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-2"));
}

#[tokio::test]
async fn simultaneous_renewals_exchange_each_token_once() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([tokens(Some("refresh-2")), tokens(Some("refresh-3"))]);
    let client = script.client(pool());
    let (one, other) = tokio::join!(scene.store.renew(&client, None), scene.store.renew(&client, None));
    assert!(one.is_ok() && other.is_ok());
    let used: Vec<_> = script.requests().iter().map(|(_, body)| body["RefreshToken"].clone()).collect();
    assert_eq!(used, [json!("refresh-1"), json!("refresh-2")]);
}

#[tokio::test]
async fn a_refused_token_is_forgotten_but_not_the_device() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([refused("NotAuthorizedException", "Refresh Token has been revoked")]);
    let client = script.client(pool());
    let error = scene.store.renew(&client, None).await.expect_err("refused");
    assert!(matches!(error, RenewError::UserPool(error) if error.verdict() == Verdict::SessionOver));
    let left = scene.read().await.expect("readable").expect("present");
    assert!(left.refresh_token.is_none() && left.device.is_some());
    let Err(RenewError::SignedOut(Some(ended))) = scene.store.renew(&client, None).await else {
        panic!("not signed out for a reason")
    };
    assert!(ended.to_string().ends_with("NotAuthorizedException: Refresh Token has been revoked"), "{ended}");
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn a_session_is_used_by_its_own_user_under_either_name() {
    for (username, is_own) in
        [(None, true), (Some("me@example.com"), true), (Some("internal"), true), (Some("other"), false)]
    {
        let scene = Scene::with("refresh-1").await;
        let script = Script::new([tokens(Some("refresh-2"))]);
        let renewed = scene.store.renew(&script.client(pool()), username).await;
        assert_eq!(renewed.is_ok(), is_own, "{username:?}");
        assert!(is_own || matches!(renewed, Err(RenewError::SignedOut(None))), "{username:?}");
        assert_eq!(script.requests().len(), usize::from(is_own), "{username:?}");
    }
}

#[tokio::test]
async fn a_session_of_another_owner_is_refused() {
    let scene = Scene::with("refresh-1").await;
    // Only root can give a file away.
    if std::os::unix::fs::chown(scene.file(), Some(65_534), None).is_ok() {
        assert!(matches!(scene.read().await, Err(Error::Foreign(_))));
    }
}

#[tokio::test]
async fn a_passing_failure_keeps_the_token() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([refused("TooManyRequestsException", "Rate exceeded")]);
    assert!(scene.store.renew(&script.client(pool()), None).await.is_err());
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-1"));
}

#[tokio::test]
async fn a_reused_token_ends_the_session_unless_the_store_has_its_successor() {
    let scene = Scene::with("refresh-1").await;
    let reused = || refused("RefreshTokenReuseException", "Refresh token reuse");
    let script = Script::new([reused()]);
    assert!(scene.store.renew(&script.client(pool()), None).await.is_err());
    assert_eq!(scene.stored_token().await, None);
    assert_eq!(script.requests().len(), 1);

    let scene = Scene::with("refresh-1").await;
    let script = Script::new([reused(), tokens(Some("refresh-3"))]);
    let client = Meddling::client(&scene, &script, |file| {
        write_private(file, &record::encode(&session("refresh-2")));
    });
    scene.store.renew(&client, None).await.expect("tokens");
    assert_eq!(script.requests()[1].1["RefreshToken"], "refresh-2");
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-3"));
}

#[tokio::test]
async fn no_refusal_ends_a_session_that_another_process_has_stored_meanwhile() {
    for (code, words) in [
        ("NotAuthorizedException", "Refresh Token has been revoked"),
        ("NotAuthorizedException", "Invalid Refresh Token"),
    ] {
        let scene = Scene::with("refresh-1").await;
        let script = Script::new([refused(code, words), tokens(None)]);
        let client = Meddling::client(&scene, &script, |file| {
            write_private(file, &record::encode(&session("refresh-2")));
        });
        scene.store.renew(&client, None).await.expect("tokens");
        assert_eq!(script.requests()[1].1["RefreshToken"], "refresh-2", "{words}");
        assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-2"), "{words}");
    }
}

#[tokio::test]
async fn a_store_that_takes_no_other_token_fails_before_the_old_one_is_used_up() {
    let scene = Scene::with("refresh-1").await;
    fs::create_dir_all(scene.file().with_extension("new").join("in the way")).expect("a folder");
    for refused in [
        refused("InvalidParameterException", "REFRESH_TOKEN_AUTH flow not enabled for this client"),
        refused("NotAuthorizedException", "Refresh token rotation is enabled"),
    ] {
        let script = Script::new([refused]);
        let error = scene.store.renew(&script.client(pool()), None).await.expect_err("not stored");
        assert!(matches!(&error, RenewError::Store(error) if error.remedy().is_none()), "{error:?}");
        let flows: Vec<_> = script.requests().iter().map(|(_, body)| body["AuthFlow"].clone()).collect();
        assert_eq!(flows, ["REFRESH_TOKEN_AUTH"]);
        assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-1"));
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_serves_a_session_that_does_not_rotate() {
    let scene = Scene::with("refresh-1").await;
    fs::create_dir_all(scene.file().with_extension("new").join("in the way")).expect("a folder");
    let script = Script::new([tokens(None)]);
    let renewed = scene.store.renew(&script.client(pool()), None).await.expect("tokens");
    assert_eq!(renewed.session.refresh_token.expect("kept").expose_secret(), "refresh-1");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_stored_is_kept_used_and_stored_later() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([tokens(Some("refresh-2")), tokens(Some("refresh-3"))]);
    let renewed =
        scene.store.renew(&Meddling::client(&scene, &script, obstruct), None).await.expect("tokens");
    assert_eq!(renewed.session.refresh_token.expect("rotated").expose_secret(), "refresh-2");

    let elsewhere = SessionStore::new(&scene.store.folder, &pool().id, "client");
    assert!(matches!(elsewhere.lock().await, Err(Error::Busy(..))), "nobody else uses up what is stored");
    scene.store.remember_identity("eu-west-1:pool", "eu-west-1:other").await.expect("remembered");
    scene.store.renew(&script.client(pool()), None).await.expect("tokens");
    assert_eq!(script.requests()[1].1["RefreshToken"], "refresh-2");

    fs::remove_dir_all(scene.file()).expect("out of the way");
    let stored =
        elsewhere.lock().await.expect("stored by now").read().await.expect("readable").expect("present");
    assert_eq!(stored.refresh_token.expect("stored").expose_secret(), "refresh-3");
    assert_eq!(stored.identity_ids["eu-west-1:pool"], "eu-west-1:other");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_stored_rotates_on_in_memory() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([tokens(Some("refresh-2")), tokens(Some("refresh-3")), tokens(None)]);
    let client = Meddling::client(&scene, &script, |file| {
        let obstacle = file.with_extension("new");
        if obstacle.is_file() {
            fs::remove_file(&obstacle).expect("prepared");
            fs::create_dir_all(obstacle.join("in the way")).expect("a folder");
        }
    });
    for _ in 0..3 {
        scene.store.renew(&client, None).await.expect("tokens");
    }
    let sent: Vec<_> = script
        .requests()
        .into_iter()
        .map(|(operation, body)| {
            (operation.ends_with("GetTokensFromRefreshToken"), body["RefreshToken"].clone())
        })
        .collect();
    assert_eq!(sent, ["refresh-1", "refresh-2", "refresh-3"].map(|token| (true, json!(token))));
    fs::remove_dir_all(scene.file().with_extension("new")).expect("out of the way");
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-3"));
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_after_the_folder_was_deleted_is_not_written_over() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([tokens(Some("refresh-2")), tokens(None)]);
    let client = Meddling::client(&scene, &script, |file| {
        let folder = file.parent().expect("a folder");
        fs::remove_dir_all(folder).expect("there");
        fs::create_dir(folder).expect("free");
        write_private(file, &record::encode(&session("refresh-9")));
        // What another process is about to put in place, and has not written to its end.
        write_private(&file.with_extension("new"), b"{\"version\": 1, \"refresh_to");
    });
    scene.store.renew(&client, None).await.expect("tokens");
    let stored = fs::read(scene.file()).expect("there");
    let stored = record::decode(&stored).expect("whole").refresh_token.expect("there");
    assert_eq!(stored.expose_secret(), "refresh-9");
    scene.store.renew(&script.client(pool()), None).await.expect("tokens");
    assert_eq!(script.requests()[1].1["RefreshToken"], "refresh-9");
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-9"));
}

#[tokio::test]
async fn a_newer_session_that_cannot_be_read_for_the_moment_is_not_passed_over() {
    let scene = Scene::with("refresh-1").await;
    let newer = scene.file().with_extension("new");
    std::os::unix::fs::symlink(&newer, &newer).expect("a link to itself");
    let script = Script::default();
    let error = scene.store.renew(&script.client(pool()), None).await.expect_err("unreadable");
    assert!(matches!(error, RenewError::Store(Error::Io(at, _)) if at == newer));
    assert!(script.requests().is_empty(), "the older refresh token may have been used up");
    assert!(newer.is_symlink());
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_sign_in_is_offered_to_a_store_that_fails_for_the_moment() {
    let scene = Scene::new();
    let folder = scene.store.folder.clone();
    fs::write(&folder, "").expect("a file in place of the folder");
    let (kept, ()) = tokio::join!(scene.store.keep(session("refresh-1")), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        fs::remove_file(&folder).expect("removed");
    });
    kept.expect("stored");
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-1"));

    fs::remove_dir_all(&folder).expect("removed");
    fs::write(&folder, "").expect("a file in place of the folder");
    let started = tokio::time::Instant::now();
    assert!(matches!(scene.store.keep(session("refresh-1")).await, Err(Error::Io(..))));
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn the_only_copy_of_a_token_on_the_disk_is_not_removed_to_write_it_again() {
    let scene = Scene::with("refresh-1").await;
    let script = Script::new([tokens(Some("refresh-2"))]);
    scene.store.renew(&Meddling::client(&scene, &script, obstruct), None).await.expect("tokens");
    let copy = scene.file().with_extension("new");
    // Another name of the same file, so that a new one cannot have its number.
    fs::hard_link(&copy, scene.folder.path().join("kept")).expect("a link");
    let number = || fs::metadata(&copy).expect("the copy").ino();
    let before = number();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(number(), before);
    fs::remove_dir_all(scene.file()).expect("out of the way");
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-2"));
    assert!(!copy.exists());
}

#[tokio::test]
async fn a_session_that_was_written_and_not_put_in_place_is_taken_up() {
    let scene = Scene::with("refresh-1").await;
    let written = scene.file().with_extension("new");
    let whole = record::encode(&session("refresh-2"));
    write_private(&written, &whole[..whole.len() / 2]);
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-1"));
    write_private(&written, &whole);
    assert_eq!(scene.stored_token().await.as_deref(), Some("refresh-2"));
    assert!(!written.exists());
    write_private(&written, &record::encode(&session("refresh-3")));
    scene.store.lock().await.expect("free").try_out().await.expect("writable");
    assert_eq!(
        scene.stored_token().await.as_deref(),
        Some("refresh-3"),
        "a sign-in may be given up half way"
    );
    write_private(&written, &whole);
    scene.store.lock().await.expect("free").forget().await.expect("deleted");
    assert!(scene.read().await.expect("readable").is_none(), "nobody is signed in again");
}

#[tokio::test]
async fn irregular_session_paths_are_transient_errors_without_waiting() {
    let fifo = |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    let folder = |path: &Path| fs::create_dir(path).expect("a folder");
    let device = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).expect("a link");
    let kinds: [&dyn Fn(&Path); 3] = [&fifo, &folder, &device];
    for extension in ["json", "lock"] {
        for make in kinds {
            let scene = Scene::with("refresh-1").await;
            let path = scene.store.path(extension);
            fs::remove_file(&path).expect("there");
            make(&path);
            let script = Script::default();
            let error = scene.store.renew(&script.client(pool()), None).await.expect_err("no file");
            let RenewError::Store(error) = error else { panic!("{error:?}") };
            assert!(matches!(&error, Error::Io(at, _) if *at == path), "{error:?}");
            assert_eq!(error.remedy(), None);
        }
    }
}

#[test]
fn only_a_session_file_with_wrong_mode_or_owner_needs_a_person() {
    let path = PathBuf::from("/state/session.json");
    for (error, needs_a_person) in [
        (Error::Exposed(path.clone()), true),
        (Error::Foreign(path.clone()), true),
        (Error::Busy(path.clone(), Holder::of(&path)), false),
        (Error::Io(path.clone(), io::Error::from(io::ErrorKind::StorageFull)), false),
        (Error::Io(path.clone(), io::Error::from(io::ErrorKind::PermissionDenied)), false),
        (Error::Io(path, io::Error::from_raw_os_error(rustix::io::Errno::NOLCK.raw_os_error())), false),
    ] {
        assert_eq!(error.remedy().is_some(), needs_a_person, "{error:?}");
    }
}

#[tokio::test]
async fn no_session_means_signed_out() {
    let scene = Scene::new();
    let renewed = scene.store.renew(&Script::default().client(pool()), None).await;
    assert!(matches!(renewed, Err(RenewError::SignedOut(None))));
    assert!(!scene.store.folder.exists(), "reading makes nothing");
}

#[test]
fn debug_output_shows_no_secret() {
    let text = format!("{:?}", session("refresh-secret"));
    assert!(!text.contains("refresh-secret") && !text.contains("device-password"), "{text}");
}
