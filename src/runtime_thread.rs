//! Threads with a runtime of their own.

use std::{future::Future, io, sync::mpsc, thread};

use tokio::runtime;

use crate::process::no_thread;

/// Starts a thread that runs the future which `make` gives, in a runtime of the thread's own, in which `make` runs too.
///
/// The runtime is made and dropped in that thread: one that is dropped inside another panics, as it would when the
/// system gives no thread for it. When the future has ended, `lookups` threads or fewer may still be at work for it;
/// they are not waited for.
///
/// # Errors
/// When the system gives no thread or no means to wait for events, or `make` fails.
pub(crate) fn spawn<F>(
    name: String,
    lookups: usize,
    make: impl FnOnce() -> io::Result<F> + Send + 'static,
) -> io::Result<thread::JoinHandle<()>>
where
    F: Future<Output = ()>,
{
    let (started, start) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(name).spawn(move || {
        let built =
            runtime::Builder::new_current_thread().enable_all().max_blocking_threads(lookups.max(1)).build();
        let made = built.and_then(|runtime| {
            let future = {
                let _entered = runtime.enter();
                make()?
            };
            Ok((runtime, future))
        });
        match made {
            Ok((runtime, future)) => {
                // Whoever started this thread waits for the word.
                let _ = started.send(Ok(()));
                runtime.block_on(future);
                runtime.shutdown_background();
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
    let thread = thread.map_err(|error| no_thread(&error))?;
    start.recv().unwrap_or_else(|_| Err(io::Error::other("a thread panicked at its start")))?;
    Ok(thread)
}
