//! Log lines for people: a short line for each request, sentences for the rest, none wider than [`COLUMNS`].

mod columns;
mod tunnel;

use std::{
    fmt::{self, Write},
    sync::OnceLock,
    time::Duration,
};

use bytesize::ByteSize;
use time::{
    OffsetDateTime, UtcOffset, format_description::StaticFormatDescription, macros::format_description,
};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};
use tracing_subscriber::fmt::format::Writer;

use super::{
    ACCESS, READY, RecordedLine, TUNNEL,
    repeats::{FormatLine, LeftOut},
};
use columns::{COLUMNS, fold_words, printable, shorten};

/// Kept free at the end of a request's line, for the ` ×N` that counts its repeats.
const COUNT_COLUMNS: usize = 8;

/// A path is not shortened further than this, however long the rest of its line is.
const MIN_PATH_COLUMNS: usize = 8;

/// A longer method is shortened: clients make up methods.
const MAX_METHOD_COLUMNS: usize = 16;

/// Where a line goes on: below the first letter behind the time.
const INDENT: usize = 9;

/// How far the values of a block are from its left edge.
const BLOCK_INDENT: usize = INDENT + 11;

const CLOCK: StaticFormatDescription = format_description!("[hour]:[minute]:[second]");
const CLOCK_TO_THE_MINUTE: StaticFormatDescription = format_description!("[hour]:[minute]");

/// What the clock on the wall shows, against UTC.
static LOCAL_OFFSET: OnceLock<UtcOffset> = OnceLock::new();

/// Learns the local time zone. It has to be called before the process has a second thread: the C library reads the
/// zone from the environment, and `time` refuses to ask it while another thread could change that.
pub(super) fn learn_time_zone() {
    if let Ok(offset) = UtcOffset::current_local_offset() {
        // A second call finds the same.
        let _ = LOCAL_OFFSET.set(offset);
    }
}

fn local(time: OffsetDateTime) -> OffsetDateTime {
    time.to_offset(LOCAL_OFFSET.get().copied().unwrap_or(UtcOffset::UTC))
}

/// Writes events as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// Whether ANSI escapes may be used.
    pub(super) colour: bool,
    /// Whether every field is shown, ids included.
    pub(super) details: bool,
}

impl FormatLine for Text {
    fn format_line(&self, event: &Event<'_>, left_out: LeftOut, mut writer: Writer<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = self.painted(Paint::Dim, &formatted(local(OffsetDateTime::now_utc()), CLOCK)?);
        let target = event.metadata().target();
        if target == ACCESS {
            return self.request(&time, &fields, writer);
        }
        if target == TUNNEL {
            return self.tunnel(&time, &fields, writer);
        }
        if target == READY && !self.details {
            return self.ready(&time, &fields, writer);
        }
        let level = *event.metadata().level();
        // The lines of the proxy's own refusals have a meaning as well, and say themselves what happened.
        let is_of_gateway = fields.has("meaning") && !fields.has("detail") && !fields.has("error");
        let explains_request = is_of_gateway && fields.has("request.id") && !self.details;
        let (label, paint) = match level {
            _ if explains_request => ("", Paint::Yellow),
            Level::ERROR => ("error: ", Paint::Red),
            Level::WARN => ("warning: ", Paint::Yellow),
            Level::INFO => ("", Paint::Plain),
            Level::DEBUG => ("debug: ", Paint::Dim),
            Level::TRACE => ("trace: ", Paint::Dim),
        };
        let mut text = fields.message.lines().map(printable).collect::<Vec<_>>().join("\n");
        fields.append_sentence(&mut text);
        if self.details {
            fields.append_all_but(&Fields::IN_SENTENCE, &mut text);
        } else if level <= Level::WARN {
            fields.append_particulars(&mut text);
        }
        left_out.append_to(&mut text);
        // A detail has what to do in its own sentences.
        if let Some(cure) = fields.text("cure").filter(|_| !self.details && !fields.has("detail")) {
            text.push_str("\ntip: ");
            text.push_str(&printable(cure));
        }
        let lines = fold_words(&text, INDENT + label.len(), INDENT);
        // A request's line has gone before: what explains it stands below it.
        if explains_request {
            write!(writer, "{:INDENT$}", "")?;
        } else {
            write!(writer, "{time} {}", self.painted(paint, label))?;
        }
        writeln!(writer, "{lines}")
    }
}

