//! SIGHUP: the configuration is read again.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use countersign::sandbox::Sandbox;
use tokio::{process::Command, sync::Notify, task::JoinSet};

use super::support::{
    Connection,
    program::{Program, address, ask, ask_over, folder, sandbox, serve},
    soon,
    upstream::{FINE, Upstream},
};

/// Words in the log after a reload that has changed something.
const RELOADED: &str = "configuration reloaded";

fn configure(folder: &Path, text: &str) {
    let path = folder.join("countersign.toml");
    fs::write(&path, text).expect("a file");
    // Whatever the umask: a file that others can change is refused.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of ours");
}

/// `serve` with the upstream in the file.
fn serve_by_file(sandbox: &Sandbox, folder: &Path) -> Command {
    let mut serve = serve(sandbox, folder);
    serve.env_remove("COUNTERSIGN_UPSTREAM");
    serve
}

async fn answering() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await
}

async fn reload(program: &Program) {
    program.signal("HUP").await;
    program.stderr_line(RELOADED).await;
}

#[tokio::test]
async fn a_request_under_way_ends_as_it_began_and_the_next_takes_the_new_route() {
    let (sandbox, folder) = (sandbox().await, folder());
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, held) = (Arc::clone(&begun), Arc::clone(&go_on));
    let old = Upstream::start(move |_, mut wire| {
        let (seen, held) = (Arc::clone(&seen), Arc::clone(&held));
        async move {
            wire.request().await;
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nold").await;
            seen.notify_one();
            held.notified().await;
            wire.write("er").await;
            held.notified().await;
            wire.write("!").await;
        }
    })
    .await;
    let new = answering().await;
    configure(folder.path(), &format!("upstream = \"{}\"\n", old.url()));
    let program = Program::start(serve_by_file(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    let mut client = Connection::open(address(&url)).await;
    client.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let head = client.head().await;
    soon("the request", begun.notified()).await;
    configure(folder.path(), &format!("upstream = \"{}\"\nset-header = [\"x-new=1\"]\n", new.url()));
    reload(&program).await;
    assert_eq!(ask(&url, "/y").await.1, "fine");
    go_on.notify_one();
    assert_eq!(client.exactly(5).await, b"older");
    go_on.notify_one();
    assert_eq!((head.status, client.exactly(1).await), (200, b"!".to_vec()));
    assert_eq!(ask_over(&mut client, "/z").await.1, "fine", "the same connection");
    assert_eq!((old.requests().len(), new.requests().len()), (1, 2));
    assert!(new.requests().iter().all(|request| request.to_ascii_lowercase().contains("\r\nx-new: 1\r\n")));
    let admin = program.logged("ready", "admin").await;
    assert!(ask(&admin, "/status").await.1.contains(&new.url()));
}

#[tokio::test]
async fn connections_to_an_upstream_that_is_reached_as_before_are_kept() {
    let (sandbox, folder) = (sandbox().await, folder());
    let upstream = answering().await;
    let route = |more: &str| {
        let url = upstream.url();
        configure(folder.path(), &format!("{more}\n[[route]]\npath = \"/\"\nupstream = \"{url}\"\n"));
    };
    route("");
    let program = Program::start(serve_by_file(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    // One connection, and with it one worker.
    let mut client = Connection::open(address(&url)).await;
    assert_eq!(ask_over(&mut client, "/x").await.1, "fine");
    for (more, connections) in [
        ("strip-header = [\"x-a\"]", 1),
        ("set-header = [\"x-b=1\"]\nallow-host = [\"example.com\"]", 1),
        ("response-timeout = \"7s\"", 2),
        ("response-timeout = \"7s\"\nmax-body = \"1MiB\"", 2),
    ] {
        route(more);
        program.signal("HUP").await;
        program.stderr_lines(RELOADED, upstream.requests().len()).await;
        assert_eq!(ask_over(&mut client, "/x").await.1, "fine");
        assert_eq!(upstream.connections(), connections, "{more}");
    }
}

#[tokio::test]
async fn no_request_fails_while_the_configuration_is_read_again_and_again() {
    const RELOADS: usize = 10;
    let (sandbox, folder) = (sandbox().await, folder());
    let upstreams = [answering().await, answering().await];
    let configure = |number: usize| {
        let url = upstreams[number % 2].url();
        configure(folder.path(), &format!("upstream = \"{url}\"\n"));
    };
    configure(0);
    let program = Program::start(serve_by_file(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    let (done, mut clients) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for _ in 0..4 {
        let (mut client, done) = (Connection::open(address(&url)).await, Arc::clone(&done));
        clients.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let (head, body) = ask_over(&mut client, "/x").await;
                assert_eq!((head.status, body.as_str()), (200, "fine"));
            }
        });
    }
    for number in 1..=RELOADS {
        configure(number);
        program.signal("HUP").await;
        while program.stderr_so_far().matches(RELOADED).count() < number {
            assert_eq!(ask(&url, "/y").await.1, "fine");
        }
    }
    done.store(true, Ordering::SeqCst);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no request failed");
    }
    assert!(upstreams.iter().all(|upstream| upstream.requests().len() >= RELOADS / 2));
}

#[tokio::test]
async fn a_reload_of_an_invalid_file_changes_nothing_and_reports_all_mistakes() {
    let (sandbox, folder) = (sandbox().await, folder());
    let upstream = answering().await;
    configure(folder.path(), &format!("upstream = \"{}\"\n", upstream.url()));
    let program = Program::start(serve_by_file(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    configure(folder.path(), "upstrem = \"http://127.0.0.1:1\"\nmax-body = \"x\"\n");
    program.signal("HUP").await;
    program.stderr_line("keeping the previous configuration").await;
    for words in ["upstrem", "max-body"] {
        program.stderr_line(words).await;
    }
    assert_eq!(ask(&url, "/x").await.1, "fine");
}

#[tokio::test]
async fn a_new_token_holds_for_connections_that_are_open() {
    let (sandbox, folder) = (sandbox().await, folder());
    let (upstream, token) = (answering().await, folder.path().join("token"));
    let file = format!("upstream = \"{}\"\n", upstream.url());
    configure(folder.path(), &format!("{file}bearer-token-file = \"token\"\n"));
    fs::write(&token, "the-first-token-of-the-clients").expect("a file");
    let program = Program::start(serve_by_file(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    let mut client = Connection::open(address(&url)).await;
    let mut status = async |token: &str| {
        let request = format!("GET /x HTTP/1.1\r\nhost: localhost\r\nx-countersign-token: {token}\r\n\r\n");
        client.write(request).await;
        client.answer().await.0.status
    };
    assert_eq!(status("the-first-token-of-the-clients").await, 200);
    fs::write(&token, "the-second-token-of-the-clients").expect("a file");
    reload(&program).await;
    assert_eq!(status("the-first-token-of-the-clients").await, 401);
    assert_eq!(status("the-second-token-of-the-clients").await, 200);
    // Nobody has asked whose these connections are: to do without a token takes a new start.
    configure(folder.path(), &format!("{file}max-in-flight = 7\n"));
    program.signal("HUP").await;
    let line = program.stderr_line("needs a restart: ").await;
    assert!(line.contains("needs a restart: max-in-flight, bearer-token-file\""), "{line}");
    assert_eq!(status("none").await, 401);
}

#[tokio::test]
async fn a_corrected_password_takes_effect_without_a_restart() {
    let (sandbox, folder) = (sandbox().await, folder());
    let program = {
        let serve = serve(&sandbox, folder.path());
        fs::write(folder.path().join("password"), "wrong").expect("a file");
        Program::start(serve)
    };
    let url = program.logged("starting", "url").await;
    program.stderr_line("cannot refresh credentials, action needed").await;
    assert_eq!(ask(&url, "/x").await.0.status, 503);
    let attempts = sandbox.calls().count("InitiateAuth");
    reload(&program).await;
    assert_eq!(sandbox.calls().count("InitiateAuth"), attempts, "the same password is not tried again");
    fs::write(folder.path().join("password"), "Sandbox-password-1").expect("a file");
    program.signal("HUP").await;
    program.logged("ready", "url").await;
    assert_eq!(ask(&url, "/x").await.0.status, 200);
}

#[tokio::test]
async fn a_reload_that_leads_back_to_the_proxy_changes_nothing() {
    let (sandbox, folder, upstream) = (sandbox().await, folder(), answering().await);
    configure(folder.path(), &format!("upstream = \"{}\"\n", upstream.url()));
    let program = Program::start(serve_by_file(&sandbox, folder.path()));
    // The port was chosen at the start.
    let url = program.logged("ready", "url").await;
    configure(folder.path(), &format!("upstream = \"{url}\"\n"));
    program.signal("HUP").await;
    program.stderr_line("is where this proxy itself listens").await;
    program.stderr_line("keeping the previous configuration").await;
    assert_eq!(ask(&url, "/x").await.1, "fine");
}
