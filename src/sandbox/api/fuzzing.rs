//! The verifier's canonical request, for fuzz targets.

use super::canonical;

/// The canonical path and the canonical query of a target, as the verifier computes them.
#[must_use]
pub fn canonical_target(path: &str, query: &str) -> (String, String) {
    (canonical::path(path), canonical::query(query))
}
