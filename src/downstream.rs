//! The wire towards clients: listeners, connections up to a limit, HTTP/1.1 on them, and their draining.
//!
//! Nothing here knows what a request is for: not signing, not credentials, not who may ask.

mod acceptor;
mod connection;
mod connection_limit;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod http1;
mod http_service;
pub mod listener;
pub mod peer;
mod socket;
mod workers;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::JoinSet;

use acceptor::Acceptor;
use listener::{Endpoints, Listener};

pub use acceptor::Admission;
pub use http_service::HttpService;
pub use http1::{
    head::HeadError,
    phase::{ConnectionEnd, EndedBy, ShortAnswer},
    refused_head::RefusedHead,
    serialize::serialized,
};
pub use workers::Workers;

use crate::{shutdown::Shutdown, telemetry::metrics::Metrics};

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at the same time.
    pub max_connections: usize,
    /// Whether a client that does not read its answer gives way to others: where answers are short, none has a reason.
    pub are_answers_short: bool,
    /// For what is under way when the end is asked for.
    pub drain: Duration,
    /// For a client to take some of an answer.
    pub write: Duration,
    /// How much of a body is read and thrown away after its request was refused, in bytes.
    pub discard: u64,
    /// What decides about connections by who holds their other end; without, the kernel is not asked.
    pub admission: Option<Admission>,
    /// The whole answer, head included, to a connection for which there is no room.
    pub full: Bytes,
    /// Where connections are counted, if they are.
    pub metrics: Option<Arc<Metrics>>,
}

/// Serves the connections of all `listeners` by `workers`.
///
/// # Errors
/// When no worker can be started, or none is left.
pub async fn serve<M, S>(
    listeners: Vec<Listener>,
    settings: Settings,
    shutdown: Shutdown,
    workers: Workers<M>,
) -> io::Result<()>
where
    M: Fn(Endpoints, ConnectionEnd) -> S + Send + 'static,
    S: HttpService,
{
    let asked = shutdown.clone();
    let settings = Arc::new(settings);
    let (dispatcher, running) = workers.start(&settings, &shutdown)?;
    let acceptor = Acceptor::new(settings, shutdown, dispatcher);
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(acceptor.clone().accept(listener));
    }
    drop(acceptor);
    running.ended().await;
    // Workers end after those who give them connections, and these when they are asked to; or all have panicked.
    if !loops.is_empty() && !asked.is_requested() {
        return Err(io::Error::other("all workers exited unexpectedly"));
    }
    while loops.join_next().await.is_some() {}
    Ok(())
}
