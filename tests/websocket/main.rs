//! WebSockets: the handshake is a signed request, and behind a 101 bytes pass both ways.
#![cfg(feature = "sandbox")]

#[path = "../support/mod.rs"]
mod support;

mod cures;
mod ends;
mod handshake;
mod process;
mod refusals;
mod seen;
mod signing;
mod smuggling;
mod tunnel;
mod ways;

use support::{upstream::Upstream, websocket::switching};

/// An upstream that agrees to each handshake and sends everything back.
async fn echo() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            wire.echo().await;
        }
    })
    .await
}
