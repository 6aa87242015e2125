//! Accepts connections up to a limit and dispatches each to the worker that has the fewest.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    Settings,
    connection::log_panic,
    connection_limit::ConnectionLimit,
    listener::{Accepted, Listener, Owner},
    socket::Socket,
    workers::{AcceptedConnection, Dispatcher},
};
use crate::{shutdown::Shutdown, telemetry::metrics::Limit};

/// The pause after an accept that failed because the process lacks something, usually file descriptors. The listener
/// stays ready all that time, so that without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections are still accepted after shutdown was requested. Closing the listener resets the established
/// connections that still wait in its backlog.
const ACCEPT_GRACE: Duration = Duration::from_millis(20);

/// How many connections wait at once for an idle one to be evicted. The rest wait in the kernel's backlog.
const MAX_WAITING_CONNECTIONS: usize = 64;

/// How many connections over the limit, and how many that are not admitted, are answered at the same time. Each answer
/// costs a task for as long as its client takes to read it; further connections are closed without one.
const MAX_REFUSALS: usize = 64;

/// How long a refused client may take to read its answer.
const MAX_REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Decides about connections by the user who holds their other end, before anything is read.
#[derive(Clone)]
pub struct Admission(Arc<dyn Fn(Owner) -> Result<(), Bytes> + Send + Sync>);

impl Admission {
    /// A decision by `admit`. Its error is the complete response to a refused connection, head included.
    #[must_use]
    pub fn new(admit: impl Fn(Owner) -> Result<(), Bytes> + Send + Sync + 'static) -> Self {
        Self(Arc::new(admit))
    }

