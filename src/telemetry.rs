//! Logging: text for people, JSON for machines, to stderr.

use std::{
    error::Error,
    fmt::Write,
    io::{self, IsTerminal},
};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

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

/// Starts logging for the whole process.
///
/// # Errors
/// When the level is no filter, or logging has been started before.
pub fn start(settings: &Settings) -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&settings.level)?.and(filter_fn(is_discreet));
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.with_ansi(settings.colour).boxed()
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
