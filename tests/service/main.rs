//! `serve` under a service manager: its sockets, what it is told, and configurations that are read again.
#![cfg(feature = "sandbox")]

mod reload;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod words;
