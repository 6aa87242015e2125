//! How a response body can break off.

use std::{error::Error, fmt, io};

/// A body that did not come to its end.
#[derive(Debug)]
pub struct BrokenBody {
    /// What broke it.
    pub breakage: Breakage,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

/// What an upstream does to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// It reset the connection or the stream.
    Reset,
    /// It closed the connection before the end of the body, or without the close_notify of TLS that marks the end.
    Closed,
    /// What it sent is not framed as HTTP.
    Malformed,
}

impl BrokenBody {
    /// The error of a body that is polled again after an error.
    pub(super) fn repeated() -> Self {
        Self { breakage: Breakage::Closed, source: "the body failed before".into() }
    }
}

impl From<hyper::Error> for BrokenBody {
    fn from(error: hyper::Error) -> Self {
        Self { breakage: of_io(&error).unwrap_or(Breakage::Closed), source: error.into() }
    }
}

impl From<h2::Error> for BrokenBody {
    fn from(error: h2::Error) -> Self {
        let breakage = if error.is_library() {
            Breakage::Malformed
        } else if error.is_reset() {
            Breakage::Reset
        } else {
            error.get_io().map_or(Breakage::Closed, |error| of_io_kind(error.kind()))
        };
        Self { breakage, source: error.into() }
    }
}

fn of_io(error: &hyper::Error) -> Option<Breakage> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(level) = cause {
        if let Some(error) = level.downcast_ref::<io::Error>() {
            return Some(of_io_kind(error.kind()));
        }
        cause = level.source();
    }
    None
}

fn of_io_kind(kind: io::ErrorKind) -> Breakage {
    match kind {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Breakage::Malformed,
        // rustls reports UnexpectedEof for a connection that closes without close_notify.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => Breakage::Closed,
        _ => Breakage::Reset,
    }
}

impl fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.breakage {
            Breakage::Reset => "the upstream reset the connection or stream in the middle of a body",
            Breakage::Closed => "the upstream closed the connection in the middle of a body",
            Breakage::Malformed => "the upstream sent a malformed body",
        })
    }
}

impl Error for BrokenBody {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
