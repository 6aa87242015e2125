//! The limit on connections. When all slots are occupied, the connection that has been idle longest is evicted.

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

use super::http1::phase::{ConnectionPhase, WriteStall};

/// How long a new connection waits for the slot of an evicted one.
const MAX_EVICTION_WAIT: Duration = Duration::from_secs(1);

/// How long to wait for a connection to close before another one is evicted as well: a busy worker needs a moment, and
/// a connection on which a request has arrived meanwhile stays.
const EVICT_NEXT_AFTER: Duration = Duration::from_millis(20);

/// How long a client may keep its answer from being sent before its connection may be evicted.
const MIN_STALL: Duration = Duration::from_millis(250);

/// Why a connection may be evicted; in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionClass {
    Idle,
    Stalled,
}

/// The connections of one set of listeners. Clones share them.
#[derive(Clone)]
pub(super) struct ConnectionLimit(Arc<Shared>);

struct Shared {
    free: Arc<Semaphore>,
    /// Whether connections of clients that do not read their answers may be evicted as well.
    are_answers_short: bool,
    // Not sorted by idleness, which changes with every request: sorting would make requests of all workers share this
    // lock. Only an eviction looks through all connections.
    occupied: Mutex<HashMap<u64, Occupied>>,
    next: AtomicU64,
}

struct Occupied {
    phase: ConnectionPhase,
    evict: Arc<Notify>,
    /// Whether the eviction has been requested already.
    is_evicting: bool,
}

/// One connection's share of the limit, until this is dropped.
pub(super) struct ConnectionSlot {
    number: u64,
    phase: ConnectionPhase,
    evict: Arc<Notify>,
    connections: ConnectionLimit,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    /// A limit of `limit` connections.
    pub(super) fn new(limit: usize, are_answers_short: bool) -> Self {
        Self(Arc::new(Shared {
            free: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            are_answers_short,
            occupied: Mutex::default(),
            next: AtomicU64::new(0),
        }))
    }

    /// A slot, if one is free.
    pub(super) fn try_acquire(&self) -> Option<ConnectionSlot> {
        Arc::clone(&self.0.free).try_acquire_owned().ok().map(|permit| self.slot(permit))
    }

    /// The slot of a connection that is evicted for it; `None` when none may be evicted.
    pub(super) async fn acquire_from_idle(&self) -> Option<ConnectionSlot> {
        let evicted = async {
            // Each round evicts another connection, since the one before may have got a request and stay.
            while self.evict_longest_idle() {
                let free = Arc::clone(&self.0.free).acquire_owned();
                if let Ok(Ok(permit)) = timeout(EVICT_NEXT_AFTER, free).await {
                    return Some(self.slot(permit));
                }
            }
            None
        };
        timeout(MAX_EVICTION_WAIT, evicted).await.ok().flatten()
    }

    fn slot(&self, permit: OwnedSemaphorePermit) -> ConnectionSlot {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (phase, evict) = (ConnectionPhase::default(), Arc::new(Notify::new()));
        let occupied = Occupied { phase: phase.clone(), evict: Arc::clone(&evict), is_evicting: false };
        self.lock().insert(number, occupied);
        ConnectionSlot { number, phase, evict, connections: self.clone(), _permit: permit }
    }

    /// Requests the eviction of the connection that has been idle longest; `false` if there is none.
    pub(super) fn evict_longest_idle(&self) -> bool {
        let mut occupied = self.lock();
        let others = occupied.values_mut().filter(|occupied| !occupied.is_evicting);
        let longest = others
            .filter_map(|occupied| Some((self.eviction_rank(&occupied.phase)?, occupied)))
            .min_by_key(|(rank, _)| *rank);
        let Some((_, longest)) = longest else { return false };
        longest.is_evicting = true;
        longest.evict.notify_one();
        true
    }

