//! One JSON object for each event: time, level, message and fields side by side.

use std::fmt;

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Writes events as lines of JSON, straight into the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(event.metadata().level().as_str())?;
        writer.write_str("\"")?;
        let mut fields = Fields { writer: writer.by_ref(), result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writer.write_str("}\n")
    }
}

struct Fields<'a> {
    writer: Writer<'a>,
    result: fmt::Result,
}

impl Fields<'_> {
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let written = self.result.and_then(|()| {
            // The names of fields are those of the code: none has a character to escape.
            self.writer.write_str(",\"")?;
            self.writer.write_str(field.name())?;
            self.writer.write_str("\":")?;
            value(&mut self.writer)
        });
        self.result = written;
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, |writer| write_text(writer, &format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |writer| write_text(writer, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |writer| writer.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |writer| write!(writer, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for what is not finite.
        self.field(field, |writer| {
            if value.is_finite() { write!(writer, "{value}") } else { writer.write_str("null") }
        });
    }
}

/// Writes a string of JSON; most need no escapes.
fn write_text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\' && byte != 0x7f;
    // Looked at to the end, without a way out on the way: many bytes at once.
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        writer.write_char('"')?;
        writer.write_str(text)?;
        return writer.write_char('"');
    }
    let text = serde_json::to_string(text).map_err(|_| fmt::Error)?;
    writer.write_str(&text.replace('\x7f', "\\u007f"))
}

#[cfg(test)]
mod tests {
    use tracing::info;
    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;
    use crate::telemetry::captured::Lines;

    #[test]
    fn every_event_is_one_object_whatever_its_fields_contain() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().event_format(Json).with_writer(move || writer.clone());
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
        assert!(time.as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 27), "{time}");
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
