//! Warnings that repeat: the first is written, those that follow within ten seconds are counted, and the next one
//! after that says how many they were. One place in the code writes a bounded number of different ones meanwhile.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    hash::{DefaultHasher, Hasher},
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::LOST;

/// How long a warning speaks for those that are the same.
const WINDOW: Duration = Duration::from_secs(10);

/// Different warnings of one place in the code that are written within the window; clients can make up as many as they
/// like. Memory is bounded, too: the code has a fixed number of places.
const MAX_KINDS: usize = 64;

/// Formats events, but not warnings that were written a moment ago.
///
/// Two warnings are the same when they come from one place in the code and have the same fields, except those that tell
/// requests apart. Errors, the lines of requests and reports of lost lines are written every time.
#[derive(Debug)]
pub(super) struct Repeats<F> {
    inner: F,
    seen: Mutex<HashMap<Identifier, Place>>,
}

/// Writes one event, and how many warnings it stands for.
pub(super) trait FormatLine {
    /// Writes the line, its end included.
    ///
    /// # Errors
    /// When the writer fails.
    fn format_line(&self, event: &Event<'_>, left_out: LeftOut, writer: Writer<'_>) -> fmt::Result;
}

/// One place in the code that warns.
#[derive(Debug, Default)]
struct Place {
    kinds: Vec<Kind>,
    /// Warnings that were left out and are of no kind that is remembered.
    others: u64,
}

/// A warning with its fields.
#[derive(Debug)]
struct Kind {
    key: u64,
    written: Instant,
    since: u64,
}

/// How many warnings of a place were left out since the last that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Those that are the same as the one that is written.
    same: u64,
    /// Those that differ from it and were too many to remember.
    others: u64,
}

impl LeftOut {
    /// The counts as fields, those that are zero left out.
    pub(super) fn fields(self) -> impl Iterator<Item = (&'static str, u64)> {
        [("repeated", self.same), ("others_left_out", self.others)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
    }

    /// Appends the counts for a person: ` ×3` for three of the same, this one included.
    pub(super) fn append_to(self, text: &mut String) {
        if self.same > 0 {
            text.push_str(&format!(" ×{}", self.same + 1));
        }
        if self.others > 0 {
            text.push_str(&format!(" ({} others left out)", self.others));
        }
    }
}

impl<F> Repeats<F> {
    pub(super) fn new(inner: F) -> Self {
        Self { inner, seen: Mutex::default() }
    }

    /// How many were left out before; `None` when this one is to be left out too.
    fn admit(&self, event: &Event<'_>) -> Option<LeftOut> {
        if *event.metadata().level() != Level::WARN || event.metadata().target() == LOST {
            return Some(LeftOut::default());
        }
        let (key, now) = (key(event), Instant::now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(event.metadata().callsite()).or_default().admit(key, now)
    }
}

impl Place {
    fn admit(&mut self, key: u64, now: Instant) -> Option<LeftOut> {
        let is_over = |kind: &Kind| now.duration_since(kind.written) >= WINDOW;
        let mut same = 0;
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.key == key) {
            if !is_over(kind) {
                kind.since += 1;
                return None;
            }
            kind.written = now;
            same = mem::take(&mut kind.since);
        } else {
            let new = Kind { key, written: now, since: 0 };
            if self.kinds.len() < MAX_KINDS {
                self.kinds.push(new);
            } else if let Some(oldest) =
                self.kinds.iter_mut().min_by_key(|kind| kind.written).filter(|kind| is_over(kind))
            {
                self.others += mem::replace(oldest, new).since;
            } else {
                self.others += 1;
                return None;
            }
        }
        Some(LeftOut { same, others: mem::take(&mut self.others) })
    }
}

impl<S, N, F> FormatEvent<S, N> for Repeats<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatLine,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.admit(event) {
            Some(left_out) => self.inner.format_line(event, left_out, writer),
            None => Ok(()),
        }
    }
}

/// What is the same for warnings that repeat each other.
fn key(event: &Event<'_>) -> u64 {
    let mut fields = Fields(DefaultHasher::new());
    event.record(&mut fields);
    fields.0.finish()
}