impl Text {
    /// `12:25:17 GET /hello 200 3.5 kB 2 ms`
    fn request(&self, time: &str, fields: &Fields, mut writer: Writer<'_>) -> fmt::Result {
        let method = shorten(&printable(fields.text("request.method").unwrap_or("-")), MAX_METHOD_COLUMNS);
        let status = fields.text("status").unwrap_or("-");
        let mut rest = String::new();
        if let Some(code) = fields.text("error") {
            write!(rest, " {code}")?;
        }
        write!(rest, " {}", size(fields.number("bytes")))?;
        write!(rest, " {}", duration(Duration::from_millis(fields.number("total_ms"))))?;
        if let Some(reason) = fields.text("aborted") {
            write!(rest, " (aborted: {reason})")?;
        }
        let others = INDENT + method.len() + " ".len() + " ".len() + status.len() + rest.len();
        let left = (COLUMNS - COUNT_COLUMNS).saturating_sub(others).max(MIN_PATH_COLUMNS);
        let path = fields.text("request.path").filter(|path| !path.is_empty()).unwrap_or("-");
        let path = shorten(&printable(path), left);
        let status = self.painted(paint_of(status), status);
        write!(writer, "{time} {method} {path} {status}{rest}")?;
        if self.details {
            let mut details = String::new();
            fields.append_all_but(&Fields::IN_REQUEST_LINE, &mut details);
            write!(writer, "\n{:INDENT$}{}", "", fold_words(details.trim_start(), INDENT, INDENT))?;
        }
        writeln!(writer)
    }

    /// A request that another process has served, or the end of a WebSocket, and what explains it.
    pub(super) fn recorded(
        &self,
        time: OffsetDateTime,
        line: Option<RecordedLine>,
        explanation: Option<&str>,
    ) -> Result<String, fmt::Error> {
        let mut text = String::new();
        if let Some(line) = line {
            let time = self.painted(Paint::Dim, &formatted(local(time), CLOCK)?);
            let of = |values| Fields { values, ..Fields::default() };
            match line {
                RecordedLine::Request(values) => self.request(&time, &of(values), Writer::new(&mut text))?,
                RecordedLine::Tunnel(values) => self.tunnel(&time, &of(values), Writer::new(&mut text))?,
            }
        }
        if let Some(explanation) = explanation {
            let lines = explanation.lines().map(printable).collect::<Vec<_>>().join("\n");
            writeln!(text, "{:INDENT$}{}", "", fold_words(&lines, INDENT, INDENT))?;
        }
        Ok(text)
    }

    /// What a person needs once requests can be signed, as a block.
    fn ready(&self, time: &str, fields: &Fields, mut writer: Writer<'_>) -> fmt::Result {
        writeln!(writer, "{time} {}", self.painted(Paint::Green, "Ready."))?;
        let mut row = |name: &str, value: &str| {
            let value = fold_words(value, BLOCK_INDENT, BLOCK_INDENT);
            writeln!(writer, "{:INDENT$}{} {value}", "", self.painted(Paint::Dim, &format!("{name:10}")))
        };
        if let Some(url) = fields.text("url") {
            row("listening", &printable(url))?;
        }
        if let Some(upstream) = fields.text("upstream") {
            let service = fields.text("service").unwrap_or_default();
            let regions = match fields.text("region_set") {
                Some(set) => format!("region-set {set}"),
                None => fields.text("region").unwrap_or_default().to_owned(),
            };
            row("upstream", &printable(&format!("{upstream} ({service}, {regions})")))?;
        }
        if let Some(identity) = fields.text("identity") {
            row("signed in", &printable(identity))?;
        }
        if let Some(left) = fields.text("expires_in").and_then(|seconds| seconds.parse().ok()) {
            let end = local(OffsetDateTime::now_utc().saturating_add(time::Duration::seconds(left)));
            row("until", &format!("{}, renewed before then", formatted(end, CLOCK_TO_THE_MINUTE)?))?;
        }
        if let Some(admin) = fields.text("admin") {
            row("admin", &printable(admin))?;
        }
        if let Some(inspector) = fields.text("inspector") {
            row("inspector", &printable(inspector))?;
        }
        Ok(())
    }

