//! The path of a request as it is logged, without a copy for each request.

use http::Uri;

use crate::downstream::RefusedHead;

/// The path of a request.
#[derive(Debug)]
pub(super) enum LoggedPath {
    Of(Uri),
    /// What can be read of a refused head.
    Refused(String),
}

impl LoggedPath {
    /// The path in `uri`, which belongs to the stand-in of the head if that was `refused`.
    pub(super) fn new(uri: &Uri, refused: Option<&RefusedHead>) -> Self {
        refused.map_or_else(|| Self::Of(uri.clone()), |head| Self::Refused(head.path.clone()))
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Of(uri) => uri.path(),
            Self::Refused(path) => path,
        }
    }
}
