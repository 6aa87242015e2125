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
mod upgrade;
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
    phase::{BodyInUse, ConnectionEnd, EndedBy, ShortAnswer, UpgradeOffer},
    refused_head::RefusedHead,
    serialize::serialized,
};
pub use upgrade::{ClientStream, Upgrade, UpgradedClient};
pub use workers::Workers;

use crate::{shutdown::Shutdown, telemetry::metrics::Metrics};

/// How a server treats connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many connections are served at the same time.
    pub max_connections: usize,
    /// Whether every answer is short, so that a connection may be evicted when its client does not read: no client
    /// needs long for a few lines.
    pub are_answers_short: bool,
    /// How long the current requests may take after shutdown was requested.
    pub drain: Duration,
    /// How long a client may read nothing of its answer.
    pub write: Duration,
    /// How much of a body is read and discarded after its request was refused, in bytes.
    pub discard: u64,
    /// Decides about each connection by the user who holds its other end. Without it the kernel is not asked.
    pub admission: Option<Admission>,
    /// The complete response, head included, to a connection over the limit.
    pub full: Bytes,
    /// Where connections are counted.
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
    let requested = shutdown.clone();
    let settings = Arc::new(settings);
    let (dispatcher, running) = workers.start(&settings, &shutdown)?;
    let acceptor = Acceptor::new(settings, shutdown, dispatcher);
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(acceptor.clone().accept(listener));
    }
    drop(acceptor);
    running.ended().await;
    // Workers end once every accept loop has dropped its dispatcher, which happens at shutdown. Workers that end while
    // the loops still accept have panicked, all of them.
    if !loops.is_empty() && !requested.is_requested() {
        return Err(io::Error::other("all workers exited unexpectedly"));
    }
    while loops.join_next().await.is_some() {}
    Ok(())
}