struct Fields(DefaultHasher);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // These differ from one request, or from one moment, to the next; `detail` names the origin or the host where
        // it is the cause.
        let varies = matches!(name, "upstream.request_id" | "valid_for" | "origin" | "host");
        if !name.starts_with("request.") && !varies {
            write!(self, "{name}={value:?};").expect("a hasher takes everything");
        }
    }
}

impl Write for Fields {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use tracing::{error, info, subscriber::DefaultGuard, warn};
    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;
    use crate::telemetry::{captured::Lines, json::Json, text::Text};

    fn json() -> (Lines, DefaultGuard) {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().event_format(Repeats::new(Json)).with_writer(move || writer.clone());
        (lines, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
    }

    fn no_answer(id: u64, error: &str) {
        warn!(request.id = id, error, "no answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_that_repeats_is_written_once_in_ten_seconds_and_the_rest_counted() {
        let (lines, _guard) = json();
        for id in 0..5 {
            no_answer(id, "refused");
        }
        assert_eq!(lines.take().len(), 1);
        advance(WINDOW).await;
        no_answer(5, "refused");
        no_answer(6, "refused");
        let written = lines.take();
        assert_eq!(written.len(), 1, "{written:?}");
        let line: serde_json::Value = serde_json::from_str(&written[0]).expect("JSON");
        assert_eq!((&line["repeated"], &line["request.id"]), (&4.into(), &5.into()), "{line}");
        advance(WINDOW * 2).await;
        no_answer(7, "refused");
        assert!(lines.take()[0].contains("\"repeated\":1}"));
        advance(WINDOW).await;
        no_answer(8, "refused");
        assert!(!lines.take()[0].contains("repeated"), "nothing was left out");
    }

    #[tokio::test(start_paused = true)]
    async fn only_equal_warnings_are_folded() {
        let (lines, _guard) = json();
        no_answer(1, "refused");
        no_answer(1, "timed out");
        warn!(request.id = 1, error = "refused", "no answer");
        assert_eq!(lines.take().len(), 3, "other fields, and another place");
        for _ in 0..3 {
            error!("broken");
            info!(target: crate::telemetry::ACCESS, "request");
        }
        assert_eq!(lines.take().len(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn different_warnings_of_one_place_are_bounded_and_counted_for_as_long_as_they_come() {
        let (lines, _guard) = json();
        for round in 0..3 {
            for number in 0..5_000 {
                no_answer(0, &format!("{round} {number}"));
            }
            let written = lines.take();
            assert_eq!(written.len(), MAX_KINDS, "in round {round}");
            if round > 0 {
                let omitted = format!("\"others_left_out\":{}", 5_000 - MAX_KINDS);
                assert!(written[0].contains(&omitted), "{}", written[0]);
            }
            warn!(round, "another place");
            assert_eq!(lines.take().len(), 1, "one place does not silence another");
            advance(WINDOW).await;
        }
        no_answer(0, "new");
        no_answer(0, "new");
        assert_eq!(lines.take().len(), 1, "what repeats is still left out");
    }

    #[test]
    fn counts_of_an_evicted_warning_are_written() {
        let (mut place, start) = (Place::default(), Instant::now());
        for key in 0..MAX_KINDS as u64 {
            assert_eq!(place.admit(key, start), Some(LeftOut::default()));
        }
        assert_eq!(place.admit(0, start), None);
        assert_eq!(place.admit(u64::MAX, start), None);
        let left_out = place.admit(u64::MAX, start + WINDOW).expect("the oldest has made room");
        assert_eq!(left_out, LeftOut { same: 0, others: 2 });
        assert_eq!(place.kinds.len(), MAX_KINDS);
    }

    #[tokio::test(start_paused = true)]
    async fn text_has_the_count_at_the_end() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer()
            .event_format(Repeats::new(Text { colour: false, details: false }))
            .with_writer(move || writer.clone());
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        no_answer(1, "refused");
        no_answer(2, "refused");
        advance(WINDOW).await;
        no_answer(3, "refused");
        let written = lines.take();
        assert_eq!(written.len(), 2, "{written:?}");
        assert!(written[1].ends_with("warning: no answer: refused ×2"), "{written:?}");
    }
}
