//! Tunnels of the program: signals, and settings.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::{
    echo,
    support::{
        Connection,
        program::{Program, address, folder, sandbox, serve},
        websocket::{frame, handshake, is_going_away, next_frame},
    },
};

fn configure(folder: &Path, text: &str) {
    let path = folder.join("countersign.toml");
    fs::write(&path, text).expect("a file");
    // Whatever the umask: a file that others can change is refused.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_tunnels_and_sigterm_closes_them() {
    let (sandbox, folder, upstream) = (sandbox().await, folder(), echo().await);
    let url = upstream.url().replace("http://", "ws://");
    configure(folder.path(), &format!("upstream = \"{url}\"\n"));
    let mut command = serve(&sandbox, folder.path());
    command.env_remove("COUNTERSIGN_UPSTREAM");
    let program = Program::start(command);
    let mut client = Connection::open(address(&program.logged("ready", "url").await)).await;
    client.write(handshake("/", "")).await;
    assert_eq!(client.head().await.status, 101);
    configure(folder.path(), &format!("[[route]]\npath = \"/other\"\nupstream = \"{url}\"\n"));
    program.signal("HUP").await;
    program.stderr_line("configuration reloaded").await;
    client.write(frame(1, b"kept", None)).await;
    assert_eq!(next_frame(&mut client).await.payload, b"kept");
    program.signal("TERM").await;
    assert!(is_going_away(&next_frame(&mut client).await));
    client.write(frame(8, &1001_u16.to_be_bytes(), Some([0; 4]))).await;
    client.finish_writing().await;
    assert_eq!(program.ended().await.code, Some(143));
}
