//! Where in its input a client is: in a head, in a body, or past the point where anything can be a request.

use super::chunked::{Chunked, Progress};

/// Which part of the client's input comes next.
pub(super) enum Stage {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// The framing of the body is broken. hyper would tolerate some of that and parse what follows as a request, so
    /// that for hyper the body ends here.
    Broken,
    /// A head was refused. Nothing that follows it is a request.
    Refused,
    /// A head asks for a WebSocket. What follows it is held until the answer is decided, and is never a request: bytes
    /// that are HTTP to one parser and a WebSocket to another are what request smuggling needs (CVE-2026-2833).
    Upgrade,
}

impl Stage {
    /// How many of these bytes belong to the body. Moves on to the next head when the body ends within them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> usize {
        let progress = match self {
            Self::Length(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= own as u64;
                if *left == 0 { Progress::Ended(own) } else { Progress::Inside }
            }
            Self::Chunked(chunked) => chunked.advance(bytes),
            Self::Head | Self::Broken | Self::Refused | Self::Upgrade => return 0,
        };
        match progress {
            Progress::Inside => bytes.len(),
            Progress::Ended(own) => {
                *self = Self::Head;
                own
            }
            Progress::Broken => {
                *self = Self::Broken;
                0
            }
        }
    }

    pub(super) fn is_in_body(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked(_))
    }
}
