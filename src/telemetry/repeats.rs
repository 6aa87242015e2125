//! Warnings that repeat: the first is written, those that follow within ten seconds are counted, and the next one
//! after that says how many they were.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    hash::{DefaultHasher, Hasher},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// How long a warning speaks for those that are the same.
const WINDOW: Duration = Duration::from_secs(10);

/// Different warnings that are remembered; more are written as they come.
const MOST: usize = 1_024;

/// Formats events, but not warnings that were written a moment ago.
///
/// The same are those of one place in the code with the same fields, but for what tells requests apart. Errors and
/// the lines of requests are written every time.
#[derive(Debug)]
pub(super) struct Repeats<F> {
    inner: F,
    /// How a line ends that is to have one more field.
    ending: Ending,
    seen: Mutex<HashMap<u64, Seen>>,
}

/// Where the count stands in a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// Before the brace.
    Json,
    /// Last.
    Text,
}

#[derive(Debug)]
struct Seen {
    written: Instant,
    since: u64,
}

impl<F> Repeats<F> {
    pub(super) fn new(inner: F, ending: Ending) -> Self {
        Self { inner, ending, seen: Mutex::default() }
    }

    /// How many were left out since the last that was written; `None` when this one is to be left out too.
    fn admit(&self, event: &Event<'_>) -> Option<u64> {
        if *event.metadata().level() != Level::WARN {
            return Some(0);
        }
        let (key, now) = (key(event), Instant::now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.get_mut(&key) {
            if now.duration_since(seen.written) < WINDOW {
                seen.since += 1;
                return None;
            }
            seen.written = now;
            return Some(std::mem::take(&mut seen.since));
        }
        if seen.len() >= MOST {
            seen.retain(|_, seen| now.duration_since(seen.written) < WINDOW || seen.since > 0);
        }
        if seen.len() < MOST {
            seen.insert(key, Seen { written: now, since: 0 });
        }
        Some(0)
    }
}

impl<S, N, F> FormatEvent<S, N> for Repeats<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.admit(event) {
            None => Ok(()),
            Some(0) => self.inner.format_event(context, writer, event),
            Some(repeated) => {
                let mut line = String::new();
                self.inner.format_event(context, Writer::new(&mut line), event)?;
                let line = line.trim_end_matches('\n');
                match self.ending {
                    Ending::Json => {
                        let fields = line.strip_suffix('}').unwrap_or(line);
                        writeln!(writer, "{fields},\"repeated\":{repeated}}}")
                    }
                    Ending::Text => writeln!(writer, "{line} repeated={repeated}"),
                }
            }
        }
    }
}

/// What is the same for warnings that repeat each other.
fn key(event: &Event<'_>) -> u64 {
    let mut fields = Fields(DefaultHasher::new());
    std::hash::Hash::hash(&event.metadata().callsite(), &mut fields.0);
    event.record(&mut fields);
    fields.0.finish()
}

struct Fields(DefaultHasher);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // What differs from one request, or from one moment, to the next.
        if !name.starts_with("request.") && !matches!(name, "upstream.request_id" | "valid_for") {
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
    use tracing_subscriber::{
        fmt::{self, format},
        layer::SubscriberExt,
    };

    use super::*;
    use crate::telemetry::{captured::Lines, json::Json};

    fn json() -> (Lines, DefaultGuard) {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer =
            fmt::layer().event_format(Repeats::new(Json, Ending::Json)).with_writer(move || writer.clone());
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
        let told = lines.take();
        assert_eq!(told.len(), 1, "{told:?}");
        let line: serde_json::Value = serde_json::from_str(&told[0]).expect("JSON");
        assert_eq!((&line["repeated"], &line["request.id"]), (&4.into(), &5.into()), "{line}");
        advance(WINDOW * 2).await;
        no_answer(7, "refused");
        assert!(lines.take()[0].contains("\"repeated\":1}"));
        advance(WINDOW).await;
        no_answer(8, "refused");
        assert!(!lines.take()[0].contains("repeated"), "nothing was left out");
    }

    #[tokio::test(start_paused = true)]
    async fn what_differs_and_what_is_no_warning_is_always_written() {
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
    async fn more_kinds_of_warnings_than_are_remembered_are_written() {
        let (lines, _guard) = json();
        for number in 0..MOST + 10 {
            no_answer(0, &number.to_string());
        }
        assert_eq!(lines.take().len(), MOST + 10);
        advance(WINDOW).await;
        no_answer(0, "new");
        no_answer(0, "new");
        assert_eq!(lines.take().len(), 1, "old ones have made room");
    }

    #[tokio::test(start_paused = true)]
    async fn text_has_the_count_at_the_end() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer()
            .event_format(Repeats::new(format().with_target(false), Ending::Text))
            .with_writer(move || writer.clone());
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        no_answer(1, "refused");
        no_answer(2, "refused");
        advance(WINDOW).await;
        no_answer(3, "refused");
        let told = lines.take();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].ends_with(" repeated=1") && told[1].contains("no answer"), "{told:?}");
    }
}
