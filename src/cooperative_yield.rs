//! Large bodies pass in portions; after each, the runtime looks what else there is to do.
//!
//! Being woken again at once does not achieve that: the runtime goes through what is ready some sixty times before it
//! asks the system for more, and a body whose other end is fast is always ready. Megabytes would pass, and every other
//! request of the worker would wait for them.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker, ready},
};

use tokio::{sync::Notify, task::yield_now};

/// In bytes: what hashing, encrypting or copying holds the thread with, a tenth of a millisecond or so.
pub(crate) const YIELD_EVERY: usize = 64 * 1024;

/// How much of a body has passed since others had their turn.
#[derive(Default)]
pub(crate) struct CooperativeYield {
    passed: usize,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl CooperativeYield {
    /// Counts `bytes` that pass.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.passed += bytes;
    }

    /// Waits for the turn of others, if it has come.
    pub(crate) async fn next(&mut self) {
        poll_fn(|context| self.poll_next(context)).await;
    }

    /// As [`next`](Self::next).
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.passed < YIELD_EVERY {
            return Poll::Ready(());
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(turn_of_others()));
        ready!(pause.as_mut().poll(context));
        *self = Self::default();
        Poll::Ready(())
    }
}

impl fmt::Debug for CooperativeYield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CooperativeYield").field("passed", &self.passed).finish_non_exhaustive()
    }
}

/// Lasts until the runtime has asked the system what is ready, however often the task is woken meanwhile.
async fn turn_of_others() {
    let asked = Arc::new(Asked::default());
    let waker = Waker::from(Arc::clone(&asked));
    // The runtime keeps the waker until it has asked; it is the waker that counts, and no second poll.
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(&waker));
    asked.0.notified().await;
}

/// Told that the system has been asked.
#[derive(Default)]
struct Asked(Notify);

impl Wake for Asked {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;

    /// A body that never has to wait, whose task is woken by its own doing as well.
    async fn endless(passed: &AtomicUsize) {
        let mut portions = CooperativeYield::default();
        loop {
            poll_fn(|context| {
                context.waker().wake_by_ref();
                portions.poll_next(context)
            })
            .await;
            portions.count(YIELD_EVERY);
            passed.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn what_has_come_for_others_is_seen_after_each_portion() {
        static PASSED: AtomicUsize = AtomicUsize::new(0);
        let body = tokio::task::JoinSet::from_iter([endless(&PASSED)]);
        let (mut one, mut other) = UnixStream::pair().expect("sockets");
        let echo = async {
            let mut byte = [0];
            while other.read_exact(&mut byte).await.is_ok() {
                other.write_all(&byte).await.expect("written");
            }
        };
        let ask = async {
            for _ in 0..100 {
                one.write_all(b"?").await.expect("written");
                one.read_exact(&mut [0]).await.expect("an echo");
            }
            drop(one);
        };
        tokio::join!(echo, ask);
        let passed = PASSED.load(Ordering::Relaxed);
        assert!((100..1_000).contains(&passed), "{passed} portions in the time of a hundred round trips");
        drop(body);
    }

    #[tokio::test]
    async fn less_than_a_portion_passes_without_a_pause() {
        let mut portions = CooperativeYield::default();
        portions.count(YIELD_EVERY - 1);
        let mut context = Context::from_waker(Waker::noop());
        assert!(portions.poll_next(&mut context).is_ready());
        portions.count(1);
        assert!(portions.poll_next(&mut context).is_pending());
        assert!(portions.poll_next(&mut context).is_pending(), "being polled again ended the pause");
        portions.next().await;
        assert!(portions.poll_next(&mut context).is_ready());
    }
}
