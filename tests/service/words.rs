//! What the service manager is told.

use std::{os::unix::net, path::Path};

use countersign::sandbox::Service;
use tokio::net::UnixDatagram;

use super::support::{
    program::{Program, folder, sandbox, serve},
    soon,
};

/// The service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).expect("a free name"))
    }

    /// Has others send until whoever sends next waits for the manager to read.
    fn take_no_more(&self, path: &Path) -> Vec<net::UnixDatagram> {
        let mut others = Vec::new();
        loop {
            // Each has a limit of its own, too.
            let other = net::UnixDatagram::unbound().expect("a socket");
            other.set_nonblocking(true).expect("a socket");
            if other.send_to(b"", path).is_err() {
                return others;
            }
            while other.send_to(b"", path).is_ok() {}
            others.push(other);
        }
    }

    /// Waits for a message with this word in it.
    async fn hears(&self, word: &str) -> String {
        loop {
            let mut message = vec![0; 4_096];
            let length = soon(word, self.0.recv(&mut message)).await.expect("a message");
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            if message.lines().any(|line| line.starts_with(word)) {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn readiness_reload_and_stop_are_notified() {
    let (sandbox, folder) = (sandbox().await, folder());
    let manager = Manager::listen(&folder.path().join("notify"));
    let mut serve = serve(&sandbox, folder.path());
    serve.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let program = Program::start(serve);
    let ready = manager.hears("READY=1").await;
    assert!(ready.contains("STATUS=http://127.0.0.1:") && ready.contains("signing as demo"), "{ready}");
    program.signal("HUP").await;
    let reloading = manager.hears("RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hears("READY=1").await;
    program.signal("TERM").await;
    manager.hears("STOPPING=1").await;
    assert_eq!(program.ended().await.code, Some(143));
}

#[tokio::test]
async fn a_second_signal_ends_it_even_where_the_service_manager_does_not_listen_any_more() {
    let (sandbox, folder) = (sandbox().await, folder());
    let path = folder.path().join("notify");
    let manager = Manager::listen(&path);
    let _others = manager.take_no_more(&path);
    let mut serve = serve(&sandbox, folder.path());
    serve.env("NOTIFY_SOCKET", &path);
    let program = Program::start(serve);
    while sandbox.calls().count("GetCredentialsForIdentity") == 0 {
        tokio::task::yield_now().await;
    }
    // It waits for the manager now, or will once it reads its configuration again.
    program.signal("HUP").await;
    program.signal("TERM").await;
    program.signal("INT").await;
    let code = program.ended().await.code;
    assert!(matches!(code, Some(143 | 130)), "{code:?}: the two may be heard in either order");
}

#[tokio::test]
async fn readiness_does_not_wait_for_a_cognito_that_cannot_be_reached() {
    let (sandbox, folder) = (sandbox().await, folder());
    sandbox.stop(Service::UserPool).await;
    let manager = Manager::listen(&folder.path().join("notify"));
    let mut serve = serve(&sandbox, folder.path());
    serve.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let _program = Program::start(serve);
    let ready = manager.hears("READY=1").await;
    assert!(ready.contains(": no new credentials: "), "{ready}");
    sandbox.restart(Service::UserPool).await.expect("the same port");
    while !manager.hears("STATUS=").await.contains("signing as demo") {}
}
