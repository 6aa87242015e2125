//! Takes connections up to a limit and hands each to the worker that has the fewest.

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
    connection::note_end,
    connection_limit::Connections,
    listener::{Accepted, Listener, Owner},
    socket::Socket,
    workers::{AcceptedConnection, Dispatcher},
};
use crate::{shutdown::Shutdown, telemetry::metrics::Limit};

/// The pause after an accept that failed for want of something, file descriptors usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections are still taken when the end is asked for: those that the system has taken already would
/// be reset.
const LAST_CALL: Duration = Duration::from_millis(20);

/// How many connections wait at once for an idle one to give way. The kernel keeps the rest.
const MAX_WAITING: usize = 64;

/// How many clients are told at once that there is no room, and how many that they may not connect. The answer costs
/// a task for as long as the client takes to read it; those beyond are closed without one.
const MAX_TURNED_AWAY: usize = 64;

/// How long a client that is turned away may take to read that.
const TURNING_AWAY: Duration = Duration::from_secs(1);

/// Decides about connections by who holds their other end, before anything is read.
#[derive(Clone)]
pub struct Admission(Arc<dyn Fn(Owner) -> Result<(), Bytes> + Send + Sync>);

impl Admission {
    /// A decision by `admit`, whose error is the whole answer to a connection that is refused, head included.
    #[must_use]
    pub fn new(admit: impl Fn(Owner) -> Result<(), Bytes> + Send + Sync + 'static) -> Self {
        Self(Arc::new(admit))
    }

    /// A connection whose client has closed its socket is dropped, whatever the decision: the kernel cannot tell any
    /// more whose it was, but what it has sent could still be read.
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
    connections: Connections,
    without_place: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    settings: Arc<Settings>,
    shutdown: Shutdown,
    dispatcher: Dispatcher,
}

/// What goes on beside accepting.
#[derive(Default)]
struct Aside {
    /// Connections that wait for a place; those that get none come back.
    waiting: JoinSet<Option<Accepted>>,
    /// Connections that are turned away.
    leaving: JoinSet<()>,
}

impl Acceptor {
    pub(super) fn new(settings: Arc<Settings>, shutdown: Shutdown, dispatcher: Dispatcher) -> Self {
        Self {
            connections: Connections::new(settings.max_connections, settings.are_answers_short),
            without_place: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
            refused: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
            settings,
            shutdown,
            dispatcher,
        }
    }

    /// Accepts until the end is asked for.
    pub(super) async fn accept(mut self, listener: Listener) {
        let mut aside = Aside::default();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.requested() => break,
                Some(ended) = aside.leaving.join_next() => note_end(ended),
                Some(waited) = aside.waiting.join_next() => match waited {
                    Ok(None) => {}
                    Ok(Some(accepted)) => self.say_full(accepted, &mut aside),
                    Err(error) => note_end(Err(error)),
                },
                accepted = listener.accept(), if aside.waiting.len() < MAX_WAITING => match accepted {
                    Ok(accepted) => self.admit(accepted, &mut aside),
                    Err(error) if is_about_the_connection(&error) => {}
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        // An idle connection has what the new one lacks.
                        self.connections.ask_longest_idle();
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Until the time is over, or the listener fails.
        let _ = timeout(LAST_CALL, async {
            while let Ok(accepted) = listener.accept().await {
                self.admit(accepted, &mut aside);
            }
        })
        .await;
        drop(listener);
        while let Some(waited) = aside.waiting.join_next().await {
            if let Ok(Some(accepted)) = waited {
                self.say_full(accepted, &mut aside);
            }
        }
        drop(self.dispatcher);
        while aside.leaving.join_next().await.is_some() {}
    }

    fn admit(&self, mut accepted: Accepted, aside: &mut Aside) {
        match self
            .settings
            .admission
            .as_ref()
            .map_or(Verdict::Admit, |admission| admission.decide(&mut accepted))
        {
            Verdict::Admit => {}
            Verdict::Drop => return debug!("a client has closed its connection before it was accepted"),
            Verdict::Refuse(answer) => return turn_away(accepted, answer, &self.refused, aside),
        }
        if let Some(place) = self.connections.try_place() {
            return self.dispatcher.dispatch(AcceptedConnection { accepted, place });
        }
        if let Some(metrics) = &self.settings.metrics {
            metrics.reached(Limit::Connections);
        }
        let (connections, dispatcher) = (self.connections.clone(), self.dispatcher.clone());
        aside.waiting.spawn(async move {
            let Some(place) = connections.place_of_idle().await else { return Some(accepted) };
            dispatcher.dispatch(AcceptedConnection { accepted, place });
            None
        });
    }

    fn say_full(&self, accepted: Accepted, aside: &mut Aside) {
        turn_away(accepted, self.settings.full.clone(), &self.without_place, aside);
    }
}

/// Answers a connection that is not served, if there is room for another one of its kind.
fn turn_away(accepted: Accepted, answer: Bytes, room: &Arc<Semaphore>, aside: &mut Aside) {
    if let Ok(place) = Arc::clone(room).try_acquire_owned() {
        aside.leaving.spawn(async move {
            let _ = timeout(TURNING_AWAY, say_and_close(accepted, &answer)).await;
            drop(place);
        });
    }
}

/// Reads on after the answer: closing with bytes unread would take it back.
async fn say_and_close(accepted: Accepted, answer: &[u8]) -> io::Result<()> {
    let mut socket = Socket::try_from(accepted)?;
    socket.write_all(answer).await?;
    socket.shutdown().await?;
    let mut rest = [0; 4_096];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}

fn is_about_the_connection(error: &io::Error) -> bool {
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
        let (room, mut aside) = (Arc::new(Semaphore::new(1)), Aside::default());
        let (mut client, server) = tokio::net::UnixStream::pair().expect("a pair");
        let accepted = Accepted::Unix(server.into_std().expect("registered"), Endpoints::default());
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
        turn_away(accepted, Bytes::from_static(b"full"), &room, &mut aside);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("a connection that nobody resets");
        assert_eq!(answer, "full");
        drop(client);
        aside.leaving.join_next().await.expect("one").expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_turned_away_and_stays_is_let_go_after_a_moment() {
        let (room, mut aside) = (Arc::new(Semaphore::new(1)), Aside::default());
        let pair = || {
            let (client, server) = UnixStream::pair().expect("a pair");
            server.set_nonblocking(true).expect("set");
            (client, Accepted::Unix(server, Endpoints::default()))
        };
        let (_client, accepted) = pair();
        turn_away(accepted, Bytes::from_static(b"full"), &room, &mut aside);
        let (_other, accepted) = pair();
        turn_away(accepted, Bytes::from_static(b"full"), &room, &mut aside);
        assert_eq!(aside.leaving.len(), 1, "those beyond the limit get no answer");
        let before = Instant::now();
        aside.leaving.join_next().await.expect("one").expect("no panic");
        assert_eq!((before.elapsed(), room.available_permits()), (TURNING_AWAY, 1));
    }
}
