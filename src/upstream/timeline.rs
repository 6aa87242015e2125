//! When an attempt got its connection and had been sent, for those who ask.

use tokio::time::Instant;

/// The moments of one attempt. They are taken only for a caller that passes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeline {
    /// When the attempt had a connection, and whether it came from the pool.
    pub(crate) connected: Option<(Instant, bool)>,
    /// When the system had taken the last byte of the body; `None` when there was none.
    pub(crate) sent: Option<Instant>,
}
