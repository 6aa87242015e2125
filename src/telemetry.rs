//! Logging: text for people, JSON for machines, to stderr.

use std::{error::Error, fmt::Write};

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
