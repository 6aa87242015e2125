//! Sockets that the service manager has bound.

use std::{
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    process::Stdio,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use super::support::{
    program::{Program, ask, folder, sandbox, serve},
    soon,
};

/// The same command with sockets for the file descriptors from 3 on, as a service manager starts it.
fn with_sockets(command: &Command, names: &str, sockets: [OwnedFd; 2]) -> Command {
    let command = command.as_std();
    // The program must have the process id that the variable names, and nothing at 0 and 1 that is a socket.
    let script = "exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_PID=$$; exec \"$@\"";
    let mut started = Command::new("bash");
    started.args(["-c", script, "bash"]).arg(command.get_program()).args(command.get_args()).env_clear();
    started.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    started.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", names).kill_on_drop(true);
    let [first, second] = sockets;
    started.stdin(Stdio::from(first)).stdout(Stdio::from(second));
    started.current_dir(command.get_current_dir().expect("a folder"));
    started
}

fn tcp(address: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(address).expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

#[tokio::test]
async fn passed_sockets_take_the_place_of_both_addresses() {
    let (sandbox, folder) = (sandbox().await, folder());
    let ((data, url), (admin, admin_url)) = (tcp("127.0.0.1:0"), tcp("127.0.0.1:0"));
    let serve = serve(&sandbox, folder.path());
    let program = Program::start_with_sockets(with_sockets(
        &serve,
        "countersign.socket:admin",
        [data.into(), admin.into()],
    ));
    assert_eq!(program.logged("ready", "url").await, url);
    assert_eq!(program.logged("ready", "admin").await, admin_url);
    assert_eq!(ask(&url, "/orders").await.0.status, 200);
    assert_eq!(ask(&admin_url, "/readyz").await.0.status, 200);
    program.signal("TERM").await;
    assert_eq!(program.ended().await.code, Some(143));
}

#[tokio::test]
async fn passed_sockets_of_both_families_are_localhost() {
    let (sandbox, folder) = (sandbox().await, folder());
    let (four, url) = tcp("127.0.0.1:0");
    let port = four.local_addr().expect("bound").port();
    // A host without IPv6, or with the port taken there, has nothing to show.
    let Ok(six) = TcpListener::bind(("::1", port)) else { return };
    let serve = serve(&sandbox, folder.path());
    let program = Program::start_with_sockets(with_sockets(&serve, "", [four.into(), six.into()]));
    assert_eq!(program.logged("ready", "url").await, format!("http://localhost:{port}"));
    assert_eq!(ask(&url, "/orders").await.0.status, 200);
    assert_eq!(ask(&format!("http://[::1]:{port}"), "/orders").await.0.status, 200);
}

#[tokio::test]
async fn a_passed_unix_socket_is_served_and_its_file_left_alone() {
    let (sandbox, folder) = (sandbox().await, folder());
    let path = folder.path().join("proxy.sock");
    let data = UnixListener::bind(&path).expect("a free name");
    let (admin, _) = tcp("127.0.0.1:0");
    let serve = serve(&sandbox, folder.path());
    let program = Program::start_with_sockets(with_sockets(&serve, "x:admin", [data.into(), admin.into()]));
    assert_eq!(program.logged("ready", "url").await, format!("unix:{}", path.display()));
    let mut client = tokio::net::UnixStream::connect(&path).await.expect("a connection");
    client.write_all(b"GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("open");
    let mut answer = String::new();
    soon("an answer", client.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    program.signal("TERM").await;
    program.ended().await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_passed_socket_that_others_reach_needs_a_token() {
    let (sandbox, folder) = (sandbox().await, folder());
    for token in [None, Some("the-token-of-the-clients")] {
        let ((data, _), (admin, _)) = (tcp("0.0.0.0:0"), tcp("127.0.0.1:0"));
        let mut serve = serve(&sandbox, folder.path());
        serve.envs(token.map(|token| ("COUNTERSIGN_BEARER_TOKEN", token)));
        let command = with_sockets(&serve, "x:admin", [data.into(), admin.into()]);
        match token {
            None => {
                let ended = Program::start_with_sockets(command).ended().await;
                assert_eq!(ended.code, Some(64), "{ended:?}");
                assert!(
                    ended.stderr.contains("can be reached from other machines; set bearer-token-file"),
                    "{ended:?}"
                );
            }
            Some(_) => drop(Program::start_with_sockets(command).logged("ready", "url").await),
        }
    }
}

#[tokio::test]
async fn a_passed_socket_that_is_the_upstream_is_refused() {
    let (sandbox, folder) = (sandbox().await, folder());
    let ((data, data_url), (admin, admin_url)) = (tcp("127.0.0.1:0"), tcp("127.0.0.1:0"));
    for upstream in [data_url, admin_url] {
        let mut serve = serve(&sandbox, folder.path());
        serve.env("COUNTERSIGN_UPSTREAM", &upstream);
        let sockets = [&data, &admin].map(|socket| socket.try_clone().expect("a socket").into());
        let ended = Program::start_with_sockets(with_sockets(&serve, "x:admin", sockets)).ended().await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains("is where this proxy itself listens"), "{ended:?}");
    }
}

#[tokio::test]
async fn passed_sockets_that_do_not_listen_are_refused() {
    let (sandbox, folder) = (sandbox().await, folder());
    let (one, _other) = UnixStream::pair().expect("two sockets");
    let (admin, _) = tcp("127.0.0.1:0");
    let serve = serve(&sandbox, folder.path());
    let command = with_sockets(&serve, "", [one.into(), admin.into()]);
    let ended = Program::start_with_sockets(command).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cannot listen on file descriptor 3"), "{ended:?}");
}

#[tokio::test]
async fn sockets_for_another_process_are_not_taken() {
    let (sandbox, folder) = (sandbox().await, folder());
    let mut serve = serve(&sandbox, folder.path());
    serve.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let program = Program::start(serve);
    let url = program.logged("ready", "url").await;
    assert_eq!(ask(&url, "/x").await.0.status, 200);
}