    /// Drops a connection when its client has already closed its socket: what the client sent could still be read, but
    /// the kernel no longer knows which user sent it.
    fn decide(&self, accepted: &mut Accepted) -> Verdict {
        match accepted.identify() {
            Owner::Gone => Verdict::Drop,
            owner => match (self.0)(owner) {
                Ok(()) => Verdict::Admit,
                Err(answer) => Verdict::Refuse(answer),
            },
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

enum Verdict {
    Admit,
    Drop,
    Refuse(Bytes),
}

/// Clones share the limits.
#[derive(Clone)]
pub(super) struct Acceptor {
    connections: ConnectionLimit,
    /// Limits the answers to connections over the limit.
    full_refusals: Arc<Semaphore>,
    /// Limits the answers to connections that are not admitted. Separate, so that another user who floods the listener
    /// cannot keep admitted clients from being answered.
    admission_refusals: Arc<Semaphore>,
    settings: Arc<Settings>,
    shutdown: Shutdown,
    dispatcher: Dispatcher,
}

/// The connections that are neither dispatched nor closed yet.
#[derive(Default)]
struct Pending {
    /// Wait for a slot. A task gives the connection back when it got none.
    waiting: JoinSet<Option<Accepted>>,
    /// Read the answer that refuses them.
    refusing: JoinSet<()>,
}

impl Acceptor {
    pub(super) fn new(settings: Arc<Settings>, shutdown: Shutdown, dispatcher: Dispatcher) -> Self {
        Self {
            connections: ConnectionLimit::new(settings.max_connections, settings.are_answers_short),
            full_refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            admission_refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            settings,
            shutdown,
            dispatcher,
        }
    }

    /// Accepts until shutdown is requested.
    pub(super) async fn accept(mut self, listener: Listener) {
        let mut pending = Pending::default();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.requested() => break,
                Some(ended) = pending.refusing.join_next() => log_panic(ended),
                Some(waited) = pending.waiting.join_next() => match waited {
                    Ok(None) => {}
                    Ok(Some(accepted)) => self.refuse_as_full(accepted, &mut pending),
                    Err(error) => log_panic(Err(error)),
                },
                accepted = listener.accept(), if pending.waiting.len() < MAX_WAITING_CONNECTIONS => match accepted {
                    Ok(accepted) => self.admit(accepted, &mut pending),
                    Err(error) if is_connection_error(&error) => {}
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        // Closing an idle connection frees the file descriptor that the new one lacks.
                        self.connections.evict_longest_idle();
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Ends with the grace period, or when the listener fails.
        let _ = timeout(ACCEPT_GRACE, async {
            while let Ok(accepted) = listener.accept().await {
                self.admit(accepted, &mut pending);
            }
        })
        .await;
        drop(listener);
        while let Some(waited) = pending.waiting.join_next().await {
            if let Ok(Some(accepted)) = waited {
                self.refuse_as_full(accepted, &mut pending);
            }
        }
        // Workers end when the last dispatcher is gone, and must not wait for clients that read slowly.
        drop(self.dispatcher);
        while pending.refusing.join_next().await.is_some() {}
    }

    fn admit(&self, mut accepted: Accepted, pending: &mut Pending) {
        match self
            .settings
            .admission
            .as_ref()
            .map_or(Verdict::Admit, |admission| admission.decide(&mut accepted))
        {
            Verdict::Admit => {}
            Verdict::Drop => return debug!("client closed its connection before it was accepted"),
            Verdict::Refuse(answer) => return refuse(accepted, answer, &self.admission_refusals, pending),
        }
        if let Some(slot) = self.connections.try_acquire() {
            return self.dispatcher.dispatch(AcceptedConnection { accepted, slot });
        }
        if let Some(metrics) = &self.settings.metrics {
            metrics.reached(Limit::Connections);
        }
        let (connections, dispatcher) = (self.connections.clone(), self.dispatcher.clone());
        pending.waiting.spawn(async move {
            let Some(slot) = connections.acquire_from_idle().await else { return Some(accepted) };
            dispatcher.dispatch(AcceptedConnection { accepted, slot });
            None
        });
    }

    fn refuse_as_full(&self, accepted: Accepted, pending: &mut Pending) {
        refuse(accepted, self.settings.full.clone(), &self.full_refusals, pending);
    }
}

/// Answers a connection that is not served, unless too many of its kind are being answered.
fn refuse(accepted: Accepted, answer: Bytes, permits: &Arc<Semaphore>, pending: &mut Pending) {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        pending.refusing.spawn(async move {
            // A client that is gone or too slow has no use for the answer.
            let _ = timeout(MAX_REFUSAL_TIME, write_and_close(accepted, &answer)).await;
            drop(permit);
        });
    }
}

/// Writes the answer and discards input until the client closes. Closing a socket with unread input sends a reset,
/// which makes the client's kernel throw the answer away.
async fn write_and_close(accepted: Accepted, answer: &[u8]) -> io::Result<()> {
    let mut socket = Socket::try_from(accepted)?;
    socket.write_all(answer).await?;
    socket.shutdown().await?;
    let mut rest = [0; 4_096];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}

fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::time::Instant;

    use super::*;
    use crate::downstream::listener::Endpoints;

    #[tokio::test]
    async fn a_client_that_has_sent_something_when_it_is_turned_away_gets_its_answer() {
        let (permits, mut pending) = (Arc::new(Semaphore::new(1)), Pending::default());
        let (mut client, server) = tokio::net::UnixStream::pair().expect("a pair");
        let accepted = Accepted::Unix(server.into_std().expect("registered"), Endpoints::default());
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
        refuse(accepted, Bytes::from_static(b"full"), &permits, &mut pending);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("a connection that nobody resets");
        assert_eq!(answer, "full");
        drop(client);
        pending.refusing.join_next().await.expect("one").expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_turned_away_and_stays_is_let_go_after_a_moment() {
        let (permits, mut pending) = (Arc::new(Semaphore::new(1)), Pending::default());
        let pair = || {
            let (client, server) = UnixStream::pair().expect("a pair");
            server.set_nonblocking(true).expect("set");
            (client, Accepted::Unix(server, Endpoints::default()))
        };
        let (_client, accepted) = pair();
        refuse(accepted, Bytes::from_static(b"full"), &permits, &mut pending);
        let (_other, accepted) = pair();
        refuse(accepted, Bytes::from_static(b"full"), &permits, &mut pending);
        assert_eq!(pending.refusing.len(), 1, "those beyond the limit get no answer");
        let before = Instant::now();
        pending.refusing.join_next().await.expect("one").expect("no panic");
        assert_eq!((before.elapsed(), permits.available_permits()), (MAX_REFUSAL_TIME, 1));
    }
}
