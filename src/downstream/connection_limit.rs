//! The places for connections. Where all are taken, the connection that has been idle longest gives way.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::http1::phase::{ConnectionPhase, Stall};

/// How long a new connection waits for a place that another one gives up.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How long a connection may take to give way before another one is asked as well: a busy worker needs a moment, and
/// a request that has arrived meanwhile is answered.
const ASK_NEXT_AFTER: Duration = Duration::from_millis(20);

/// How long a client may keep its answer from being sent before it gives way to others.
const MIN_STALL: Duration = Duration::from_millis(250);

/// Why a connection can be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Idleness {
    Idle,
    Stalled,
}

/// The connections of one set of listeners. Clones share them.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    free: Arc<Semaphore>,
    /// Whether clients that do not read their answers give way as well.
    are_answers_short: bool,
    taken: Mutex<HashMap<u64, Taken>>,
    next: AtomicU64,
}

struct Taken {
    phase: ConnectionPhase,
    leave: Arc<Notify>,
    /// Whether it has been asked to give way already.
    asked: bool,
}

/// A place that one connection has, until it is dropped.
pub(super) struct Place {
    number: u64,
    phase: ConnectionPhase,
    leave: Arc<Notify>,
    connections: Connections,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// Places for `limit` connections. Where answers are short, whoever does not read one gives way too.
    pub(super) fn new(limit: usize, are_answers_short: bool) -> Self {
        Self(Arc::new(Shared {
            free: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            are_answers_short,
            taken: Mutex::default(),
            next: AtomicU64::new(0),
        }))
    }

    /// A place, if one is free.
    pub(super) fn try_place(&self) -> Option<Place> {
        Arc::clone(&self.0.free).try_acquire_owned().ok().map(|permit| self.place(permit))
    }

    /// A place that an idle connection gives up; `None` when no connection is idle.
    pub(super) async fn place_of_idle(&self) -> Option<Place> {
        let given_up = async {
            while self.ask_longest_idle() {
                let free = Arc::clone(&self.0.free).acquire_owned();
                if let Ok(Ok(permit)) = timeout(ASK_NEXT_AFTER, free).await {
                    return Some(self.place(permit));
                }
            }
            None
        };
        timeout(MAX_WAIT, given_up).await.ok().flatten()
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (phase, leave) = (ConnectionPhase::default(), Arc::new(Notify::new()));
        let taken = Taken { phase: phase.clone(), leave: Arc::clone(&leave), asked: false };
        self.lock().insert(number, taken);
        Place { number, phase, leave, connections: self.clone(), _permit: permit }
    }

    /// Asks the connection that has been idle longest to give way; whether there was one that had not been asked.
    pub(super) fn ask_longest_idle(&self) -> bool {
        let mut taken = self.lock();
        let others = taken.values_mut().filter(|taken| !taken.asked);
        let longest = others
            .filter_map(|taken| Some((self.can_do_without(&taken.phase)?, taken)))
            .min_by_key(|(rank, _)| *rank);
        let Some((_, longest)) = longest else { return false };
        longest.asked = true;
        longest.leave.notify_one();
        true
    }

