//! A request body in memory, in pieces that cost what they hold.

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use crate::signing::{Payload, PayloadBuilder};

/// Chunks are copied into pieces of this size, in bytes. Kept as they come, one of a byte would cost two hundred, and
/// a large one the buffer of the library that it is a part of; pieces of one size leave no gaps either.
const PIECE: usize = 64 * 1024;

/// What has come of a body, and its share of the budget.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    builder: PayloadBuilder,
    joined: BytesMut,
    share: Option<OwnedSemaphorePermit>,
}

impl Pieces {
    /// Adds to the share; all that is pushed must be in it.
    pub(super) fn add_share(&mut self, share: OwnedSemaphorePermit) {
        match &mut self.share {
            Some(mine) => mine.merge(share),
            None => self.share = Some(share),
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.joined.len() >= PIECE {
                self.flush();
            }
            let taken = rest.len().min(PIECE - self.joined.len());
            if self.joined.is_empty() {
                let left = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
                self.joined.reserve(left.clamp(taken, PIECE));
            }
            self.joined.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
        }
    }

    pub(super) fn finish(mut self) -> Payload {
        self.flush();
        self.builder.finish()
    }

    fn flush(&mut self) {
        if self.joined.is_empty() {
            return;
        }
        let piece = std::mem::take(&mut self.joined).freeze();
        let share = self.share.as_mut().and_then(|share| share.split(piece.len()));
        self.builder.push(Bytes::from_owner(Held { piece, _share: share }));
    }
}

/// A piece that gives its share of the budget back when its last copy is dropped.
struct Held {
    piece: Bytes,
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
        let mut pieces = Pieces::default();
        let mut whole = Vec::new();
        for length in [1, 2, PIECE, 3, 2 * PIECE, PIECE - 6, 5] {
            let chunk = vec![u8::try_from(length % 251).expect("a byte"); length];
            whole.extend_from_slice(&chunk);
            pieces.add_share(share(&room, u32::try_from(length).expect("small")));
            pieces.push(&chunk);
        }
        let payload = pieces.finish();
        let lengths: Vec<usize> = payload.chunks().iter().map(Bytes::len).collect();
        assert_eq!(lengths, [PIECE, PIECE, PIECE, PIECE, 5]);
        assert_eq!(payload.chunks().concat(), whole);
    }

    #[test]
    fn the_share_is_given_back_with_the_last_copy() {
        let room = Arc::new(Semaphore::new(100));
        let mut pieces = Pieces::default();
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
