//! The log on stderr: text for people, JSON for programs; metrics and spans beside it.

#[cfg(test)]
mod captured;
mod folding;
mod json;
pub mod metrics;
mod repeats;
mod sink;
#[cfg(feature = "otlp")]
pub mod spans;
mod text;

use std::{
    error::Error,
    fmt::Write,
    io::{self, IsTerminal},
    sync::OnceLock,
};

use time::OffsetDateTime;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use json::Json;
use repeats::Repeats;
use sink::Sink;
pub use sink::{Log, flush, open_log, say};
use text::Text;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Text for people: a short line per request, sentences for the rest.
    Text,
    /// One JSON object per line.
    Json,
}

/// The shape of the log and what is in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shape of a line.
    pub format: LogFormat,
    /// A level (`info`) or a filter in the syntax of `RUST_LOG`.
    pub level: String,
    /// Whether text may be coloured; off when `NO_COLOR` is set or stderr is no terminal.
    pub colour: bool,
}

/// The target of the line that every request gets.
pub(crate) const ACCESS: &str = "countersign::access";

/// The target of the line that every WebSocket gets at its end.
pub(crate) const TUNNEL: &str = "countersign::tunnel";

/// The target of the line that says that requests can be signed. At a terminal it is a block.
pub(crate) const READY: &str = "countersign::ready";

/// The target of the lines that report lost lines.
const LOST: &str = "countersign::lost";

/// Whether the log is text on a terminal, so that what is in it goes to a person and into no file.
static IS_FOR_A_PERSON: OnceLock<bool> = OnceLock::new();

/// Whether the log is text on a terminal.
#[must_use]
pub fn is_for_a_person() -> bool {
    IS_FOR_A_PERSON.get().copied().unwrap_or(false)
}

/// A line of another process's log, as its fields.
#[derive(Clone, Debug)]
pub enum RecordedLine {
    /// Of a request.
    Request(Vec<(&'static str, String)>),
    /// Of the end of a WebSocket.
    Tunnel(Vec<(&'static str, String)>),
}

/// The lines of a request that another process has served, as its log has them: the `line` itself, and what explains
/// it. Either may have been printed before.
#[must_use]
pub fn recorded_request(
    colour: bool,
    time: OffsetDateTime,
    line: Option<RecordedLine>,
    explanation: Option<&str>,
) -> String {
    Text { colour, details: false }.recorded(time, line, explanation).expect("a String takes everything")
}

/// Starts logging for the whole process, to stderr: through the queue of [`open_log`] if it is open, else directly.
///
/// # Errors
/// When the level is no filter, or logging has been started before.
pub fn start(settings: &Settings) -> Result<(), Box<dyn Error + Send + Sync>> {
    let is_terminal = io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Json => false,
        LogFormat::Text => true,
        LogFormat::Auto => is_terminal,
    };
    // A second start fails below.
    let _ = IS_FOR_A_PERSON.set(text && is_terminal);
    let level = EnvFilter::try_new(&settings.level)?;
    let details = level.max_level_hint().is_none_or(|level| level > LevelFilter::INFO);
    let text = text.then_some(Text { colour: settings.colour, details });
    match Sink::stderr() {
        // A person who asks for details wants each line; a file is read by programs that count lines.
        Some(sink) if is_terminal && text.is_some() && !details => start_to(level, text, sink.folding()),
        Some(sink) => start_to(level, text, sink),
        None => start_to(level, text, io::stderr),
    }
}

fn start_to<W>(level: EnvFilter, text: Option<Text>, writer: W) -> Result<(), Box<dyn Error + Send + Sync>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer);
    let lines = match text {
        None => lines.event_format(Repeats::new(Json)).boxed(),
        Some(text) => lines.event_format(Repeats::new(text)).boxed(),
    };
    let filter = level.and(filter_fn(is_discreet));
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    Ok(())
}

/// Below info, the AWS SDK logs the answers of services, session tokens included: no filter lets these through.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !metadata.target().starts_with("aws_")
}

/// The causes of an error, outermost first, in one line.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let separator = if text.is_empty() { "" } else { ": " };
        write!(text, "{separator}{error}").expect("a String takes everything");
        cause = error.source();
    }
    text
}
