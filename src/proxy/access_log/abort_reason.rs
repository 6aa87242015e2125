//! Why an exchange ended before its whole answer was sent.

use crate::{
    downstream::{ConnectionEnd, EndedBy},
    proxy::response::body::BodyError,
    upstream::{Breakage, BrokenBody},
};

/// The reason, one of few: it is a value in the log that people group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AbortReason {
    /// The client closed or reset its connection.
    Client,
    /// The upstream reset the connection or the stream.
    UpstreamReset,
    /// The upstream closed the connection before the end of the body.
    UpstreamClosed,
    /// What the upstream sent is not framed as HTTP.
    UpstreamProtocol,
    /// The upstream sent nothing for `idle-timeout`.
    Idle,
    /// The client took nothing for `idle-timeout`.
    Limit,
    /// `drain-timeout` elapsed.
    Shutdown,
}

impl AbortReason {
    /// The value in the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::UpstreamReset => "upstream-reset",
            Self::UpstreamClosed => "upstream-closed",
            Self::UpstreamProtocol => "upstream-protocol",
            Self::Idle => "idle",
            Self::Limit => "limit",
            Self::Shutdown => "shutdown",
        }
    }
}

impl From<&BodyError> for AbortReason {
    fn from(error: &BodyError) -> Self {
        match error {
            BodyError::Idle => Self::Idle,
            BodyError::Upstream(BrokenBody { breakage, .. }) => match breakage {
                Breakage::Reset => Self::UpstreamReset,
                Breakage::Closed => Self::UpstreamClosed,
                Breakage::Malformed => Self::UpstreamProtocol,
            },
        }
    }
}

impl From<&ConnectionEnd> for AbortReason {
    fn from(end: &ConnectionEnd) -> Self {
        match end.ended_by() {
            EndedBy::Client => Self::Client,
            EndedBy::WriteTimeout => Self::Limit,
            EndedBy::Server => Self::Shutdown,
        }
    }
}