    /// Whether a connection may be evicted; the lowest rank goes first. Idle connections go before those on which the
    /// client keeps its answer from being sent, and within each class the oldest goes first.
    fn eviction_rank(&self, phase: &ConnectionPhase) -> Option<(EvictionClass, Instant)> {
        if let Some(since) = phase.idle_since() {
            return Some((EvictionClass::Idle, since));
        }
        let (since, stall) = phase.stalled()?;
        let counts = stall == WriteStall::StillSending || self.0.are_answers_short || phase.is_answer_short();
        (counts && since.elapsed() >= MIN_STALL).then_some((EvictionClass::Stalled, since))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Occupied>> {
        self.0.occupied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// The phase of the connection that has this slot.
    pub(super) fn phase(&self) -> &ConnectionPhase {
        &self.phase
    }

    /// Waits until the connection is to close. It stays if it has become busy since its eviction was requested, and
    /// also if `has_unread` finds input that has not been read yet: closing would lose a request that the client has
    /// already sent.
    pub(super) async fn evicted(&self, has_unread: impl Fn() -> bool) {
        loop {
            self.evict.notified().await;
            match self.connections.eviction_rank(&self.phase) {
                Some((EvictionClass::Idle, _)) if has_unread() => {}
                Some(_) => return,
                None => {}
            }
            // It stays, so that a later request for eviction may choose it again.
            if let Some(occupied) = self.connections.lock().get_mut(&self.number) {
                occupied.is_evicting = false;
            }
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
    }
}

impl fmt::Debug for ConnectionSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSlot").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_has_been_idle_longest_gives_way() {
        let connections = ConnectionLimit::new(2, false);
        let first = connections.try_acquire().expect("a free slot");
        advance(Duration::from_secs(1)).await;
        let second = connections.try_acquire().expect("a free slot");
        assert!(connections.try_acquire().is_none());
        advance(Duration::from_secs(1)).await;
        // The first one has had a request since.
        first.phase().begin_exchange();
        first.phase().end_exchange();
        advance(Duration::from_secs(1)).await;
        let before = Instant::now();
        let (slot, ()) = tokio::join!(connections.acquire_from_idle(), async {
            second.evicted(|| false).await;
            drop(second);
        });
        assert!(slot.is_some());
        assert_eq!(before.elapsed(), Duration::ZERO, "no other was asked before");
        drop(first);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_with_a_request_do_not_give_way() {
        let connections = ConnectionLimit::new(1, false);
        // One that has ended is not asked for its slot either.
        drop(connections.try_acquire());
        let busy = connections.try_acquire().expect("a free slot");
        busy.phase().begin_exchange();
        let before = Instant::now();
        assert!(connections.acquire_from_idle().await.is_none());
        assert_eq!(before.elapsed(), Duration::ZERO, "nobody is waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_a_short_answer_gives_way_to_others() {
        for (are_answers_short, is_short) in [(false, false), (true, false), (false, true)] {
            let connections = ConnectionLimit::new(1, are_answers_short);
            let stalled = connections.try_acquire().expect("a free slot");
            stalled.phase().begin_exchange();
            stalled.phase().set_answer_short(is_short);
            stalled.phase().set_stalled(Some(WriteStall::NotReading));
            assert!(connections.acquire_from_idle().await.is_none(), "not at once");
            advance(MIN_STALL).await;
            let (slot, ()) = tokio::join!(connections.acquire_from_idle(), async {
                if are_answers_short || is_short {
                    stalled.evicted(|| true).await;
                    drop(stalled);
                }
            });
            assert_eq!(slot.is_some(), are_answers_short || is_short);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_a_refused_body_gives_way_to_others() {
        let connections = ConnectionLimit::new(1, false);
        let sending = connections.try_acquire().expect("a free slot");
        sending.phase().begin_exchange();
        sending.phase().set_stalled(Some(WriteStall::StillSending));
        advance(MIN_STALL).await;
        let (slot, ()) = tokio::join!(connections.acquire_from_idle(), async {
            sending.evicted(|| true).await;
            drop(sending);
        });
        assert!(slot.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_not_read_its_answer_is_not_idle() {
        let connections = ConnectionLimit::new(1, false);
        let unread = connections.try_acquire().expect("a free slot");
        unread.phase().begin_exchange();
        unread.phase().set_stalled(Some(WriteStall::NotReading));
        unread.phase().end_exchange();
        assert!(connections.acquire_from_idle().await.is_none());
        unread.phase().set_stalled(None);
        assert!(connections.evict_longest_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_request_that_nobody_has_read_yet_stays_and_is_asked_again() {
        let connections = ConnectionLimit::new(1, false);
        let asking = connections.try_acquire().expect("a free slot");
        let before = Instant::now();
        let is_read = before + Duration::from_millis(500);
        let (slot, ()) = tokio::join!(connections.acquire_from_idle(), async {
            asking.evicted(|| Instant::now() < is_read).await;
            drop(asking);
        });
        assert!(slot.is_some() && before.elapsed() >= Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_connection_does_not_react_the_next_one_is_asked() {
        let connections = ConnectionLimit::new(2, false);
        let stuck = connections.try_acquire().expect("a free slot");
        advance(Duration::from_secs(1)).await;
        let second = connections.try_acquire().expect("a free slot");
        let (slot, ()) = tokio::join!(connections.acquire_from_idle(), async {
            second.evicted(|| false).await;
            drop(second);
        });
        assert!(slot.is_some());
        drop(stuck);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_becomes_busy_when_it_is_asked_stays_and_the_next_one_is_asked() {
        let connections = ConnectionLimit::new(2, false);
        let first = connections.try_acquire().expect("a free slot");
        advance(Duration::from_secs(1)).await;
        let second = connections.try_acquire().expect("a free slot");
        let (slot, (), ()) = tokio::join!(
            connections.acquire_from_idle(),
            async {
                first.phase().begin_exchange();
                let stays = timeout(MAX_EVICTION_WAIT, first.evicted(|| false)).await;
                assert!(stays.is_err(), "it has a request");
            },
            async {
                second.evicted(|| false).await;
                drop(second);
            }
        );
        assert!(slot.is_some());
    }
}
