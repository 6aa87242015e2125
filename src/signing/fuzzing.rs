//! Access to the canonical request for fuzz targets.

pub use crate::request_target::MAX_LENGTH;

use super::{
    canonical,
    target::{Encoding, WireTarget},
};

/// The canonical path and the canonical query of a target.
#[must_use]
pub fn canonical_target(target: &WireTarget, encoding: Encoding) -> (Vec<u8>, Vec<u8>) {
    let (mut path, mut query) = (Vec::new(), Vec::new());
    canonical::push_path(&mut path, target.path().as_bytes(), encoding);
    canonical::push_query(&mut query, target.query().unwrap_or_default().as_bytes());
    (path, query)
}
