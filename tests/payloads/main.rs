//! How request bodies go up: streamed where they are not signed, and taken out of the chunks that S3 clients sign.
#![cfg(feature = "sandbox")]

mod repeats;
mod signed_chunks;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use countersign::proxy::PayloadSigning;
use support::{Running, Setup, sink::Sink, tls::Authority};

/// The protocols that upstreams speak, one at a time.
const PROTOCOLS: [&str; 2] = ["http/1.1", "h2"];

/// A proxy that signs for `service` in front of `sink`, and leaves bodies unsigned if `payload` says so.
async fn in_front_of(sink: &Sink, authority: &Authority, service: &str, payload: PayloadSigning) -> Running {
    let service = service.to_owned();
    setup(sink, authority)
        .proxy(move |settings| {
            settings.proxy.routes[0].service = service;
            settings.proxy.routes[0].payload = payload;
        })
        .start()
        .await
}

fn setup(sink: &Sink, authority: &Authority) -> Setup {
    Setup::new().upstream(sink.url()).trusting(authority)
}
