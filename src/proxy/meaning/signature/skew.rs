//! A signing time that is too far from the gateway's.

use std::time::SystemTime;

use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

use crate::proxy::meaning::{Details, Evidence, Meaning};

/// Refusals for the signing time: by how much it is wrong, from the gateway's words or its `Date`.
pub(super) fn meaning(evidence: &Evidence<'_>) -> Option<Meaning> {
    let words = evidence.words;
    // Without a type, only with the times: applications have signatures of their own that expire.
    let is_said = words.says("signature expired") || words.says("signature not yet current");
    let has_times = || words.says("is now earlier than") || words.says("is still later than");
    let is_skewed = is_said && (words.has_type() || has_times())
        || words.typed(&["RequestTimeTooSkewed", "RequestExpired"]);
    if !is_skewed {
        return None;
    }
    let seconds = in_words(evidence).or_else(|| {
        let (date, signed) = (evidence.head.date()?, evidence.request.signed_at);
        Some((OffsetDateTime::from(signed) - OffsetDateTime::from(date)).whole_seconds())
    });
    let cause = match seconds {
        Some(seconds @ ..0) => format!("the signing time is {} behind the gateway's clock", span(-seconds)),
        Some(seconds) => format!("the signing time is {} ahead of the gateway's clock", span(seconds)),
        None if words.says("not yet current") => {
            "the signing time is ahead of the gateway's clock".to_owned()
        }
        None => "the signing time is behind the gateway's clock".to_owned(),
    };
    let meaning = Meaning::new(
        "clock-skew",
        cause,
        "set the clock of this machine by NTP, and check that nothing on the way holds requests back for minutes",
    );
    Some(meaning.with(Details { skew_seconds: seconds, ..Details::default() }))
}

/// API Gateway writes the signing time, the limit and its own time, S3 the signing time and its own.
fn in_words(evidence: &Evidence<'_>) -> Option<i64> {
    let words = evidence.words;
    let (signed, server) = match (words.element("RequestTime"), words.element("ServerTime")) {
        (Some(signed), Some(server)) => (time(&signed)?, time(&server)?),
        _ => {
            let mut times =
                words.message().split(|letter: char| !letter.is_ascii_alphanumeric()).filter_map(time);
            let (signed, limit) = (times.next()?, times.next()?);
            // Without its own time in parentheses, the limit is the nearest that is known.
            (signed, times.next().unwrap_or(limit))
        }
    };
    let (signed, server) = (OffsetDateTime::from(signed), OffsetDateTime::from(server));
    Some((signed - server).whole_seconds())
}

fn time(text: &str) -> Option<SystemTime> {
    let basic = format_description!("[year][month][day]T[hour][minute][second]Z");
    let parsed = PrimitiveDateTime::parse(text, basic).map(PrimitiveDateTime::assume_utc);
    parsed.or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok().map(SystemTime::from)
}

/// `7 min 12 s`
fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
