//! Logging: text for people, JSON for machines, to stderr.

use std::{
    error::Error,
    fmt::Write,
    io::{self, IsTerminal},
};

use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::try_new(&settings.level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        lines.with_ansi(settings.colour).try_init()
    }
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
