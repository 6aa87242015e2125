//! Threads that each run a separate tokio runtime.

use std::{future::Future, io, sync::mpsc, thread};

use tokio::runtime;

use crate::process::no_thread;

/// Starts a thread with a runtime, in which `make` and then the future that it returns run.
///
/// The runtime is built and dropped in that thread, since tokio panics when a runtime is dropped inside another one.
/// When the future has ended, up to `max_blocking_threads` threads may still be at work; they are not waited for.
///
/// # Errors
/// When the system refuses a thread or the descriptors that a runtime needs, or when `make` fails.
pub(crate) fn spawn<F>(
    name: String,
    max_blocking_threads: usize,
    make: impl FnOnce() -> io::Result<F> + Send + 'static,
) -> io::Result<thread::JoinHandle<()>>
where
    F: Future<Output = ()>,
{
    let (started, start) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(name).spawn(move || {
        let built = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(max_blocking_threads.max(1))
            .build();
        let made = built.and_then(|runtime| {
            let future = {
                let _entered = runtime.enter();
                make()?
            };
            Ok((runtime, future))
        });
        match made {
            Ok((runtime, future)) => {
                // The caller waits for this.
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
