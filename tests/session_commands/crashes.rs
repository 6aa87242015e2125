//! Ends of the program at the worst of moments: the session is whole, and nobody is locked out.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinSet, yield_now},
};

use crate::{
    desk::{Desk, RENEWAL, failed, succeeded},
    support::{program::Program, soon},
};

/// Stands before the user pool and, when told so, keeps the answers for itself.
struct Relay {
    url: String,
    keeps: Arc<AtomicBool>,
    kept: Arc<Notify>,
    _connections: JoinSet<()>,
}

impl Relay {
    async fn before(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (keeps, kept, mut connections) = (Arc::default(), Arc::default(), JoinSet::new());
        let (told, tells) = (Arc::clone(&keeps), Arc::clone(&kept));
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&upstream).await.expect("the user pool");
                connections.spawn(relay(client, upstream, Arc::clone(&told), Arc::clone(&tells)));
            }
        });
        Self { url, keeps, kept, _connections: connections }
    }
}

async fn relay(mut client: TcpStream, mut upstream: TcpStream, keeps: Arc<AtomicBool>, kept: Arc<Notify>) {
    if !keeps.load(Ordering::SeqCst) {
        // A connection that breaks is the business of its two ends.
        let _ = copy_bidirectional(&mut client, &mut upstream).await;
        return;
    }
    let (mut from_client, _to_client) = client.split();
    let (mut answer, mut to_upstream) = upstream.split();
    let mut first = [0];
    tokio::select! {
        _ = copy(&mut from_client, &mut to_upstream) => {}
        _ = answer.read(&mut first) => kept.notify_one(),
    }
    std::future::pending::<()>().await;
}

/// Kills `whoami` after the pool has rotated the refresh token, before it hears of the new one.
async fn lose_a_rotated_token(desk: &mut Desk) {
    let relay = Relay::before(&desk.user_pool).await;
    let direct = std::mem::replace(&mut desk.user_pool, relay.url.clone());
    relay.keeps.store(true, Ordering::SeqCst);
    let before = desk.session();
    let whoami = Program::start(desk.command(&["whoami"]));
    soon("the answer", relay.kept.notified()).await;
    whoami.signal("KILL").await;
    assert_eq!(whoami.ended().await.code, None);
    assert_eq!(desk.session(), before);
    desk.user_pool = direct;
}

#[tokio::test]
async fn an_answer_that_a_crash_has_lost_is_asked_for_again_within_the_grace_period() {
    let mut desk = Desk::rotating(Duration::from_secs(60)).await;
    desk.sign_in().await;
    let before = desk.session();
    lose_a_rotated_token(&mut desk).await;
    succeeded(&desk.run(&["whoami"]).await);
    assert_ne!(desk.session()["refresh_token"], before["refresh_token"]);
    succeeded(&desk.run(&["whoami"]).await);
    assert_eq!(desk.calls("InitiateAuth"), 0);
}

#[tokio::test]
async fn a_refresh_token_that_a_crash_has_lost_for_good_asks_for_a_sign_in() {
    let mut desk = Desk::rotating(Duration::ZERO).await;
    desk.sign_in().await;
    lose_a_rotated_token(&mut desk).await;
    for _ in 0..2 {
        failed(&desk.run(&["whoami"]).await, &["sign in again with `countersign login`"]);
    }
    assert_eq!(desk.calls(RENEWAL), 2, "a token that was refused is not tried again");
    desk.sign_in().await;
    succeeded(&desk.run(&["whoami"]).await);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_costs_no_refresh_token() {
    let desk = Desk::rotating(Duration::from_secs(60)).await;
    desk.sign_in().await;
    let before = desk.session();
    let obstacle = desk.session_file().with_extension("new");
    fs::create_dir_all(obstacle.join("in the way")).expect("a folder");
    failed(&desk.run(&["whoami"]).await, &["for the moment", "cannot be used"]);
    assert_eq!((desk.session(), desk.calls(RENEWAL)), (before.clone(), 0));
    fs::remove_dir_all(&obstacle).expect("removed");
    fs::write(&obstacle, "{\"version\": 1, \"refresh_to").expect("half a file, as a crash leaves it");
    succeeded(&desk.run(&["whoami"]).await);
    assert_ne!(desk.session()["refresh_token"], before["refresh_token"]);
    assert!(!obstacle.exists());
}

#[tokio::test]
async fn a_kill_at_any_moment_of_a_renewal_leaves_a_whole_session() {
    let desk = Desk::rotating(Duration::from_secs(60)).await;
    desk.sign_in().await;
    for round in 0..8 {
        let asked = desk.calls(RENEWAL);
        let whoami = Program::start(desk.command(&["whoami"]));
        soon("the renewal to begin", async {
            while desk.calls(RENEWAL) == asked {
                yield_now().await;
            }
        })
        .await;
        // Each round leaves the program a little more time.
        for _ in 0..round * 200 {
            yield_now().await;
        }
        whoami.signal("KILL").await;
        whoami.ended().await;
        assert!(desk.session()["refresh_token"].is_string());
    }
    succeeded(&desk.run(&["whoami"]).await);
}
