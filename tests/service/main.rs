//! `serve` under a service manager: its sockets, what it is told, and configurations that are read again.
#![cfg(feature = "sandbox")]

mod reload;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod words;

use std::net::SocketAddr;

use countersign::sandbox::{self, Sandbox};
use support::{Connection, http::Head};
use tempfile::TempDir;

async fn sandbox() -> Sandbox {
    sandbox::start(sandbox::Settings::default()).await.expect("free ports")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().expect("an address")
}

async fn ask(url: &str, path: &str) -> (Head, String) {
    ask_over(&mut Connection::open(address(url)).await, path).await
}

async fn ask_over(connection: &mut Connection, path: &str) -> (Head, String) {
    connection.write(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    let (head, body) = connection.answer().await;
    (head, String::from_utf8_lossy(&body).into_owned())
}
