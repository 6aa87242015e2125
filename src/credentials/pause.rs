//! Pauses between attempts, which end on time even when the machine sleeps.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::Clock;

/// A pause before the next attempt.
///
/// Timers stand still while a machine sleeps, and the wall clock can be set back, so that the pause is over when either
/// says so.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    until: Instant,
    until_local: SystemTime,
    /// The expiry of the credentials that the pause was computed for, in AWS's time.
    expiry: Option<SystemTime>,
}

impl Pause {
    /// A pause of `length` from now, which ends no later than `expiry`.
    #[must_use]
    pub fn new(length: Duration, expiry: Option<SystemTime>, clock: &Clock) -> Self {
        Self { until: Instant::now() + length, until_local: clock.local() + length, expiry }
    }

    /// What is left of it; `None` when it is over.
    #[must_use]
    pub fn left(&self, clock: &Clock) -> Option<Duration> {
        let by_timer = self.until.checked_duration_since(Instant::now())?;
        let by_wall = self.until_local.duration_since(clock.local()).ok()?;
        let to_expiry = match self.expiry {
            Some(expiry) => expiry.duration_since(clock.now()).ok()?,
            None => by_timer,
        };
        let left = by_timer.min(by_wall).min(to_expiry);
        (!left.is_zero()).then_some(left)
    }
}