    /// Whether a connection may give way, and which of them first: those that are idle, then those of which the client
    /// keeps its answer from being sent; of either those for which that has been so for longest.
    fn can_do_without(&self, phase: &ConnectionPhase) -> Option<(Idleness, Instant)> {
        if let Some(since) = phase.idle_since() {
            return Some((Idleness::Idle, since));
        }
        let (since, stall) = phase.stalled()?;
        let counts = stall == Stall::Sending || self.0.are_answers_short || phase.is_answer_short();
        (counts && since.elapsed() >= MIN_STALL).then_some((Idleness::Stalled, since))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Taken>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whose turn it is on the connection that has this place.
    pub(super) fn phase(&self) -> &ConnectionPhase {
        &self.phase
    }

    /// Waits until the connection is to give way. One that has become busy since it was asked stays, and so does one
    /// of which `has_unread` says that the client has sent something which nobody has looked at yet.
    pub(super) async fn is_wanted(&self, has_unread: impl Fn() -> bool) {
        loop {
            self.leave.notified().await;
            match self.connections.can_do_without(&self.phase) {
                Some((Idleness::Idle, _)) if has_unread() => {}
                Some(_) => return,
                None => {}
            }
            if let Some(taken) = self.connections.lock().get_mut(&self.number) {
                taken.asked = false;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_has_been_idle_longest_gives_way() {
        let connections = Connections::new(2, false);
        let first = connections.try_place().expect("a free place");
        advance(Duration::from_secs(1)).await;
        let second = connections.try_place().expect("a free place");
        assert!(connections.try_place().is_none());
        advance(Duration::from_secs(1)).await;
        // The first one has had a request since.
        first.phase().begin_ours();
        first.phase().begin_clients();
        advance(Duration::from_secs(1)).await;
        let before = Instant::now();
        let (place, ()) = tokio::join!(connections.place_of_idle(), async {
            second.is_wanted(|| false).await;
            drop(second);
        });
        assert!(place.is_some());
        assert_eq!(before.elapsed(), Duration::ZERO, "no other was asked before");
        drop(first);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_with_a_request_do_not_give_way() {
        let connections = Connections::new(1, false);
        // One that has ended is not asked for its place either.
        drop(connections.try_place());
        let busy = connections.try_place().expect("a free place");
        busy.phase().begin_ours();
        let before = Instant::now();
        assert!(connections.place_of_idle().await.is_none());
        assert_eq!(before.elapsed(), Duration::ZERO, "nobody is waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_a_short_answer_gives_way_to_others() {
        for (are_answers_short, is_short) in [(false, false), (true, false), (false, true)] {
            let connections = Connections::new(1, are_answers_short);
            let stalled = connections.try_place().expect("a free place");
            stalled.phase().begin_ours();
            stalled.phase().set_answer_short(is_short);
            stalled.phase().set_stalled(Some(Stall::NotReading));
            assert!(connections.place_of_idle().await.is_none(), "not at once");
            advance(MIN_STALL).await;
            let (place, ()) = tokio::join!(connections.place_of_idle(), async {
                if are_answers_short || is_short {
                    stalled.is_wanted(|| true).await;
                    drop(stalled);
                }
            });
            assert_eq!(place.is_some(), are_answers_short || is_short);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_a_refused_body_gives_way_to_others() {
        let connections = Connections::new(1, false);
        let sending = connections.try_place().expect("a free place");
        sending.phase().begin_ours();
        sending.phase().set_stalled(Some(Stall::Sending));
        advance(MIN_STALL).await;
        let (place, ()) = tokio::join!(connections.place_of_idle(), async {
            sending.is_wanted(|| true).await;
            drop(sending);
        });
        assert!(place.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_not_read_its_answer_is_not_idle() {
        let connections = Connections::new(1, false);
        let unread = connections.try_place().expect("a free place");
        unread.phase().begin_ours();
        unread.phase().set_stalled(Some(Stall::NotReading));
        unread.phase().begin_clients();
        assert!(connections.place_of_idle().await.is_none());
        unread.phase().set_stalled(None);
        assert!(connections.ask_longest_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_request_that_nobody_has_read_yet_stays_and_is_asked_again() {
        let connections = Connections::new(1, false);
        let asking = connections.try_place().expect("a free place");
        let before = Instant::now();
        let is_read = before + Duration::from_millis(500);
        let (place, ()) = tokio::join!(connections.place_of_idle(), async {
            asking.is_wanted(|| Instant::now() < is_read).await;
            drop(asking);
        });
        assert!(place.is_some() && before.elapsed() >= Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_connection_does_not_react_the_next_one_is_asked() {
        let connections = Connections::new(2, false);
        let stuck = connections.try_place().expect("a free place");
        advance(Duration::from_secs(1)).await;
        let second = connections.try_place().expect("a free place");
        let (place, ()) = tokio::join!(connections.place_of_idle(), async {
            second.is_wanted(|| false).await;
            drop(second);
        });
        assert!(place.is_some());
        drop(stuck);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_becomes_busy_when_it_is_asked_stays_and_the_next_one_is_asked() {
        let connections = Connections::new(2, false);
        let first = connections.try_place().expect("a free place");
        advance(Duration::from_secs(1)).await;
        let second = connections.try_place().expect("a free place");
        let (place, (), ()) = tokio::join!(
            connections.place_of_idle(),
            async {
                first.phase().begin_ours();
                let stays = timeout(MAX_WAIT, first.is_wanted(|| false)).await;
                assert!(stays.is_err(), "it has a request");
            },
            async {
                second.is_wanted(|| false).await;
                drop(second);
            }
        );
        assert!(place.is_some());
    }
}
