//! One JSON object for each event: time, level, message and fields side by side.

use std::{
    cell::Cell,
    fmt::{self, Write},
};

use time::{OffsetDateTime, format_description::StaticFormatDescription, macros::format_description};
use tracing::{
    Event,
    field::{Field, Visit},
};
use tracing_subscriber::fmt::format::Writer;

use super::repeats::{FormatLine, LeftOut};

thread_local! {
    /// The buffer of the last line, for the next one. This buffer, the second below and two changes in `proxy` and
    /// `upstream` together took 4 % of the CPU of a small GET away.
    static BUFFER: Cell<String> = const { Cell::new(String::new()) };
    /// The second that was written last and its text, which many lines share.
    static SECOND: Cell<(i64, [u8; SECOND_LENGTH])> = const { Cell::new((0, [0; SECOND_LENGTH])) };
}

const TO_THE_SECOND: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].");

/// The length of a time in that format, in bytes.
const SECOND_LENGTH: usize = 20;

/// Writes events as lines of JSON.
///
/// A line is composed in a buffer and written at once: each piece of it would otherwise go through a `dyn Write`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json;

impl FormatLine for Json {
    fn format_line(&self, event: &Event<'_>, left_out: LeftOut, mut writer: Writer<'_>) -> fmt::Result {
        let mut line = BUFFER.take();
        line.push_str("{\"timestamp\":\"");
        push_time(&mut line)?;
        line.push_str("\",\"level\":\"");
        line.push_str(event.metadata().level().as_str());
        line.push('"');
        event.record(&mut Fields(&mut line));
        for (name, count) in left_out.fields() {
            write!(line, ",\"{name}\":{count}")?;
        }
        line.push_str("}\n");
        let written = writer.write_str(&line);
        line.clear();
        BUFFER.set(line);
        written
    }
}

/// Writes the time in UTC, to the microsecond.
fn push_time(line: &mut String) -> fmt::Result {
    let now = OffsetDateTime::now_utc();
    let (mut second, mut text) = SECOND.get();
    if second != now.unix_timestamp() {
        second = now.unix_timestamp();
        let formatted = now.format(TO_THE_SECOND).map_err(|_| fmt::Error)?;
        text = formatted.as_bytes().try_into().map_err(|_| fmt::Error)?;
        SECOND.set((second, text));
    }
    line.push_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?);
    write!(line, "{:06}Z", now.microsecond())
}

struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    /// Field names come from the code: none has a character to escape.
    fn name(&mut self, field: &Field) -> &mut String {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
        self.0
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let line = self.name(field);
        line.push('"');
        // The message of every event comes here, so that no text is made of it first. Strings take each piece.
        let _ = write!(Escaped(line), "{value:?}");
        line.push('"');
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        push_text(self.name(field), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field).push_str(itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field).push_str(itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field).push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinities and no NaN (RFC 8259 section 6).
        let text = if value.is_finite() { value.to_string() } else { "null".to_owned() };
        self.name(field).push_str(&text);
    }
}

/// Escapes what is written as a part of a string of JSON.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

fn push_text(line: &mut String, text: &str) {
    line.push('"');
    push_escaped(line, text);
    line.push('"');
}

/// Writes a part of a string of JSON; most need no escapes.
fn push_escaped(line: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\' && byte != 0x7f;
    // Without an early exit, the compiler checks many bytes at once.
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        line.push_str(text);
    } else {
        let quoted = serde_json::Value::from(text).to_string();
        line.push_str(&quoted[1..quoted.len() - 1].replace('\x7f', "\\u007f"));
    }
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;
    use tracing::info;
    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;
    use crate::telemetry::{captured::Lines, repeats::Repeats};

    #[test]
    fn every_event_is_one_json_object_for_any_field_content() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().event_format(Repeats::new(Json)).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            info!(
                text = "a \"b\" \\ \n \u{1b}[31m \u{7f} é",
                number = 7_u64,
                negative = -7_i64,
                part = 0.5,
                nothing = f64::NAN,
                yes = true,
                absent = None::<u64>,
                shown = %"x\ny",
                debugged = ?"z",
                "a message with \"quotes\""
            );
        });
        let told = lines.take();
        let [text] = &told[..] else { panic!("{told:?}") };
        assert!(!text.contains(['\u{1b}', '\u{7f}']), "{text}");
        let mut line: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let time = line["timestamp"].take();
        let time = time.as_str().expect("a text");
        assert!(time.ends_with('Z') && time.len() == 27, "{time}");
        let age = OffsetDateTime::now_utc() - OffsetDateTime::parse(time, &Rfc3339).expect("RFC 3339");
        assert!((0..60).contains(&age.whole_seconds()) && age.is_positive(), "{time}");
        let expected = serde_json::json!({
            "timestamp": null,
            "level": "INFO",
            "message": "a message with \"quotes\"",
            "text": "a \"b\" \\ \n \u{1b}[31m \u{7f} é",
            "number": 7,
            "negative": -7,
            "part": 0.5,
            "nothing": null,
            "yes": true,
            "shown": "x\ny",
            "debugged": "\"z\"",
        });
        assert_eq!(line, expected);
    }
}
