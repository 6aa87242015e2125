//! Memory for the futures of requests, which the requests of a worker use one after the other.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tower::{Layer, Service};

/// How many slots are kept, 4 KB each, so that this many requests at a time need no new one.
const MAX_SLOTS: usize = 32;

/// The memory of futures that have ended. Clones share it.
///
/// The C library has no memory of 4 KB at hand: to allocate and free it takes 100 to 150 ns among the other allocations
/// of a request, and a free slot 20. Moving it takes another 100 ns, so that it is moved once, into its slot: hyper's own
/// place for the future of a connection would take five moves.
// A lock, since services are `Send`; it is uncontended, because each thread has its own pool.
pub struct FuturePool<F>(Arc<Mutex<Vec<Slot<F>>>>);

/// The place of one future, empty between two.
type Slot<F> = Pin<Box<Option<F>>>;

impl<F> FuturePool<F> {
    fn place(&self, future: F) -> PooledFuture<F> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let slot = match free {
            Some(mut slot) => {
                slot.set(Some(future));
                slot
            }
            None => Box::pin(Some(future)),
        };
        PooledFuture { slot: Some(slot), pool: self.clone() }
    }

    fn put(&self, slot: Slot<F>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MAX_SLOTS {
            free.push(slot);
        }
    }
}

impl<F> Default for FuturePool<F> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<F> Clone for FuturePool<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for FuturePool<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FuturePool")
    }
}

impl<S, F> Layer<S> for FuturePool<F> {
    type Service = Pooled<S, F>;

    fn layer(&self, inner: S) -> Pooled<S, F> {
        Pooled { inner, pool: self.clone() }
    }
}

/// A service whose futures are in a [`FuturePool`].
#[derive(Debug)]
pub struct Pooled<S, F> {
    inner: S,
    pool: FuturePool<F>,
}

impl<S: Clone, F> Clone for Pooled<S, F> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), pool: self.pool.clone() }
    }
}

impl<S, R> Service<R> for Pooled<S, S::Future>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = PooledFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.pool.place(self.inner.call(request))
    }
}

/// A future in a [`FuturePool`]. It is dropped when it has ended or when this is dropped, and only then is its memory
/// free for another.
pub struct PooledFuture<F> {
    /// Absent once it has ended.
    slot: Option<Slot<F>>,
    pool: FuturePool<F>,
}

impl<F> PooledFuture<F> {
    fn release(&mut self) {
        if let Some(mut slot) = self.slot.take() {
            slot.set(None);
            self.pool.put(slot);
        }
    }
}

impl<F: Future> Future for PooledFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.slot.as_mut().and_then(|slot| slot.as_mut().as_pin_mut());
        let output = ready!(future.expect("a future is polled to its end once").poll(context));
        self.release();
        Poll::Ready(output)
    }
}

impl<F> Drop for PooledFuture<F> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<F> fmt::Debug for PooledFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PooledFuture")
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending, sync::Weak, task::Waker};

    use tower::service_fn;

    use super::*;

    /// A service that keeps the request until it is answered, and answers one that is not empty.
    fn service() -> impl Service<Arc<str>, Response = usize, Error = Infallible, Future: Send> {
        service_fn(async |request: Arc<str>| {
            if request.is_empty() {
                pending::<()>().await;
            }
            Ok(request.len())
        })
    }

    fn request(text: &str) -> (Arc<str>, Weak<str>) {
        let request: Arc<str> = text.into();
        let kept = Arc::downgrade(&request);
        (request, kept)
    }

    fn free<F>(pool: &FuturePool<F>) -> usize {
        pool.0.lock().expect("no panic").len()
    }

    #[tokio::test]
    async fn an_ended_future_leaves_its_memory_and_nothing_in_it() {
        let pool = FuturePool::default();
        let mut service = pool.layer(service());
        for text in ["one", "three"] {
            let (request, kept) = request(text);
            let mut future = service.call(request);
            assert_eq!(free(&pool), 0);
            let Ok(length) = (&mut future).await;
            assert_eq!((length, free(&pool), kept.strong_count()), (text.len(), 1, 0));
        }
    }

    #[tokio::test]
    async fn a_future_that_is_dropped_in_the_middle_leaves_nothing_either() {
        let pool = FuturePool::default();
        let mut service = pool.layer(service());
        let (first, kept) = request("");
        let mut future = Box::pin(service.call(first));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(kept.strong_count(), 1);
        drop(future);
        assert_eq!((kept.strong_count(), free(&pool)), (0, 1));
        let Ok(length) = service.call(request("again").0).await;
        assert_eq!((length, free(&pool)), (5, 1));
    }

    #[test]
    fn memory_of_few_futures_is_kept() {
        let pool = FuturePool::default();
        let mut service = pool.layer(service());
        let futures: Vec<_> = (0..=MAX_SLOTS).map(|_| service.call(request("").0)).collect();
        drop(futures);
        assert_eq!(free(&pool), MAX_SLOTS);
    }
}
