//! The tasks that drive connections: owned by the pool, aborted with it.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

/// A cheap handle on a set of tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Drives `future`, and forgets those that have ended.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future)
    }
}

/// Logs how a connection ended, if it failed.
pub(super) fn log_end<E: fmt::Display>(end: Result<(), E>) {
    if let Err(error) = end {
        debug!(%error, "connection to the upstream ended");
    }
}
