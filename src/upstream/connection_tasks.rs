//! The tasks that drive connections. The pool owns them, and they are aborted with it.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

/// A set of tasks. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Spawns `future`, and removes the tasks that have ended.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future)
    }
}

/// Logs the error of a connection that failed.
pub(super) fn log_end<E: fmt::Display>(end: Result<(), E>) {
    if let Err(error) = end {
        debug!(%error, "upstream connection failed");
    }
}
