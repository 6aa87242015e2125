//! The last exchanges, within limits on their number and their memory.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use smallvec::SmallVec;

use super::{MAX_BYTES, MAX_EXCHANGES, Mode, pending::Pending, record::Record, redaction::Redaction};

/// What each exchange is counted with at least, in bytes. Most take less, and need not be counted again.
const MIN_COUNTED: usize = 8 * 1024;

/// Memory is counted in steps of this, in bytes.
const STEP: usize = 4 * 1024;

/// What an entry takes besides its texts: itself, its place in the ring, and the allocator's own.
const OVERHEAD: usize = 2 * size_of::<Entry>();

/// A kept exchange.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// The number of its last change among all changes that have been redacted.
    revision: AtomicU64,
    /// Whether it is no longer in the ring, while its exchange may go on.
    dropped: AtomicBool,
    /// With how much memory the ring counts it, in bytes. It changes under the ring's lock.
    counted: AtomicUsize,
    /// The memory of `record`, in bytes.
    redacted: AtomicUsize,
    /// What requests report. This lock is held for as long as it takes to append, and never while redacting.
    pending: Mutex<Pending>,
    record: Mutex<Record>,
}

impl Entry {
    /// What has not been redacted yet.
    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record with everything that has been reported, without secrets.
    pub(super) fn record(
        &self,
        redaction: &Redaction,
        mode: Mode,
        revisions: &Mutex<u64>,
    ) -> MutexGuard<'_, Record> {
        // Before the other lock: whoever comes second then finds nothing to do, or something later.
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if record.update(self, redaction, mode) {
            // Locked until the entry has its number: a viewer that reads this one must find the entry by it.
            let mut revisions = revisions.lock().unwrap_or_else(PoisonError::into_inner);
            *revisions += 1;
            record.revision = *revisions;
            self.revision.store(*revisions, Ordering::Release);
        }
        self.redacted.store(record.memory(), Ordering::Relaxed);
        record
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The memory that it takes, in bytes, when this is what `pending` takes.
    pub(super) fn memory(&self, pending: usize) -> usize {
        OVERHEAD + pending + self.redacted.load(Ordering::Relaxed)
    }

    /// Whether it takes more memory than it is counted with.
    pub(super) fn exceeds(&self, memory: usize) -> bool {
        memory > self.counted.load(Ordering::Relaxed)
    }

    /// Frees the memory of an entry that is no longer in the ring. It does not wait for a redaction, after which the entry
    /// is found to be dropped, and freed.
    pub(super) fn free(&self) {
        self.pending().free();
        let mut record = match self.record.try_lock() {
            Ok(record) => record,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        record.free();
        self.redacted.store(0, Ordering::Relaxed);
    }
}

/// The entries, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<Arc<Entry>>,
    /// Those that may still report something, or have reported what is not redacted yet.
    open: Vec<u64>,
    bytes: usize,
    next: u64,
    /// How often all entries have been dropped because somebody asked for it.
    clears: u64,
}

impl Ring {
    /// Adds an exchange. The entries that have no room beside it are appended to `dropped`: the caller frees them when it
    /// has unlocked the ring.
    pub(super) fn push(&mut self, pending: Pending, record: Record, dropped: &mut Dropped) -> Arc<Entry> {
        let memory = OVERHEAD + pending.memory();
        let counted = counted(memory);
        let number = self.next;
        self.next += 1;
        let entry = Arc::new(Entry {
            number,
            revision: AtomicU64::new(0),
            dropped: AtomicBool::new(false),
            counted: AtomicUsize::new(counted),
            redacted: AtomicUsize::new(0),
            pending: Mutex::new(pending),
            record: Mutex::new(record),
        });
        self.entries.push_back(Arc::clone(&entry));
        self.open.push(number);
        self.bytes += counted;
        while self.entries.len() > MAX_EXCHANGES {
            self.drop_oldest(dropped);
        }
        self.shrink(dropped);
        if self.open.len() > 2 * MAX_EXCHANGES {
            self.forget_dropped();
        }
        entry
    }

    /// Counts an entry with the memory that it takes now; `false` when it is no longer kept.
    pub(super) fn recount(&mut self, entry: &Entry, memory: usize, dropped: &mut Dropped) -> bool {
        if self.position(entry.number).is_none() {
            return false;
        }
        let counted = counted(memory);
        self.bytes = self.bytes - entry.counted.swap(counted, Ordering::Relaxed) + counted;
        self.shrink(dropped);
        true
    }

    pub(super) fn entry(&self, number: u64) -> Option<Arc<Entry>> {
        self.entries.get(self.position(number)?).cloned()
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.iter().cloned().collect()
    }

    /// The numbers of those that have changed since `revision`.
    pub(super) fn changed_since(&self, revision: u64) -> VecDeque<u64> {
        let changed = self.entries.iter().filter(|entry| entry.revision.load(Ordering::Acquire) > revision);
        changed.map(|entry| entry.number).collect()
    }

    pub(super) fn clears(&self) -> u64 {
        self.clears
    }

    /// The entries that may have something to redact.
    pub(super) fn open(&mut self) -> Vec<Arc<Entry>> {
        self.forget_dropped();
        self.open.iter().filter_map(|&number| self.entry(number)).collect()
    }

    /// Forgets among the open ones those that have ended and are redacted.
    pub(super) fn close(&mut self, closed: &[u64]) {
        // Both are in order.
        self.open.retain(|number| closed.binary_search(number).is_err());
    }

    pub(super) fn clear(&mut self, dropped: &mut Dropped) {
        self.clears += 1;
        while !self.entries.is_empty() {
            self.drop_oldest(dropped);
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn forget_dropped(&mut self) {
        let first = self.entries.front().map_or(self.next, |entry| entry.number);
        self.open.retain(|&number| number >= first);
    }

    /// Numbers are consecutive: entries leave at the front only.
    fn position(&self, number: u64) -> Option<usize> {
        let first = self.entries.front()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        (at < self.entries.len()).then_some(at)
    }

    fn shrink(&mut self, dropped: &mut Dropped) {
        while self.bytes > MAX_BYTES {
            self.drop_oldest(dropped);
        }
    }

    fn drop_oldest(&mut self, dropped: &mut Dropped) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.counted.load(Ordering::Relaxed);
            entry.dropped.store(true, Ordering::Relaxed);
            dropped.0.push(entry);
        }
    }
}

fn counted(memory: usize) -> usize {
    memory.max(MIN_COUNTED).next_multiple_of(STEP)
}

/// Entries that have left the ring. Dropping the list frees their memory: declare it before the ring is locked, so that
/// this happens when it is unlocked again.
#[derive(Debug, Default)]
pub(super) struct Dropped(SmallVec<[Arc<Entry>; 2]>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.iter().for_each(|entry| entry.free());
    }
}
