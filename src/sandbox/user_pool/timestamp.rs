//! TIMESTAMP of a password claim, which is parsed leniently and signed in its canonical form.

use time::{Date, Month, Time, UtcDateTime, Weekday};

/// The canonical form, `EEE MMM d HH:mm:ss 'UTC' yyyy`, of what a client wrote.
///
/// As AWS does, letter case, a padded day and a wrong weekday are ignored; the signature is then
/// checked over the canonical form, which makes it fail.
pub(super) fn canonical(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [weekday, month, day, clock, "UTC" | "GMT", year] = words[..] else { return None };
    WEEKDAYS.iter().any(|name| name.eq_ignore_ascii_case(weekday)).then_some(())?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let (day, year) = (digits(day, 1..=2)?, digits(year, 4..=4)?);
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    Some(format(UtcDateTime::new(date, time_of_day(clock)?)))
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| u8::try_from(digits(part, 1..=2)?).ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() {
        return None;
    }
    Time::from_hms(hour, minute, second).ok()
}

fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let numeric = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if numeric { text.parse().ok() } else { None }
}

fn format(time: UtcDateTime) -> String {
    let weekday = WEEKDAYS[Weekday::number_days_from_monday(time.weekday()) as usize];
    let month = MONTHS[u8::from(time.month()) as usize - 1];
    let (hour, minute, second) = time.as_hms();
    format!("{weekday} {month} {} {hour:02}:{minute:02}:{second:02} UTC {}", time.day(), time.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenient_spellings_have_one_canonical_form() {
        let form = Some("Mon Nov 2 09:05:07 UTC 2026".to_owned());
        for text in [
            "Mon Nov 2 09:05:07 UTC 2026",
            "Mon Nov 02 09:05:07 UTC 2026",
            "MON nov 2 9:5:7 GMT 2026",
            "Fri Nov 2 09:05:07 UTC 2026",
        ] {
            assert_eq!(canonical(text), form, "{text}");
        }
    }

    #[test]
    fn other_forms_are_not_read() {
        for text in [
            "",
            "2026-11-02T09:05:07Z",
            "Mon Nov 2 09:05:07 utc 2026",
            "Mo Nov 2 09:05:07 UTC 2026",
            "Mon Nov 31 09:05:07 UTC 2026",
            "Mon Nov 2 25:05:07 UTC 2026",
            "Mon Nov 2 09:05 UTC 2026",
            "lun nov. 2 09:05:07 UTC 2026",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
