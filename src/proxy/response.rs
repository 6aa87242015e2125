//! Answers on the way down.

mod active_content;
pub(super) mod body;
mod cookie;
mod cors;
mod location;
pub(super) mod proxy_status;
mod rewrite;

pub(super) use cors::preflight;
pub(super) use rewrite::{protect, rewrite};
