//! When to refresh: pure functions of lifetime, time and a random number.
//!
//! The windows are those that the AWS SDKs have in common, shortened for short-lived credentials.

use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);

/// The longest pause between two attempts while credentials are still valid.
const MAX_PAUSE: Duration = MINUTE;

/// The longest pause between two attempts without valid credentials, so that requests wait for seconds only once the
/// service has recovered.
const MAX_OUTAGE_PAUSE: Duration = Duration::from_secs(5);

const MIN_PAUSE: Duration = Duration::from_millis(500);

/// How usable credentials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing to do.
    Fresh,
    /// A refresh runs in the background.
    Advisory,
    /// Requests wait for the refresh.
    Mandatory,
    /// Must not be used.
    Expired,
}

/// The last parts of a lifetime, measured from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The part in which a refresh runs in the background.
    pub advisory: Duration,
    /// The part in which requests wait for the refresh.
    pub mandatory: Duration,
}

impl Windows {
    /// The windows of credentials that were issued with this lifetime.
    #[must_use]
    pub fn of(lifetime: Duration) -> Self {
        let usual = if lifetime < 90 * MINUTE { 15 * MINUTE } else { 60 * MINUTE };
        Self { advisory: usual.min(lifetime / 4), mandatory: MINUTE.min(lifetime / 20) }
    }

    /// The phase of credentials that end at `expiry`.
    #[must_use]
    pub fn phase(self, expiry: SystemTime, now: SystemTime) -> Phase {
        match expiry.duration_since(now) {
            Err(_) | Ok(Duration::ZERO) => Phase::Expired,
            Ok(left) if left <= self.mandatory => Phase::Mandatory,
            Ok(left) if left <= self.advisory => Phase::Advisory,
            Ok(_) => Phase::Fresh,
        }
    }

    /// When the background refresh starts: at a random time in the first half of the advisory window, by `chance` in
    /// 0..1, so that instances which started together do not call Cognito together.
    #[must_use]
    pub fn refresh_at(self, expiry: SystemTime, chance: f64) -> SystemTime {
        expiry - self.advisory + (self.advisory / 2).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// The pause that a service requested by `Retry-After`, up to a limit. `left` is what remains of the current
/// credentials; the limit is shorter without any, since no request can be signed until the next attempt.
#[must_use]
pub fn requested_pause(retry_after: Duration, left: Duration) -> Duration {
    retry_after.min(if left.is_zero() { MAX_OUTAGE_PAUSE } else { MAX_PAUSE })
}

/// The pause after the `failures`-th failure in a row: exponential, capped, the upper half by `chance` in 0..1.
///
/// `left` is what remains of the current credentials; zero without any.
#[must_use]
pub fn pause(failures: u32, left: Duration, chance: f64) -> Duration {
    let cap = if left.is_zero() { MAX_OUTAGE_PAUSE } else { MAX_PAUSE.min(left / 8).max(MIN_PAUSE) };
    let full = MIN_PAUSE.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(cap);
    full / 2 + (full / 2).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn windows_follow_the_lifetime() {
        for (lifetime, advisory, mandatory) in [
            (seconds(30), seconds(30) / 4, seconds(30) / 20),
            (seconds(900), seconds(225), seconds(45)),
            (seconds(1_200), seconds(300), seconds(60)),
            (seconds(3_600), seconds(900), seconds(60)),
            (seconds(5_399), seconds(900), seconds(60)),
            (seconds(5_400), seconds(1_350), seconds(60)),
            (seconds(14_400), seconds(3_600), seconds(60)),
            (seconds(43_200), seconds(3_600), seconds(60)),
        ] {
            assert_eq!(Windows::of(lifetime), Windows { advisory, mandatory }, "{lifetime:?}");
        }
    }

    #[test]
    fn the_phase_follows_what_is_left() {
        let windows = Windows::of(seconds(3_600));
        let expiry = SystemTime::UNIX_EPOCH + seconds(10_000);
        for (left, phase) in [
            (901, Phase::Fresh),
            (900, Phase::Advisory),
            (61, Phase::Advisory),
            (60, Phase::Mandatory),
            (1, Phase::Mandatory),
            (0, Phase::Expired),
        ] {
            assert_eq!(windows.phase(expiry, expiry - seconds(left)), phase, "{left} s left");
        }
        assert_eq!(windows.phase(expiry, expiry + seconds(1)), Phase::Expired);
    }

    #[test]
    fn the_refresh_starts_in_the_first_half_of_the_advisory_window() {
        let windows = Windows::of(seconds(3_600));
        let expiry = SystemTime::UNIX_EPOCH + seconds(10_000);
        assert_eq!(windows.refresh_at(expiry, 0.0), expiry - seconds(900));
        assert_eq!(windows.refresh_at(expiry, 1.0), expiry - seconds(450));
    }

    #[test]
    fn a_service_is_granted_a_minute_and_seconds_in_an_outage() {
        for (asked, left, granted) in
            [(7, 100, 7), (86_400, 3_000, 60), (86_400, 10, 60), (86_400, 0, 5), (3, 0, 3), (u64::MAX, 1, 60)]
        {
            assert_eq!(requested_pause(seconds(asked), seconds(left)), seconds(granted), "{asked} {left}");
        }
    }

    #[test]
    fn pauses_grow_to_their_cap_and_are_never_zero() {
        assert_eq!(pause(0, seconds(3_000), 1.0), Duration::from_millis(500));
        assert_eq!(pause(3, seconds(3_000), 1.0), seconds(4));
        assert_eq!(pause(40, seconds(3_000), 1.0), seconds(60));
        assert_eq!(pause(40, seconds(3_000), 0.0), seconds(30));
        assert_eq!(pause(40, seconds(80), 1.0), seconds(10));
        assert_eq!(pause(40, Duration::ZERO, 1.0), seconds(5));
        assert_eq!(pause(40, Duration::from_millis(10), 1.0), Duration::from_millis(500));
        assert_eq!(pause(0, Duration::ZERO, 0.0), Duration::from_millis(250));
    }
}
