//! One connection of a client: serves its requests until it ends, is evicted, or the process drains.

use std::{future::pending, io, pin::Pin, time::Duration};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::AsyncWriteExt, task::JoinError, time::sleep};
use tracing::{debug, error};

use super::{
    Settings,
    connection_limit::ConnectionSlot,
    http_service::HttpService,
    http1::{
        filter::{HeadFilter, Timeouts},
        phase::{ConnectionPhase, EndedBy, PhaseService},
    },
    socket::Socket,
    upgrade::{ClientStream, Upgrade, UpgradedClient},
};
use crate::{shutdown::Shutdown, telemetry::metrics::Limit};

/// How long a request head may take to arrive, counted from the accept or from the end of the answer before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection without any request is kept after shutdown was requested. Clients retry when a connection that
/// has served requests closes (RFC 9112 section 9.3.1), but report an error when a new one does.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

/// How long a client may take to read its last answer after shutdown was requested.
const LINGER_GRACE: Duration = Duration::from_secs(1);

/// How long an answer without a declared length may go on after Ctrl-C at a terminal: server-sent events would otherwise
/// hold the process for all of `drain-timeout`.
const OPEN_ENDED_GRACE: Duration = Duration::from_secs(2);

/// The read buffer of hyper, in bytes. It must exceed `MAX_HEAD` by what percent-encoding may add to a target, so that
/// hyper takes every head that the filter passes.
const MAX_BUFFER: usize = 72 * 1024;

/// Serves one connection, and counts it.
pub(super) async fn serve<S: HttpService>(
    socket: Socket,
    service: S,
    slot: &ConnectionSlot,
    settings: &Settings,
    shutdown: Shutdown,
) {
    let _connection = settings.metrics.as_ref().map(|metrics| metrics.connection());
    let timeouts = Timeouts { head: HEAD_TIMEOUT, write: settings.write, discard: settings.discard };
    let reason = connection(socket, service, slot, timeouts, shutdown).await;
    if let (CloseReason::WriteTimeout, Some(metrics)) = (reason, &settings.metrics) {
        metrics.reached(Limit::ReadTime);
    }
}

/// Logs a panic in the task of a connection.
pub(super) fn log_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        error!("connection task panicked");
    }
}

async fn connection<S: HttpService>(
    socket: Socket,
    service: S,
    slot: &ConnectionSlot,
    timeouts: Timeouts,
    shutdown: Shutdown,
) -> CloseReason {
    let mut reset = ResetOnDrop(Some(socket.clone()));
    let phase = slot.phase().clone();
    let filter = HeadFilter::new(socket.clone(), phase.clone(), timeouts);
    let service = PhaseService::new(service, phase.clone());
    // The filter has the timer for heads, since it can answer 408 and hyper can only close. With `half_close` hyper
    // still answers a client that has closed its sending half.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER)
        .half_close(true)
        .serve_connection(TokioIo::new(filter), service);
    let gone = async {
        socket.client_gone(&phase).await;
        // Must precede the drop of the connection: dropping the answer writes its log line, which says who ended it.
        phase.end(EndedBy::Client);
    };
    // `biased`, in this order: only when the connection has polled its socket does the phase say whether a request is
    // being answered, which the other two branches read.
    let ended = tokio::select! {
        biased;
        ended = serve_http(connection, &phase, shutdown.clone()) => ended,
        () = gone => {
            debug!("client closed the connection before its answer was sent");
            HttpEnd::Cut
        }
        () = slot.evicted(|| socket.has_unread()) => {
            debug!("idle connection closed to make room for a new one");
            HttpEnd::Closed
        }
    };
    let error = match ended {
        HttpEnd::Cut => return CloseReason::Other,
        HttpEnd::Closed => {
            reset.0 = None;
            return CloseReason::Other;
        }
        HttpEnd::Upgraded(upgrade, held) => {
            reset.0 = None;
            run_upgrade(upgrade, ClientStream::new(socket.clone(), held), socket, &phase, shutdown).await;
            return CloseReason::Other;
        }
        HttpEnd::Failed(error) => error,
    };
    debug!(error = %error, cause = crate::telemetry::causes(&error), "connection ended");
    if is_write_timeout(&error) {
        return CloseReason::WriteTimeout;
    }
    // hyper calls a response body that failed a user error. Only the reset keeps the client from taking the part that
    // it has for the whole body.
    if !error.is_user() {
        reset.0 = None;
    }
    CloseReason::Other
}

/// A connection on which hyper answers requests.
type HttpConnection<S> = http1::Connection<TokioIo<HeadFilter<Socket>>, PhaseService<S>>;

/// How HTTP ends on a connection.
enum HttpEnd {
    /// After a whole answer, or between two.
    Closed,
    /// In the middle of an answer.
    Cut,
    Failed(hyper::Error),
    /// With a 101, and with what the client has sent behind its request.
    Upgraded(Upgrade, Bytes),
}

