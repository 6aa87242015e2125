//! Request bodies: collected and hashed within a budget of memory that all of them share, or streamed outside of it.

mod buffer;
mod buffer_pool;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::{client_body::ClientBody, streamed_body::StreamedBody};
use crate::{cooperative_yield::CooperativeYield, proxy::error::ProxyError};
use crate::{signing::Payload, telemetry::metrics::Limit};
use buffer::BodyBuffer;
use buffer_pool::{BufferPool, CHUNK_SIZE};

/// The longest gap between two chunks of a request body.
pub(super) const MAX_CHUNK_GAP: Duration = Duration::from_secs(10);

/// The longest wait for a share of the budget.
const MAX_BUDGET_WAIT: Duration = Duration::from_secs(1);

/// How long a body is under way at least before it counts as slow. A slow body is refused when another one waits for
/// memory: a few clients that drip bytes could otherwise hold the whole budget.
const MIN_SLOW_BODY_TIME: Duration = Duration::from_secs(10);

/// A body that arrives at less than this on average, in bytes per second, is slow.
const MIN_BODY_RATE: u64 = 64 * 1024;

/// A slow body that holds no more than this, in bytes, is left alone: refusing it would free next to nothing.
const MAX_SPARED_BODY: u64 = 64 * 1024;

/// The memory that all buffered request bodies share.
#[derive(Clone, Debug)]
pub struct Budget {
    permits: Arc<Semaphore>,
    /// Notified when a body has to wait for memory.
    wanted: Arc<Notify>,
    capacity: u64,
    max_body: u64,
    /// As `max_body`, for bodies that are not held in memory.
    max_streamed: u64,
    pool: BufferPool,
}

impl Budget {
    /// A budget of `capacity` bytes for bodies of `max_body` bytes at most.
    #[must_use]
    pub fn new(capacity: u64, max_body: u64) -> Self {
        let bytes = usize::try_from(capacity).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(bytes)),
            wanted: Arc::default(),
            capacity: bytes as u64,
            max_body,
            max_streamed: max_body,
            pool: BufferPool::default(),
        }
    }

    /// The same budget for bodies of `max_body` bytes at most.
    #[must_use]
    pub(in crate::proxy) fn with_max_body(&self, max_body: u64) -> Self {
        Self { max_body: max_body.min(self.capacity), max_streamed: max_body, ..self.clone() }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.capacity.saturating_sub(self.permits.available_permits() as u64)
    }

    /// A body that is read while it goes up, outside of the budget.
    ///
    /// # Errors
    /// When it declares more than it may have.
    pub(in crate::proxy) fn stream(&self, body: ClientBody) -> Result<StreamedBody, ProxyError> {
        StreamedBody::new(body, self.max_streamed)
    }

    /// Reads a whole body, hashing it on the way, and the checksums that may follow its last chunk.
    ///
    /// A declared length is refused before a byte is read when it is too large, and is reserved at once, so
    /// that bodies which have begun can always end.
    ///
    /// # Errors
    /// When the body is too large, too slow or broken, or when the budget has no memory for it.
    pub(in crate::proxy) async fn collect(
        &self,
        mut body: ClientBody,
    ) -> Result<(Payload, HeaderMap), ProxyError> {
        let declared = body.declared();
        if body.is_empty() {
            return Ok((Payload::empty(), HeaderMap::new()));
        }
        let mut buffer = BodyBuffer::new(self.pool.clone());
        if let Some(length) = declared {
            buffer.add_share(self.reserve(length).await?);
        }
        let (mut length, mut yielder) = (0_u64, CooperativeYield::default());
        let began = Instant::now();
        let mut deadline = began + MAX_CHUNK_GAP;
        loop {
            let chunk = tokio::select! {
                // A chunk that has arrived counts before another body's need for memory.
                biased;
                chunk = timeout_at(deadline, body.next()) => chunk.map_err(|_| ProxyError::BodyTimeout)?,
                () = self.wanted.notified() => {
                    if declared.unwrap_or(length) > MAX_SPARED_BODY && is_slow(length, began.elapsed()) {
                        return Err(ProxyError::BodyTimeout);
                    }
                    continue;
                }
            };
            let Some(chunk) = chunk.transpose()? else { return Ok((buffer.finish(), body.take_trailers())) };
            deadline = Instant::now() + MAX_CHUNK_GAP;
            length += chunk.len() as u64;
            if length > self.max_body {
                return Err(ProxyError::BodyTooLarge { limit: self.max_body });
            }
            if declared.is_none() {
                let lacking = chunk.len().saturating_sub(buffer.left());
                buffer.add_share(self.reserve_more(lacking as u64, length).await?);
            }
            yielder.count(chunk.len());
            buffer.push(&chunk);
            // Hashing holds the thread: without the pause, the p50 of small GETs beside 5 MB uploads is two to three
            // times as long.
            yielder.next().await;
        }
    }

    /// Reserves what the next chunk lacks of a body of undeclared length, of which `length` bytes have come. A body
    /// that is larger than a buffer reserves a whole buffer at a time if it can: its next chunks then need no
    /// reservation.
    async fn reserve_more(&self, lacking: u64, length: u64) -> Result<OwnedSemaphorePermit, ProxyError> {
        const BUFFER: u32 = CHUNK_SIZE as u32;
        if lacking > 0
            && lacking < u64::from(BUFFER)
            && length > u64::from(BUFFER)
            && let Ok(permit) = Arc::clone(&self.permits).try_acquire_many_owned(BUFFER)
        {
            return Ok(permit);
        }
        self.reserve(lacking).await
    }

    async fn reserve(&self, length: u64) -> Result<OwnedSemaphorePermit, ProxyError> {
        if length > self.max_body {
            return Err(ProxyError::BodyTooLarge { limit: self.max_body });
        }
        let bytes = u32::try_from(length).map_err(|_| ProxyError::BodyTooLarge { limit: self.max_body })?;
        let overloaded = || ProxyError::Overloaded(Limit::BodyMemory);
        // Waiting would never end.
        if length > self.capacity {
            return Err(overloaded());
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_many_owned(bytes) {
            return Ok(permit);
        }
        self.wanted.notify_waiters();
        match timeout(MAX_BUDGET_WAIT, Arc::clone(&self.permits).acquire_many_owned(bytes)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }
}

/// Whether a body of which `length` bytes have come in `time` has to give way.
fn is_slow(length: u64, time: Duration) -> bool {
    time >= MIN_SLOW_BODY_TIME && length < MIN_BODY_RATE.saturating_mul(time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_slow_that_has_come_below_its_pace_for_ten_seconds() {
        for (length, millis, slow) in [
            (0, 9_999, false),
            (0, 10_000, true),
            (10 * MIN_BODY_RATE - 1, 10_000, true),
            (10 * MIN_BODY_RATE, 10_000, false),
            (10 * MIN_BODY_RATE, 11_000, true),
        ] {
            assert_eq!(is_slow(length, Duration::from_millis(millis)), slow, "{length} bytes in {millis} ms");
        }
    }
}
