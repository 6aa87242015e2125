//! The last exchanges, within limits on their number and their memory.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{MAX_BYTES, MAX_EXCHANGES, record::Record};

/// A kept exchange.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// Whether it is no longer in the ring, while its exchange may go on.
    dropped: AtomicBool,
    record: Mutex<Record>,
}

impl Entry {
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Frees the memory of an entry that is no longer in the ring.
    pub(super) fn free(&self) {
        self.record().free();
    }
}

/// The entries, oldest first, and what each was last counted with.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<(Arc<Entry>, usize)>,
    bytes: usize,
    next: u64,
}

impl Ring {
    /// Adds a record, which is made with its number. The entries that have no room beside it are appended to `dropped`:
    /// the caller frees them when it has unlocked the ring.
    pub(super) fn push(
        &mut self,
        record: impl FnOnce(u64) -> Record,
        dropped: &mut Vec<Arc<Entry>>,
    ) -> Arc<Entry> {
        let number = self.next;
        self.next += 1;
        let record = record(number);
        let memory = record.memory();
        let entry = Arc::new(Entry { number, dropped: AtomicBool::new(false), record: Mutex::new(record) });
        self.entries.push_back((Arc::clone(&entry), memory));
        self.bytes += memory;
        while self.entries.len() > MAX_EXCHANGES {
            self.drop_oldest(dropped);
        }
        self.shrink(dropped);
        entry
    }

    /// Counts an entry with the memory that it takes now; `false` when it is no longer kept.
    pub(super) fn recount(&mut self, number: u64, memory: usize, dropped: &mut Vec<Arc<Entry>>) -> bool {
        let Some(counted) = self.position(number).and_then(|at| self.entries.get_mut(at)) else {
            return false;
        };
        self.bytes = self.bytes - counted.1 + memory;
        counted.1 = memory;
        self.shrink(dropped);
        true
    }

    pub(super) fn entry(&self, number: u64) -> Option<Arc<Entry>> {
        self.entries.get(self.position(number)?).map(|(entry, _)| Arc::clone(entry))
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.iter().map(|(entry, _)| Arc::clone(entry)).collect()
    }

    pub(super) fn clear(&mut self, dropped: &mut Vec<Arc<Entry>>) {
        while !self.entries.is_empty() {
            self.drop_oldest(dropped);
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers are consecutive: entries leave at the front only.
    fn position(&self, number: u64) -> Option<usize> {
        let first = self.entries.front()?.0.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        (at < self.entries.len()).then_some(at)
    }

    fn shrink(&mut self, dropped: &mut Vec<Arc<Entry>>) {
        while self.bytes > MAX_BYTES {
            self.drop_oldest(dropped);
        }
    }

    fn drop_oldest(&mut self, dropped: &mut Vec<Arc<Entry>>) {
        if let Some((entry, memory)) = self.entries.pop_front() {
            self.bytes -= memory;
            entry.dropped.store(true, Ordering::Relaxed);
            dropped.push(entry);
        }
    }
}
