//! Request bodies, collected within the memory that all of them share.

mod buffer;
mod pool;

use std::{sync::Arc, time::Duration};

use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::{cooperative_yield::CooperativeYield, proxy::error::ProxyError};
use crate::{signing::Payload, telemetry::metrics::Limit};
use buffer::BodyBuffer;
use pool::{BufferPool, CHUNK_SIZE};

/// The longest silence between two chunks of a request body.
const CHUNK: Duration = Duration::from_secs(10);

/// The longest wait for a share of the budget.
const ROOM: Duration = Duration::from_secs(1);

/// A body that has been under way for this long ...
const PATIENCE: Duration = Duration::from_secs(10);

/// ... and has come more slowly than this on average, in bytes per second, gives way when others need its room,
const PACE: u64 = 64 * 1024;

/// unless it holds no more than this, in bytes.
const TRIFLE: u64 = 64 * 1024;

/// The memory that all buffered request bodies share.
#[derive(Clone, Debug)]
pub struct Budget {
    room: Arc<Semaphore>,
    /// Notified when a body has to wait for room.
    wanted: Arc<Notify>,
    capacity: u64,
    max_body: u64,
    stock: BufferPool,
}

impl Budget {
    /// A budget of `capacity` bytes for bodies of `max_body` bytes at most.
    #[must_use]
    pub fn new(capacity: u64, max_body: u64) -> Self {
        let permits = usize::try_from(capacity).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(permits));
        Self {
            room,
            wanted: Arc::default(),
            capacity: permits as u64,
            max_body,
            stock: BufferPool::default(),
        }
    }

    /// The same budget for bodies of `max_body` bytes at most.
    #[must_use]
    pub(in crate::proxy) fn with_max_body(&self, max_body: u64) -> Self {
        Self { max_body: max_body.min(self.capacity), ..self.clone() }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.capacity.saturating_sub(self.room.available_permits() as u64)
    }

    /// Reads a whole body, hashing it on the way.
    ///
    /// A declared length is refused before a byte is read when it is too large, and is reserved at once, so
    /// that bodies which have begun can always end.
    ///
    /// # Errors
    /// When the body is too large, too slow or broken, or when there is no room for it.
    pub async fn collect(&self, mut body: Incoming) -> Result<Payload, ProxyError> {
        let declared = body.size_hint().exact();
        if declared == Some(0) {
            return Ok(Payload::empty());
        }
        let mut pieces = BodyBuffer::new(self.stock.clone());
        if let Some(length) = declared {
            pieces.add_share(self.reserve(length).await?);
        }
        let (mut length, mut portions) = (0_u64, CooperativeYield::default());
        let began = Instant::now();
        let mut deadline = began + CHUNK;
        loop {
            let frame = tokio::select! {
                biased;
                frame = timeout_at(deadline, body.frame()) => frame.map_err(|_| ProxyError::BodyTimeout)?,
                () = self.wanted.notified() => {
                    if declared.unwrap_or(length) > TRIFLE && is_slow(length, began.elapsed()) {
                        return Err(ProxyError::BodyTimeout);
                    }
                    continue;
                }
            };
            let Some(frame) = frame else { return Ok(pieces.finish()) };
            let frame = frame.map_err(|_| ProxyError::BodyIncomplete)?;
            let Ok(chunk) = frame.into_data() else { continue };
            deadline = Instant::now() + CHUNK;
            length += chunk.len() as u64;
            if length > self.max_body {
                return Err(ProxyError::BodyTooLarge { limit: self.max_body });
            }
            if declared.is_none() {
                let lacking = chunk.len().saturating_sub(pieces.left());
                pieces.add_share(self.reserve_more(lacking as u64, length).await?);
            }
            portions.count(chunk.len());
            pieces.push(&chunk);
            portions.next().await;
        }
    }

    /// Reserves what the next chunk lacks of a body of which `length` bytes have come and nobody knows how many will;
    /// for one that is large already, a whole piece at a time where there is room for it.
    async fn reserve_more(&self, lacking: u64, length: u64) -> Result<OwnedSemaphorePermit, ProxyError> {
        const WHOLE: u32 = CHUNK_SIZE as u32;
        if lacking > 0
            && lacking < u64::from(WHOLE)
            && length > u64::from(WHOLE)
            && let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(WHOLE)
        {
            return Ok(permit);
        }
        self.reserve(lacking).await
    }

    async fn reserve(&self, length: u64) -> Result<OwnedSemaphorePermit, ProxyError> {
        if length > self.max_body {
            return Err(ProxyError::BodyTooLarge { limit: self.max_body });
        }
        let permits = u32::try_from(length).map_err(|_| ProxyError::BodyTooLarge { limit: self.max_body })?;
        let overloaded = || ProxyError::Overloaded(Limit::BodyMemory);
        if length > self.capacity {
            return Err(overloaded());
        }
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(permits) {
            return Ok(permit);
        }
        self.wanted.notify_waiters();
        match timeout(ROOM, Arc::clone(&self.room).acquire_many_owned(permits)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }
}

/// Whether a body of which `length` bytes have come in `time` has to give way.
fn is_slow(length: u64, time: Duration) -> bool {
    time >= PATIENCE && length < PACE.saturating_mul(time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_slow_that_has_come_below_its_pace_for_ten_seconds() {
        for (length, millis, slow) in [
            (0, 9_999, false),
            (0, 10_000, true),
            (10 * PACE - 1, 10_000, true),
            (10 * PACE, 10_000, false),
            (10 * PACE, 11_000, true),
        ] {
            assert_eq!(is_slow(length, Duration::from_millis(millis)), slow, "{length} bytes in {millis} ms");
        }
    }
}
