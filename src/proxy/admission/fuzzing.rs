//! A door to the parser of hosts for fuzz targets.

use super::host::Authority;
use crate::downstream::listener::Endpoints;

/// An authority as it prints, and whether it leads to this machine alone.
#[must_use]
pub fn authority(text: &[u8]) -> Option<(String, bool)> {
    let authority = Authority::parse(text)?;
    Some((authority.to_string(), authority.is_local(&Endpoints::default())))
}

/// Whether pages of `origin` are pages of a proxy that is addressed as `text`.
#[must_use]
pub fn is_origin(text: &[u8], origin: &str) -> bool {
    Authority::parse(text).is_some_and(|authority| authority.is_origin(origin))
}