/// Answers requests until the connection ends, leaves HTTP, or has drained.
async fn serve_http<S: HttpService>(
    mut connection: HttpConnection<S>,
    phase: &ConnectionPhase,
    mut shutdown: Shutdown,
) -> HttpEnd {
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.requested() => match drain(&mut connection, phase, &shutdown).await {
            Ok(ended) => ended,
            Err(end) => return end,
        }
    };
    if let Err(error) = ended {
        return HttpEnd::Failed(error);
    }
    let mut filter = connection.into_parts().io.into_inner();
    if let Some(upgrade) = phase.take_upgrade() {
        return HttpEnd::Upgraded(upgrade, filter.into_held());
    }
    // hyper leaves the connection open after a request with `Upgrade`, whatever its answer was.
    let lingered = async {
        shutdown.requested().await;
        linger_elapsed(phase).await;
    };
    tokio::select! {
        // A client that has closed already has read its answer, or does not want it.
        _ = filter.shutdown() => {}
        () = lingered => {}
    }
    HttpEnd::Closed
}

/// Lets the current exchange end after shutdown was requested; how hyper ended, unless it was not waited for.
async fn drain<S: HttpService>(
    connection: &mut HttpConnection<S>,
    phase: &ConnectionPhase,
    shutdown: &Shutdown,
) -> Result<Result<(), hyper::Error>, HttpEnd> {
    let mut connection = Pin::new(connection);
    if !phase.is_used() {
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended),
            () = sleep(FIRST_REQUEST_GRACE) => {}
        }
    }
    // hyper would add `close` to the Connection of a 101. Every other answer to a handshake has it already.
    if !phase.is_upgrade_offered() {
        connection.as_mut().graceful_shutdown();
    }
    tokio::select! {
        ended = connection => Ok(ended),
        () = linger_elapsed(phase) => Err(HttpEnd::Closed),
        () = open_ended_elapsed(phase), if shutdown.is_interactive() => {
            debug!("closing a connection whose answer has no declared length");
            Err(HttpEnd::Cut)
        }
    }
}

/// Runs what a connection is for after HTTP. It has the rest of `drain-timeout` after shutdown was requested, and only
/// [`OPEN_ENDED_GRACE`] when a person waits.
async fn run_upgrade(
    upgrade: Upgrade,
    stream: ClientStream,
    socket: Socket,
    phase: &ConnectionPhase,
    mut shutdown: Shutdown,
) {
    // The connection is not idle, so that it is not evicted.
    let _exchange = phase.exchange();
    let (mut requested, of_socket) = (shutdown.clone(), phase.clone());
    let client = UpgradedClient {
        stream,
        shutdown: Box::pin(async move { requested.requested().await }),
        gone: Box::pin(async move { socket.client_gone(&of_socket).await }),
    };
    let interactive = async {
        shutdown.requested().await;
        if !shutdown.is_interactive() {
            pending::<()>().await;
        }
        sleep(OPEN_ENDED_GRACE).await;
    };
    tokio::select! {
        () = upgrade.run(client) => {}
        () = interactive => debug!("closing a connection that has left HTTP"),
    }
}

/// Waits until the client has had [`LINGER_GRACE`] to read its last answer.
async fn linger_elapsed(phase: &ConnectionPhase) {
    loop {
        sleep(LINGER_GRACE).await;
        if phase.lingering_since().is_some_and(|since| since.elapsed() >= LINGER_GRACE) {
            return;
        }
    }
}

/// Waits until an answer without a declared length has been sent for [`OPEN_ENDED_GRACE`].
async fn open_ended_elapsed(phase: &ConnectionPhase) {
    loop {
        sleep(OPEN_ENDED_GRACE).await;
        if phase.open_ended_since().is_some_and(|since| since.elapsed() >= OPEN_ENDED_GRACE) {
            return;
        }
    }
}

/// Why a connection was closed.
enum CloseReason {
    /// The client had stopped reading its answer. The reset also frees what the kernel buffered for it.
    WriteTimeout,
    Other,
}

/// Whether the client has read nothing of its answer for too long.
fn is_write_timeout(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Resets the connection when it is dropped in the middle of an answer. A body without a length ends with the
/// connection, so that a clean close would make a part of it look complete.
struct ResetOnDrop(Option<Socket>);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.reset_on_close();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_has_a_moment_to_read_its_last_answer_and_no_longer() {
        let phase = ConnectionPhase::default();
        assert!(
            timeout(LINGER_GRACE * 10, linger_elapsed(&phase)).await.is_err(),
            "it has not got its answer yet"
        );
        phase.linger();
        let before = Instant::now();
        linger_elapsed(&phase).await;
        assert!((LINGER_GRACE..=LINGER_GRACE * 2).contains(&before.elapsed()), "{:?}", before.elapsed());
    }
}
