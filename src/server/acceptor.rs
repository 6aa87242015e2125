//! Takes connections up to a limit and hands each to the worker that has the fewest.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{Settings, crew::Hands, note_end, socket::Socket};
use crate::{
    listener::{Accepted, Listener},
    metrics::Limit,
    shutdown::Shutdown,
};

/// The pause after an accept that failed for want of something, file descriptors usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections are still taken when the end is asked for: those that the system has taken already would
/// be reset.
const LAST_CALL: Duration = Duration::from_millis(20);

/// How many clients are told at once that there is no room.
const MOST_TURNED_AWAY: usize = 64;

/// How long a client that is turned away may take to read that.
const TURNING_AWAY: Duration = Duration::from_secs(1);

/// A connection that has one of the places.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) accepted: Accepted,
    pub(super) place: OwnedSemaphorePermit,
}

/// Clones share the limits.
#[derive(Clone)]
pub(super) struct Acceptor {
    places: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    settings: Arc<Settings>,
    shutdown: Shutdown,
    hands: Hands,
}

impl Acceptor {
    pub(super) fn new(settings: Arc<Settings>, shutdown: Shutdown, hands: Hands) -> Self {
        Self {
            places: Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS))),
            turned_away: Arc::new(Semaphore::new(MOST_TURNED_AWAY)),
            settings,
            shutdown,
            hands,
        }
    }

    /// Accepts until the end is asked for.
    pub(super) async fn accept(mut self, listener: Listener) {
        let mut farewells = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.requested() => break,
                Some(ended) = farewells.join_next() => note_end(ended),
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => self.admit(accepted, &mut farewells),
                    Err(error) if is_about_the_connection(&error) => {}
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Until the time is over, or the listener fails.
        let _ = timeout(LAST_CALL, async {
            while let Ok(accepted) = listener.accept().await {
                self.admit(accepted, &mut farewells);
            }
        })
        .await;
        drop((listener, self.hands));
        while farewells.join_next().await.is_some() {}
    }

    fn admit(&self, accepted: Accepted, farewells: &mut JoinSet<()>) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.hands.give(Arrival { accepted, place });
            return;
        }
        if let Some(metrics) = &self.settings.metrics {
            metrics.reached(Limit::Connections);
        }
        if let Ok(place) = Arc::clone(&self.turned_away).try_acquire_owned() {
            let full = self.settings.full.clone();
            farewells.spawn(async move {
                let _ = timeout(TURNING_AWAY, turn_away(accepted, &full)).await;
                drop(place);
            });
        }
    }
}

/// Says that there is no room, and reads on for a moment: closing with bytes unread would take the answer
/// back.
async fn turn_away(accepted: Accepted, full: &[u8]) -> io::Result<()> {
    let mut socket = Socket::try_from(accepted)?;
    socket.write_all(full).await?;
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
