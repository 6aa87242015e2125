//! A request body in memory, in pieces that cost what they hold.

use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::pool::{BufferPool, CHUNK_SIZE, PooledBuffer};
use crate::signing::{Payload, PayloadBuilder};

/// What has come of a body, and its share of the budget.
///
/// Chunks are copied into pieces of one size. Kept as they come, one of a byte would cost two hundred, and a large
/// one the buffer of the library that it is a part of; pieces of one size leave no gaps either.
#[derive(Debug)]
pub(super) struct BodyBuffer {
    builder: PayloadBuilder,
    piece: Chunk,
    share: Option<OwnedSemaphorePermit>,
    stock: BufferPool,
}

/// The piece that is being filled.
#[derive(Debug)]
enum Chunk {
    /// One that will be whole, or belongs to a body that has whole ones.
    Whole(PooledBuffer),
    /// A body smaller than a piece, or what is left of a larger one.
    Part(BytesMut),
}

impl BodyBuffer {
    /// A body of no bytes, whose whole pieces come from `stock`.
    pub(super) fn new(stock: BufferPool) -> Self {
        Self { builder: PayloadBuilder::default(), piece: Chunk::default(), share: None, stock }
    }

    /// Adds to the share; all that is pushed must be in it.
    pub(super) fn add_share(&mut self, share: OwnedSemaphorePermit) {
        match &mut self.share {
            Some(mine) => mine.merge(share),
            None => self.share = Some(share),
        }
    }

    /// What is left of the share for bytes to come.
    pub(super) fn left(&self) -> usize {
        let share = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        share.saturating_sub(self.piece.len())
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.piece.is_empty() {
                self.piece = self.begin(rest.len());
            }
            let taken = self.piece.write(rest);
            rest = &rest[taken..];
            if self.piece.len() == CHUNK_SIZE {
                self.flush();
            }
        }
    }

    /// A piece for the next `length` bytes, and for as much as the share shows to be coming.
    fn begin(&self, length: usize) -> Chunk {
        let left = self.left().max(length);
        let whole = if left >= CHUNK_SIZE { self.stock.lend() } else { None };
        whole.map_or_else(|| Chunk::Part(BytesMut::with_capacity(left.min(CHUNK_SIZE))), Chunk::Whole)
    }

    pub(super) fn finish(mut self) -> Payload {
        self.flush();
        self.builder.finish()
    }

    fn flush(&mut self) {
        if self.piece.is_empty() {
            return;
        }
        let piece = std::mem::take(&mut self.piece);
        let share = self.share.as_mut().and_then(|share| share.split(piece.len()));
        self.builder.push(Bytes::from_owner(Held { piece, _share: share }));
    }
}

impl Chunk {
    /// Writes as much of `bytes` as belongs into one piece, and tells how much that is.
    fn write(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Whole(loan) => loan.write(bytes),
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
            Self::Whole(loan) => loan,
            Self::Part(part) => part,
        }
    }
}

/// A piece that gives its share of the budget back when its last copy is dropped.
struct Held {
    piece: Chunk,
    _share: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn share(room: &Arc<Semaphore>, bytes: u32) -> OwnedSemaphorePermit {
        Arc::clone(room).try_acquire_many_owned(bytes).expect("room")
    }

    #[test]
    fn chunks_become_pieces_of_one_size_in_order() {
        let room = Arc::new(Semaphore::new(1_000_000));
        let mut pieces = BodyBuffer::new(BufferPool::default());
        let mut whole = Vec::new();
        for length in [1, 2, CHUNK_SIZE, 3, 2 * CHUNK_SIZE, CHUNK_SIZE - 6, 5] {
            let chunk = vec![u8::try_from(length % 251).expect("a byte"); length];
            whole.extend_from_slice(&chunk);
            pieces.add_share(share(&room, u32::try_from(length).expect("small")));
            pieces.push(&chunk);
        }
        let payload = pieces.finish();
        let lengths: Vec<usize> = payload.chunks().iter().map(Bytes::len).collect();
        assert_eq!(lengths, [CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, 5]);
        assert_eq!(payload.chunks().concat(), whole);
    }

    #[test]
    fn the_share_is_given_back_with_the_last_copy() {
        let room = Arc::new(Semaphore::new(100));
        let mut pieces = BodyBuffer::new(BufferPool::default());
        pieces.add_share(share(&room, 100));
        for _ in 0..100 {
            pieces.push(b"x");
        }
        let payload = pieces.finish();
        let copy = payload.clone();
        assert_eq!(payload.chunks().len(), 1);
        drop(payload);
        assert_eq!(room.available_permits(), 0);
        drop(copy);
        assert_eq!(room.available_permits(), 100);
    }
}
