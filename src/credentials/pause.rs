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

#[cfg(test)]
mod tests {
    use aws_smithy_async::time::StaticTimeSource;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_over_when_its_timer_is_whatever_the_wall_says() {
        let seconds = Duration::from_secs;
        // A wall that stands still has been set back all the time.
        let clock = Clock::from_source(StaticTimeSource::new(SystemTime::UNIX_EPOCH + seconds(1_000)));
        let pause = Pause::new(seconds(10), None, &clock);
        advance(seconds(4)).await;
        assert_eq!(pause.left(&clock), Some(seconds(6)));
        advance(seconds(6)).await;
        assert_eq!(pause.left(&clock), None);
        advance(seconds(6)).await;
        assert_eq!(pause.left(&clock), None);
    }
}
