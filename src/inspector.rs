//! The inspector: what the last requests were, kept in memory for a person who asks why one failed.
//!
//! Nothing here knows how a request is served: the data path holds a [`Recording`] of the current exchange and reports
//! what happens. A report is a copy of what the request has at hand, which no viewer can see. The owner of the
//! [`Recorder`] runs [`Recorder::redact_until`], which takes the secrets out of reports within a second, and wipes them;
//! a viewer's question does so first. What is kept beyond that is without secrets.

mod attempt;
mod body;
mod command_lines;
mod feed;
mod har;
mod messages;
mod pending;
mod raw;
mod record;
mod recorder;
mod recording;
mod redaction;
mod replay;
mod ring;
mod summary;
mod update;

pub use attempt::{Destination, SignedBy};
pub use command_lines::{Client, is_unprintable};
pub use feed::{Feed, Hello};
pub use har::{Har, har};
pub use messages::{TunnelEnd, WebSocketMessage};
pub use record::{Begin, Ending, Phase};
pub use recorder::Recorder;
pub use recording::{Course, Recording, RequestBody, Signed};
pub use replay::{AnnouncedReplay, RecordedRequest};

/// How many exchanges are kept at most.
pub const MAX_EXCHANGES: usize = 500;

/// How much memory all kept exchanges take at most, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How much of a body is kept at most, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// What is kept of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything except for bodies.
    Heads,
    /// The beginning of text bodies as well.
    Bodies,
}

impl Mode {
    /// The name in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Bodies => "bodies",
        }
    }
}

/// What is recorded, and what is taken away from it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Nothing is recorded without one.
    pub mode: Option<Mode>,
    /// Further names of headers, query parameters and fields of bodies whose values are secret.
    pub redact: Vec<String>,
}

#[cfg(test)]
mod tests;
