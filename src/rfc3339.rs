//! Times as text by RFC 3339, in UTC. Times of one precision have one length, so that their texts sort like the times.

use std::time::SystemTime;

use time::{OffsetDateTime, format_description::StaticFormatDescription, macros::format_description};

const TO_THE_SECOND: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

const TO_THE_MILLISECOND: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// `time` to the second, rounded down. `None` before 1970 and after the year 9999.
pub(crate) fn seconds(time: SystemTime) -> Option<String> {
    format(time, TO_THE_SECOND)
}

/// `time` to the millisecond, rounded down. `None` before 1970 and after the year 9999.
pub(crate) fn millis(time: SystemTime) -> Option<String> {
    format(time, TO_THE_MILLISECOND)
}

fn format(time: SystemTime, format: StaticFormatDescription) -> Option<String> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let nanos = i128::try_from(since_epoch.as_nanos()).ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.format(format).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, nanos: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn a_time_has_all_digits_of_its_precision_and_is_rounded_down() {
        for (nanos, expected) in [
            (0, "2026-11-29T08:36:08.000Z"),
            (690_000_000, "2026-11-29T08:36:08.690Z"),
            (693_999_999, "2026-11-29T08:36:08.693Z"),
            (999_999_999, "2026-11-29T08:36:08.999Z"),
        ] {
            let time = at(1_795_941_368, nanos);
            assert_eq!(millis(time).as_deref(), Some(expected));
            assert_eq!(seconds(time).as_deref(), Some("2026-11-29T08:36:08Z"));
        }
    }

    #[test]
    fn a_time_that_has_no_such_text_is_none() {
        assert_eq!(seconds(at(253_402_300_799, 0)).as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(seconds(at(253_402_300_800, 0)), None);
        assert_eq!(seconds(at(u64::MAX / 4, 0)), None);
        assert_eq!(millis(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}
