//! The line of a WebSocket at its end.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use tracing_subscriber::fmt::format::Writer;

use super::{
    COLUMNS, COUNT_COLUMNS, Fields, INDENT, MIN_PATH_COLUMNS, Paint, Text, columns::fold_words,
    columns::printable, columns::shorten, duration, size,
};

/// Fields that the line shows by their place, or that stand below it.
const IN_LINE: [&str; 12] = [
    "request.path",
    "closed_by",
    "code",
    "meaning",
    "cause",
    "cure",
    "up.messages",
    "up.bytes",
    "down.messages",
    "down.bytes",
    "total_ms",
    "message",
];

impl Text {
    /// `12:25:17 WebSocket /chat closed 1000 by client 12 up 34 down 3.5 kB 2 min 10 s`, and what went wrong below it.
    pub(super) fn tunnel(&self, time: &str, fields: &Fields, mut writer: Writer<'_>) -> fmt::Result {
        let is_failure = fields.has("cause");
        let closed = match fields.text("code") {
            Some(code) => format!("closed {}", printable(code)),
            None => "closed".to_owned(),
        };
        let mut rest = format!(" by {}", printable(fields.text("closed_by").unwrap_or("-")));
        write!(rest, " {} up", fields.number("up.messages"))?;
        write!(rest, " {} down", fields.number("down.messages"))?;
        let bytes = fields.number("up.bytes").saturating_add(fields.number("down.bytes"));
        write!(rest, " {}", size(bytes))?;
        write!(rest, " {}", duration(Duration::from_millis(fields.number("total_ms"))))?;
        let others = INDENT + "WebSocket ".len() + " ".len() + closed.len() + rest.len();
        let left = (COLUMNS - COUNT_COLUMNS).saturating_sub(others).max(MIN_PATH_COLUMNS);
        let path = shorten(&printable(fields.text("request.path").unwrap_or("-")), left);
        let closed = self.painted(if is_failure { Paint::Yellow } else { Paint::Plain }, &closed);
        writeln!(writer, "{time} WebSocket {path} {closed}{rest}")?;
        let mut below = printable(fields.text("cause").unwrap_or_default());
        if let Some(cure) = fields.text("cure") {
            write!(below, "\ntip: {}", printable(cure))?;
        }
        if self.details {
            let mut details = String::new();
            fields.append_all_but(&IN_LINE, &mut details);
            write!(below, "\n{}", details.trim_start())?;
        }
        let below = below.trim_start();
        if !below.is_empty() {
            writeln!(writer, "{:INDENT$}{}", "", fold_words(below, INDENT, INDENT))?;
        }
        Ok(())
    }
}
