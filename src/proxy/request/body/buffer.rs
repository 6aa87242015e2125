//! A request body in memory, in chunks that cost what they hold.

use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::buffer_pool::{BufferPool, CHUNK_SIZE, PooledBuffer};
use crate::signing::{Payload, PayloadBuilder};

/// The part of a body that has arrived, and its share of the budget.
///
/// Frames are copied into chunks of one size. Kept as they arrive, a frame of one byte would cost two hundred bytes,
/// and a large one would keep hyper's whole read buffer alive. Chunks of one size leave no gaps in the heap either.
#[derive(Debug)]
pub(super) struct BodyBuffer {
    builder: PayloadBuilder,
    chunk: Chunk,
    share: Option<OwnedSemaphorePermit>,
    pool: BufferPool,
}

/// The chunk that is being filled.
#[derive(Debug)]
enum Chunk {
    /// Of full size, from the pool.
    Whole(PooledBuffer),
    /// A body smaller than a buffer, or the rest of a larger one.
    Part(BytesMut),
}

impl BodyBuffer {
    /// An empty body, whose full chunks come from `pool`.
    pub(super) fn new(pool: BufferPool) -> Self {
        Self { builder: PayloadBuilder::default(), chunk: Chunk::default(), share: None, pool }
    }

    /// Adds to the share, which has to cover everything that is pushed.
    pub(super) fn add_share(&mut self, share: OwnedSemaphorePermit) {
        match &mut self.share {
            Some(mine) => mine.merge(share),
            None => self.share = Some(share),
        }
    }

    /// What is left of the share for bytes to come.
    pub(super) fn left(&self) -> usize {
        let share = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        share.saturating_sub(self.chunk.len())
    }

    pub(super) fn push(&mut self, frame: &[u8]) {
        let mut rest = frame;
        while !rest.is_empty() {
            if self.chunk.is_empty() {
                self.chunk = self.begin(rest.len());
            }
            let taken = self.chunk.write(rest);
            rest = &rest[taken..];
            if self.chunk.len() == CHUNK_SIZE {
                self.flush();
            }
        }
    }

    /// A chunk for the next `length` bytes, or for the rest of the share when that is more: a declared length is
    /// reserved at once.
    fn begin(&self, length: usize) -> Chunk {
        let left = self.left().max(length);
        let whole = if left >= CHUNK_SIZE { self.pool.take() } else { None };
        whole.map_or_else(|| Chunk::Part(BytesMut::with_capacity(left.min(CHUNK_SIZE))), Chunk::Whole)
    }

    pub(super) fn finish(mut self) -> Payload {
        self.flush();
        self.builder.finish()
    }

    fn flush(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let chunk = std::mem::take(&mut self.chunk);
        let share = self.share.as_mut().and_then(|share| share.split(chunk.len()));
        self.builder.push(Bytes::from_owner(Held { chunk, _share: share }));
    }
}

impl Chunk {
    /// Writes as much of `bytes` as fits into one chunk; returns how many those are.
    fn write(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Whole(buffer) => buffer.write(bytes),
            Self::Part(part) => {
                let taken = bytes.len().min(CHUNK_SIZE - part.len());
                part.extend_from_slice(&bytes[..taken]);
                taken
            }
        }
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Part(BytesMut::new())
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Whole(buffer) => buffer,
            Self::Part(part) => part,
        }
    }
}

/// A chunk that gives its share of the budget back when its last clone is dropped.
struct Held {
    chunk: Chunk,
    _share: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.chunk
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn share(permits: &Arc<Semaphore>, bytes: u32) -> OwnedSemaphorePermit {
        Arc::clone(permits).try_acquire_many_owned(bytes).expect("permits")
    }

    #[test]
    fn frames_are_copied_into_chunks_of_one_size_in_order() {
        let permits = Arc::new(Semaphore::new(1_000_000));
        let mut buffer = BodyBuffer::new(BufferPool::default());
        let mut whole = Vec::new();
        for length in [1, 2, CHUNK_SIZE, 3, 2 * CHUNK_SIZE, CHUNK_SIZE - 6, 5] {
            let chunk = vec![u8::try_from(length % 251).expect("a byte"); length];
            whole.extend_from_slice(&chunk);
            buffer.add_share(share(&permits, u32::try_from(length).expect("small")));
            buffer.push(&chunk);
        }
        let payload = buffer.finish();
        let lengths: Vec<usize> = payload.chunks().iter().map(Bytes::len).collect();
        assert_eq!(lengths, [CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, 5]);
        assert_eq!(payload.chunks().concat(), whole);
    }

    #[test]
    fn the_share_is_given_back_with_the_last_clone() {
        let permits = Arc::new(Semaphore::new(100));
        let mut buffer = BodyBuffer::new(BufferPool::default());
        buffer.add_share(share(&permits, 100));
        for _ in 0..100 {
            buffer.push(b"x");
        }
        let payload = buffer.finish();
        let copy = payload.clone();
        assert_eq!(payload.chunks().len(), 1);
        drop(payload);
        assert_eq!(permits.available_permits(), 0);
        drop(copy);
        assert_eq!(permits.available_permits(), 100);
    }
}
