//! Logging: text for people, JSON for machines, to stderr.

#[cfg(test)]
mod captured;
mod json;
pub mod metrics;
mod repeats;
mod sink;
#[cfg(feature = "otlp")]
pub mod spans;

use std::{
    error::Error,
    fmt::Write,
    io::{self, IsTerminal},
};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use json::Json;
use repeats::{Ending, Repeats};
use sink::Sink;
pub use sink::{Log, flush, open_log, say};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One line of text per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the logger needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shape of a line.
    pub format: LogFormat,
    /// A level (`info`) or a filter in the syntax of `RUST_LOG`.
    pub level: String,
    /// Whether text may be coloured; off when `NO_COLOR` is set or stderr is no terminal.
    pub colour: bool,
}

/// Marks the line that every request gets.
pub(crate) const ACCESS: &str = "countersign::access";

/// Marks the lines that say what is missing from the log.
const LOST: &str = "countersign::lost";

/// Starts logging for the whole process, to stderr through the queue of [`open_log`], else straight.
///
/// # Errors
/// When the level is no filter, or logging has been started before.
pub fn start(settings: &Settings) -> Result<(), Box<dyn Error + Send + Sync>> {
    match Sink::stderr() {
        Some(sink) => start_to(settings, sink),
        None => start_to(settings, io::stderr),
    }
}

fn start_to<W>(settings: &Settings, writer: W) -> Result<(), Box<dyn Error + Send + Sync>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&settings.level)?.and(filter_fn(is_discreet));
    let lines = fmt::layer().with_writer(writer);
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let lines = if json {
        lines.event_format(Repeats::new(Json, Ending::Json)).boxed()
    } else {
        let text = fmt::format().with_target(false);
        lines.with_ansi(settings.colour).event_format(Repeats::new(text, Ending::Text)).boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    Ok(())
}

/// Below info the AWS SDK logs what services answer, session tokens included; no filter may ask for that.
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