    fn painted(&self, paint: Paint, text: &str) -> String {
        match paint.code().filter(|_| self.colour && !text.is_empty()) {
            Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            None => text.to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Paint {
    Plain,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
    Magenta,
}

impl Paint {
    /// The number that ECMA-48 gives it (section 8.3.117, SGR).
    fn code(self) -> Option<u8> {
        Some(match self {
            Self::Plain => return None,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Magenta => 35,
            Self::Cyan => 36,
        })
    }
}

fn paint_of(status: &str) -> Paint {
    match status.as_bytes() {
        [b'2', ..] => Paint::Green,
        [b'3', ..] => Paint::Cyan,
        [b'4', ..] => Paint::Yellow,
        [b'5', ..] => Paint::Red,
        _ => Paint::Magenta,
    }
}

fn formatted(time: OffsetDateTime, format: StaticFormatDescription) -> Result<String, fmt::Error> {
    time.format(format).map_err(|_| fmt::Error)
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// An event's message and its fields, as text.
#[derive(Default)]
struct Fields {
    message: String,
    values: Vec<(&'static str, String)>,
}

impl Fields {
    /// Fields that say why or where, in the order in which they read as one sentence.
    const IN_SENTENCE: [&'static str; 5] = ["url", "mistake", "detail", "error", "cause"];

    /// Fields that tell requests apart or that programs group by; a person reads the sentence.
    const FOR_PROGRAMS: [&'static str; 12] = [
        "request.id",
        "upstream.request_id",
        "trace_id",
        "reason",
        "meaning",
        "cure",
        "origin",
        "host",
        "region",
        "region_set",
        "service",
        "code",
    ];

    /// Fields that the line of a request shows by their place.
    const IN_REQUEST_LINE: [&'static str; 7] =
        ["request.method", "request.path", "status", "error", "bytes", "total_ms", "aborted"];

    fn text(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    fn append_sentence(&self, text: &mut String) {
        // A detail begins with the cause.
        let is_said = |name: &&&str| **name == "cause" && self.has("detail");
        for part in Self::IN_SENTENCE.iter().filter(|name| !is_said(name)).filter_map(|name| self.text(name))
        {
            text.push_str(": ");
            text.push_str(&printable(part));
        }
    }

    /// What else a warning says: how many, which file, since when.
    fn append_particulars(&self, text: &mut String) {
        let shown = |name: &&str| !Self::IN_SENTENCE.contains(name) && !Self::FOR_PROGRAMS.contains(name);
        let particulars: Vec<String> = self
            .values
            .iter()
            .filter(|(name, _)| shown(name))
            .map(|(name, value)| format!("{}: {}", name.replace(['_', '.'], " "), printable(value)))
            .collect();
        if !particulars.is_empty() {
            text.push_str(&format!(" ({})", particulars.join(", ")));
        }
    }

    fn append_all_but(&self, others: &[&str], text: &mut String) {
        for (name, value) in self.values.iter().filter(|(name, _)| !others.contains(name)) {
            text.push_str(&format!(" {name}={}", printable(value)));
        }
    }

    fn record(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.values.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests;
