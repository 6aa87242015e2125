//! The memory of whole pieces, which all bodies use in turn, on whichever thread they come and go.
//!
//! The system's allocator serves each thread from memory of its own, which stays as large as it has ever been. Here
//! a piece that comes back is the next to be lent, and one that nobody needs goes back to the system.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use memmap2::{MmapMut, MmapOptions};

/// The size of a piece, in bytes.
pub(super) const CHUNK_SIZE: usize = 64 * 1024;

/// BodyBuffer that are kept when no body is under way, 8 MiB: a client that sends one body after the other would make the
/// system clear all of its memory each time.
const AT_REST: usize = 128;

/// Clones are the same stock.
#[derive(Clone, Debug, Default)]
pub(super) struct BufferPool(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Last in, first out: what came back last is in the processor's caches.
    at_hand: Vec<MmapMut>,
    lent: usize,
}

/// A piece on loan: what has been written to it. It goes back when it is dropped.
#[derive(Debug)]
pub(super) struct PooledBuffer {
    /// There until it is dropped.
    memory: Option<MmapMut>,
    length: usize,
    stock: BufferPool,
}

impl BufferPool {
    /// A piece with nothing written to it, unless the system has no memory.
    pub(super) fn lend(&self) -> Option<PooledBuffer> {
        let at_hand = {
            let mut state = self.lock();
            state.lent += 1;
            state.at_hand.pop()
        };
        // All of it is about to be written to: at once is cheaper than page by page.
        let memory = at_hand.or_else(|| MmapOptions::new().len(CHUNK_SIZE).populate().map_anon().ok());
        if memory.is_none() {
            self.lock().lent -= 1;
        }
        memory.map(|memory| PooledBuffer { memory: Some(memory), length: 0, stock: self.clone() })
    }

    /// What bodies have needed at the same time is theirs until the last of them is gone.
    fn take_back(&self, memory: MmapMut) {
        let mut state = self.lock();
        state.lent -= 1;
        state.at_hand.push(memory);
        let kept = if state.lent == 0 { AT_REST.min(state.at_hand.len()) } else { state.at_hand.len() };
        let surplus = state.at_hand.split_off(kept);
        drop(state);
        // The system takes its time; others need not wait for it.
        drop(surplus);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledBuffer {
    /// Writes as much of `bytes` as there is room for, and tells how much that is.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let room =
            self.memory.as_deref_mut().and_then(|memory| memory.get_mut(self.length..)).unwrap_or_default();
        let taken = bytes.len().min(room.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.length += taken;
        taken
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_deref().map(|memory| &memory[..self.length]).unwrap_or_default()
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.stock.take_back(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lend(stock: &BufferPool, pieces: usize) -> Vec<PooledBuffer> {
        (0..pieces).map(|_| stock.lend().expect("memory")).collect()
    }

    fn at_hand(stock: &BufferPool) -> usize {
        stock.lock().at_hand.len()
    }

    #[test]
    fn a_piece_that_comes_back_is_the_next_to_be_lent() {
        let stock = BufferPool::default();
        let mut first = stock.lend().expect("memory");
        assert_eq!(first.write(&[1; CHUNK_SIZE + 1]), CHUNK_SIZE);
        let place = first.as_ptr();
        drop(first);
        let mut second = stock.lend().expect("memory");
        assert_eq!(&*second, b"");
        assert_eq!(second.write(b"abc"), 3);
        assert_eq!((&*second, second.as_ptr()), (&b"abc"[..], place));
    }

    #[test]
    fn pieces_are_kept_for_bodies_under_way_and_given_back_at_rest() {
        let stock = BufferPool::default();
        let mut lent = lend(&stock, 3 * AT_REST);
        lent.truncate(AT_REST);
        assert_eq!(at_hand(&stock), 2 * AT_REST);
        lent.extend(lend(&stock, AT_REST));
        assert_eq!(at_hand(&stock), AT_REST);
        lent.truncate(1);
        assert_eq!(at_hand(&stock), 3 * AT_REST - 1);
        drop(lent);
        assert_eq!((at_hand(&stock), stock.lock().lent), (AT_REST, 0));
    }

    #[test]
    fn pieces_may_come_back_from_any_thread() {
        let stock = BufferPool::default();
        let lent = lend(&stock, 4);
        std::thread::spawn(move || drop(lent)).join().expect("no panic");
        assert_eq!((at_hand(&stock), stock.lock().lent), (4, 0));
    }
}
