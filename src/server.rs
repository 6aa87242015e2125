//! HTTP/1.1 on accepted connections, up to a limit, until the end is asked for; then what is under way ends.

mod acceptor;
mod chunked;
mod connections;
mod crew;
mod farewell;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod head;
mod http_service;
mod serialized;
mod socket;
mod turn;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket::Socket;
use tokio::{task::JoinSet, time::sleep};
use tracing::debug;

use acceptor::Acceptor;
use connections::Place;
use gate::{Gate, Patience};
use turn::{Answering, Turn};

pub use acceptor::Admission;
pub use crew::Crew;
pub use head::{RefusedHead, Violation};
pub use http_service::HttpService;
pub use serialized::serialized;
pub use turn::{ConnectionEnd, EndedBy, ShortAnswer};

use crate::{
    listener::{Endpoints, Listener},
    metrics::{Limit, Metrics},
    shutdown::Shutdown,
};

/// For a request head to arrive, the first byte of a connection included.
const HEAD: Duration = Duration::from_secs(30);

/// For the first request of a connection that is there already when the end is asked for. Its client cannot know
/// that nothing has run, as it may assume when a connection ends that has been used (RFC 9112 section 9.3.1).
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// For a client that only has to read its last answer when the end is asked for.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// What the library may hold of a connection, in bytes: more than the longest head that the gate passes.
const BUFFER: usize = 72 * 1024;

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

/// Serves the connections of all `listeners` by `crew`.
///
/// # Errors
/// When the crew cannot be started, or none of it is left.
pub async fn serve<M, S>(
    listeners: Vec<Listener>,
    settings: Settings,
    shutdown: Shutdown,
    crew: Crew<M>,
) -> io::Result<()>
where
    M: Fn(Endpoints, ConnectionEnd) -> S + Send + 'static,
    S: HttpService,
{
    let asked = shutdown.clone();
    let settings = Arc::new(settings);
    let (hands, work) = crew.start(&settings, &shutdown)?;
    let acceptor = Acceptor::new(settings, shutdown, hands);
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(acceptor.clone().accept(listener));
    }
    drop(acceptor);
    work.ended().await;
    // Workers end after those who give them connections, and these when they are asked to; or all have panicked.
    if !loops.is_empty() && !asked.is_requested() {
        return Err(io::Error::other("all workers exited unexpectedly"));
    }
    while loops.join_next().await.is_some() {}
    Ok(())
}

/// Serves one connection, and counts it.
async fn serve_one<S: HttpService>(
    socket: Socket,
    service: S,
    place: &Place,
    settings: &Settings,
    shutdown: Shutdown,
) {
    let _present = settings.metrics.as_ref().map(|metrics| metrics.connection());
    let patience = Patience { head: HEAD, write: settings.write, discard: settings.discard };
    let end = connection(socket, service, place, patience, shutdown).await;
    if let (End::Stalled, Some(metrics)) = (end, &settings.metrics) {
        metrics.reached(Limit::ReadTime);
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection ended in a panic");
    }
}

async fn connection<S: HttpService>(
    socket: Socket,
    service: S,
    place: &Place,
    patience: Patience,
    mut shutdown: Shutdown,
) -> End {
    let mut cut = Cut(Some(socket.clone()));
    let turn = place.turn().clone();
    let gate = Gate::new(socket.clone(), turn.clone(), patience);
    let service = Answering::new(service, turn.clone());
    // The gate has the timer for heads: it can answer, the library can only close.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .half_close(true)
        .serve_connection(TokioIo::new(gate), service);
    let connection = async {
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.requested() => {
                if !turn.is_used() {
                    tokio::select! {
                        ended = connection.as_mut() => return ended,
                        () = sleep(FIRST_REQUEST) => {}
                    }
                }
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = lingers(&turn) => Ok(()),
                }
            }
        }
    };
    let gone = async {
        socket.gone(&turn).await;
        // Before the connection is dropped, and with it the answer, which says how it ended.
        turn.end(EndedBy::Client);
    };
    // In this order: the watch begins when the connection has taken a request up.
    let ended = tokio::select! {
        biased;
        ended = connection => ended,
        () = gone => {
            debug!("the client has gone");
            return End::Other;
        }
        () = place.is_wanted(|| socket.has_unread()) => {
            debug!("an idle connection gives way to a new one");
            Ok(())
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

/// Waits until the client has had [`LAST_ANSWER`] to read an answer after which nothing but its end is waited for.
async fn lingers(turn: &Turn) {
    loop {
        sleep(LAST_ANSWER).await;
        if turn.lingering_since().is_some_and(|since| since.elapsed() >= LAST_ANSWER) {
            return;
        }
    }
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

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_has_a_moment_to_read_its_last_answer_and_no_longer() {
        let turn = Turn::default();
        assert!(timeout(LAST_ANSWER * 10, lingers(&turn)).await.is_err(), "it has not got its answer yet");
        turn.linger();
        let before = Instant::now();
        lingers(&turn).await;
        assert!((LAST_ANSWER..=LAST_ANSWER * 2).contains(&before.elapsed()), "{:?}", before.elapsed());
    }
}
