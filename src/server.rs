//! HTTP/1.1 on accepted connections, up to a limit, until the end is asked for; then what is under way ends.

mod chunked;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod head;
mod socket;
mod turn;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket::Socket;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::Service;
use tracing::{debug, warn};

use gate::{Gate, Patience};
use turn::{Answering, Turn};

pub use gate::Violation;

use crate::{
    listener::{Accepted, Endpoints, Listener},
    metrics::{Limit, Metrics},
    shutdown::Shutdown,
};

/// For a request head to arrive, the first byte of a connection included.
const HEAD: Duration = Duration::from_secs(30);

/// What the library may hold of a connection, in bytes: more than the longest head that the gate passes.
const BUFFER: usize = 72 * 1024;

/// The most fields that the library takes, as many as the gate passes.
const MAX_FIELDS: usize = 100;

/// The pause after an accept that failed for want of something, file descriptors usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many clients are told at once that there is no room.
const MOST_TURNED_AWAY: usize = 64;

/// How long a client that is turned away may take to read that.
const TURNING_AWAY: Duration = Duration::from_secs(1);

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at the same time.
    pub max_connections: usize,
    /// For what is under way when the end is asked for.
    pub drain: Duration,
    /// For a client to take some of an answer.
    pub write: Duration,
    /// Whether the kernel is asked whose each loopback connection is, which takes the longer the more there are.
    pub identifies_peers: bool,
    /// The whole answer, head included, to a connection for which there is no room.
    pub full: Bytes,
    /// Where connections are counted, if they are.
    pub metrics: Option<Arc<Metrics>>,
}

/// Serves the connections of all `listeners` with what `make` makes for each.
pub async fn serve<M, S, B>(listeners: Vec<Listener>, settings: Settings, shutdown: Shutdown, make: M)
where
    M: Fn(Endpoints) -> S + Clone + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let server = Server {
        places: Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS))),
        turned_away: Arc::new(Semaphore::new(MOST_TURNED_AWAY)),
        settings,
        shutdown,
        make,
    };
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(server.clone().accept(listener));
    }
    while loops.join_next().await.is_some() {}
}

#[derive(Clone)]
struct Server<M> {
    places: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    settings: Settings,
    shutdown: Shutdown,
    make: M,
}

impl<M, S, B> Server<M>
where
    M: Fn(Endpoints) -> S + Clone + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    async fn accept(mut self, listener: Listener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.requested() => break,
                Some(ended) = connections.join_next() => note_end(ended),
                accepted = listener.accept() => match accepted {
                    Ok(Accepted::Tcp(stream, endpoints)) => self.admit(&mut connections, stream.into(), endpoints),
                    Ok(Accepted::Unix(stream, endpoints)) => {
                        self.admit(&mut connections, stream.into(), endpoints);
                    }
                    Err(error) if is_about_the_connection(&error) => {}
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let drained = timeout(self.settings.drain, async {
            while let Some(ended) = connections.join_next().await {
                note_end(ended);
            }
        });
        if drained.await.is_err() {
            warn!(connections = connections.len(), "connections are cut: drain-timeout is over");
        }
    }

    fn admit(&self, connections: &mut JoinSet<()>, socket: Socket, endpoints: Endpoints) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            let patience = Patience { head: HEAD, write: self.settings.write };
            let (make, shutdown) = (self.make.clone(), self.shutdown.clone());
            let identifies = self.settings.identifies_peers;
            let metrics = self.settings.metrics.clone();
            connections.spawn(async move {
                let present = metrics.as_ref().map(|metrics| metrics.connection());
                let endpoints = if identifies { endpoints.identified() } else { endpoints };
                let end = connection(socket, make(endpoints), patience, shutdown).await;
                if let (End::Stalled, Some(metrics)) = (end, &metrics) {
                    metrics.reached(Limit::ReadTime);
                }
                drop((place, present));
            });
            return;
        }
        if let Some(metrics) = &self.settings.metrics {
            metrics.reached(Limit::Connections);
        }
        if let Ok(place) = Arc::clone(&self.turned_away).try_acquire_owned() {
            let full = self.settings.full.clone();
            connections.spawn(async move {
                let _ = timeout(TURNING_AWAY, turn_away(socket, full)).await;
                drop(place);
            });
        }
    }
}

async fn connection<S, B>(socket: Socket, service: S, patience: Patience, mut shutdown: Shutdown) -> End
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let mut cut = Cut(Some(socket.clone()));
    let turn = Turn::default();
    let gate = Gate::new(socket.clone(), turn.clone(), patience);
    let service = Answering::new(service, turn);
    // The gate has the timer for heads: it can answer, the library can only close.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .max_headers(MAX_FIELDS)
        .half_close(true)
        .serve_connection(TokioIo::new(gate), service);
    let connection = async {
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let ended = tokio::select! {
        ended = connection => ended,
        () = socket.gone() => {
            debug!("the client has gone");
            return End::Other;
        }
    };
    let Err(error) = ended else {
        cut.0 = None;
        return End::Other;
    };
    debug!(error = %error, cause = crate::telemetry::causes(&error), "connection ended");
    if is_stalled(&error) {
        return End::Stalled;
    }
    // A body of ours that failed is the one error that the client must not overlook.
    if !error.is_user() {
        cut.0 = None;
    }
    End::Other
}

/// How a connection ended.
enum End {
    /// It was cut, with what the system kept for a client that had stopped reading.
    Stalled,
    Other,
}

/// Whether the client has taken nothing of its answer for too long.
fn is_stalled(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Cuts the connection when it is dropped in the middle of an answer, which may have no other end than the
/// connection's.
struct Cut(Option<Socket>);

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.abort();
        }
    }
}

/// Says that there is no room, and reads on for a moment: closing with bytes unread would take the answer
/// back.
async fn turn_away(mut socket: Socket, full: Bytes) {
    if socket.write_all(&full).await.is_err() || socket.shutdown().await.is_err() {
        return;
    }
    let mut rest = [0; 4_096];
    while matches!(socket.read(&mut rest).await, Ok(read) if read > 0) {}
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection ended in a panic");
    }
}

fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::InvalidInput
    )
}
