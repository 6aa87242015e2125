//! One connection of a client: its requests until it ends, is asked to give way, or the process drains.

use std::{io, time::Duration};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{task::JoinError, time::sleep};
use tracing::{debug, error};

use super::{
    Settings,
    connection_limit::Place,
    http_service::HttpService,
    http1::{
        filter::{HeadFilter, Timeouts},
        phase::{ConnectionPhase, EndedBy, PhaseService},
    },
    socket::Socket,
};
use crate::{shutdown::Shutdown, telemetry::metrics::Limit};

/// For a request head to arrive, the first byte of a connection included.
const HEAD: Duration = Duration::from_secs(30);

/// For the first request of a connection that is there already when the end is asked for. Its client cannot know
/// that nothing has run, as it may assume when a connection ends that has been used (RFC 9112 section 9.3.1).
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// For a client that only has to read its last answer when the end is asked for.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// For an answer without a declared length, after Ctrl-C at a terminal: server-sent events would hold the process for
/// all of `drain-timeout`.
const OPEN_ENDED_ANSWER: Duration = Duration::from_secs(2);

/// What the library may hold of a connection, in bytes: more than the longest head that the gate passes.
const BUFFER: usize = 72 * 1024;

/// Serves one connection, and counts it.
pub(super) async fn serve<S: HttpService>(
    socket: Socket,
    service: S,
    place: &Place,
    settings: &Settings,
    shutdown: Shutdown,
) {
    let _present = settings.metrics.as_ref().map(|metrics| metrics.connection());
    let timeouts = Timeouts { head: HEAD, write: settings.write, discard: settings.discard };
    let end = connection(socket, service, place, timeouts, shutdown).await;
    if let (End::Stalled, Some(metrics)) = (end, &settings.metrics) {
        metrics.reached(Limit::ReadTime);
    }
}

/// Logs a panic of the task of a connection.
pub(super) fn note_end(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        error!("a connection ended in a panic");
    }
}

async fn connection<S: HttpService>(
    socket: Socket,
    service: S,
    place: &Place,
    timeouts: Timeouts,
    mut shutdown: Shutdown,
) -> End {
    let mut cut = ResetOnDrop(Some(socket.clone()));
    let phase = place.phase().clone();
    let filter = HeadFilter::new(socket.clone(), phase.clone(), timeouts);
    let service = PhaseService::new(service, phase.clone());
    // The gate has the timer for heads: it can answer, the library can only close.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .half_close(true)
        .serve_connection(TokioIo::new(filter), service);
    let connection = async {
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = shutdown.requested() => {
                if !phase.is_used() {
                    tokio::select! {
                        ended = connection.as_mut() => return Some(ended),
                        () = sleep(FIRST_REQUEST) => {}
                    }
                }
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => Some(ended),
                    () = lingers(&phase) => Some(Ok(())),
                    () = has_no_end(&phase), if shutdown.is_interactive() => None,
                }
            }
        }
    };
    let gone = async {
        socket.gone(&phase).await;
        // Before the connection is dropped, and with it the answer, which says how it ended.
        phase.end(EndedBy::Client);
    };
    // In this order: the watch begins when the connection has taken a request up.
    let ended = tokio::select! {
        biased;
        ended = connection => match ended {
            Some(ended) => ended,
            None => {
                debug!("an answer without a declared length is cut");
                return End::Other;
            }
        },
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
async fn lingers(phase: &ConnectionPhase) {
    loop {
        sleep(LAST_ANSWER).await;
        if phase.lingering_since().is_some_and(|since| since.elapsed() >= LAST_ANSWER) {
            return;
        }
    }
}

/// Waits until an answer without a declared length has been sent for [`OPEN_ENDED_ANSWER`].
async fn has_no_end(phase: &ConnectionPhase) {
    loop {
        sleep(OPEN_ENDED_ANSWER).await;
        if phase.open_ended_since().is_some_and(|since| since.elapsed() >= OPEN_ENDED_ANSWER) {
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
struct ResetOnDrop(Option<Socket>);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.abort();
        }
    }
}
