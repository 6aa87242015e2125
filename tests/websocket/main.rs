//! WebSockets: the handshake is a signed request, and behind a 101 bytes pass both ways.

#[path = "../support/mod.rs"]
mod support;

mod handshake;
mod tunnel;
