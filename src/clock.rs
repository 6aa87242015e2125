//! AWS's wall time: the local clock plus an offset that is learnt from `Date` headers.
//!
//! Timers are tokio's, so that tests can pause them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource, TimeSource};
use tracing::{info, warn};

/// How long a response may take for its `Date` to be used.
const MAX_SAMPLE_TIME: Duration = Duration::from_secs(15 * 60);

/// The resolution of `Date`, which has whole seconds.
const RESOLUTION_MILLIS: i64 = 1_000;

/// The wall clock. Clones are cheap and share the learnt offset.
#[derive(Clone, Debug)]
pub struct Clock {
    source: SharedTimeSource,
    offset_millis: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::from_source(SystemTimeSource::new())
    }

    /// A clock that reads `source`, for tests and the sandbox.
    pub fn from_source(source: impl TimeSource + 'static) -> Self {
        Self { source: SharedTimeSource::new(source), offset_millis: Arc::new(AtomicI64::new(0)) }
    }

    /// The local wall clock, uncorrected.
    #[must_use]
    pub fn local(&self) -> SystemTime {
        self.source.now()
    }

    /// AWS's current time, as far as it is known. Requests are signed with it, and expiries are compared with it.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        apply(self.local(), self.offset_millis())
    }

    /// The offset that is added to the local clock, in milliseconds; negative when the local clock is ahead.
    #[must_use]
    pub fn offset_millis(&self) -> i64 {
        self.offset_millis.load(Ordering::Relaxed)
    }

    /// Learns the offset from the `Date` of AWS's response, just received, to a request sent at local time `sent`.
    ///
    /// Returns the change of the offset. Do not pass the `Date` of a response with an `Age` header, which comes from a
    /// cache, or of one that AWS did not send.
    pub fn observe(&self, date: SystemTime, sent: SystemTime) -> Duration {
        self.observe_between(date, sent, self.local())
    }

    /// The same for a response received at local time `received`.
    ///
    /// The server read its clock at some moment between the two. The offset changes only if it puts `Date` outside of
    /// them, so that slow responses do not move the clock.
    pub fn observe_between(&self, date: SystemTime, sent: SystemTime, received: SystemTime) -> Duration {
        let Ok(took) = received.duration_since(sent) else { return Duration::ZERO };
        if took > MAX_SAMPLE_TIME {
            return Duration::ZERO;
        }
        let possible = millis_between(received, date) - RESOLUTION_MILLIS
            ..=millis_between(sent, date) + 2 * RESOLUTION_MILLIS;
        let known = self.offset_millis();
        if possible.contains(&known) {
            return Duration::ZERO;
        }
        let offset = if possible.contains(&0) { 0 } else { millis_between(sent + took / 2, date) };
        self.offset_millis.store(offset, Ordering::Relaxed);
        report(offset);
        Duration::from_millis(offset.abs_diff(known))
    }
}

/// The `Date` of a response; `header` looks up a header by name.
///
/// `None` if it has an `Age`: then the response comes from a cache, and `Date` is older (RFC 9111 section 5.1).
pub fn date<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<SystemTime> {
    if header("age").is_some() {
        return None;
    }
    httpdate::parse_http_date(header("date")?).ok()
}

/// Logs a new offset.
fn report(offset_millis: i64) {
    let offset_seconds = offset_millis as f64 / 1_000.0;
    match offset_millis {
        0 => info!(offset_seconds, "the local clock agrees with AWS again"),
        1.. => warn!(offset_seconds, "the local clock is behind AWS, correcting for it"),
        _ => warn!(offset_seconds, "the local clock is ahead of AWS, correcting for it"),
    }
}

fn apply(time: SystemTime, offset_millis: i64) -> SystemTime {
    let offset = Duration::from_millis(offset_millis.unsigned_abs());
    if offset_millis >= 0 { time + offset } else { time - offset }
}

fn millis_between(from: SystemTime, to: SystemTime) -> i64 {
    match to.duration_since(from) {
        Ok(ahead) => ahead.as_millis() as i64,
        Err(behind) => -(behind.duration().as_millis() as i64),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_async::time::StaticTimeSource;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn clock(seconds: u64) -> Clock {
        Clock::from_source(StaticTimeSource::new(at(seconds)))
    }

    #[test]
    fn a_date_an_hour_ahead_moves_the_clock_an_hour() {
        let clock = clock(10_000);
        assert_eq!(clock.observe(at(13_600), at(10_000)), Duration::from_secs(3_600));
        assert_eq!(clock.now(), at(13_600));
        assert_eq!(clock.local(), at(10_000));
    }

    #[test]
    fn a_date_an_hour_behind_moves_the_clock_back() {
        let clock = clock(10_000);
        clock.observe(at(6_400), at(10_000));
        assert_eq!(clock.now(), at(6_400));
    }

    #[test]
    fn the_resolution_of_date_moves_nothing() {
        let clock = clock(10_000);
        assert_eq!(clock.observe(at(10_001), at(10_000)), Duration::ZERO);
        assert_eq!(clock.offset_millis(), 0);
    }

    #[test]
    fn a_date_between_sending_and_receiving_is_no_skew() {
        let clock = clock(10_006);
        for date in 9_998..=10_007 {
            assert_eq!(clock.observe(at(date), at(10_000)), Duration::ZERO, "{date}");
        }
        clock.observe(at(13_606), at(10_006));
        let known = clock.offset_millis();
        for date in 13_600..=13_606 {
            assert_eq!(clock.observe(at(date), at(10_000)), Duration::ZERO, "{date}, by a corrected clock");
        }
        assert_eq!(clock.offset_millis(), known);
    }

    #[test]
    fn a_date_that_no_moment_of_the_exchange_can_have_had_moves_the_clock() {
        for (date, offset) in [(9_997, -6_000_i64), (10_008, 5_000)] {
            let clock = clock(10_006);
            // The server is taken to have looked at its clock half way.
            let changed = clock.observe(at(date), at(10_000));
            assert_eq!(
                (clock.offset_millis(), changed),
                (offset, Duration::from_millis(offset.unsigned_abs()))
            );
        }
    }

    #[test]
    fn a_local_clock_that_may_be_right_is_left_alone() {
        let clock = clock(10_006);
        clock.observe(at(13_606), at(10_006));
        assert_eq!(clock.observe(at(10_004), at(10_000)), Duration::from_secs(3_600));
        assert_eq!(clock.offset_millis(), 0);
    }

    #[test]
    fn a_local_clock_that_is_set_back_while_the_answer_is_on_its_way_says_nothing() {
        let clock = clock(10_000);
        assert_eq!(clock.observe(at(13_600), at(10_001)), Duration::ZERO);
    }

    #[test]
    fn a_corrected_local_clock_is_unlearnt() {
        let clock = clock(10_000);
        clock.observe(at(13_600), at(10_000));
        clock.observe(at(10_000), at(10_000));
        assert_eq!(clock.offset_millis(), 0);
    }

    #[test]
    fn an_answer_that_took_too_long_is_ignored() {
        let clock = clock(10_000);
        assert_eq!(clock.observe(at(99_999), at(10_000 - 16 * 60)), Duration::ZERO);
    }
}
