//! Answers on the way down.

pub(super) mod body;
mod cookie;
mod cors;
mod documents;
mod location;
pub(super) mod proxy_status;
mod rewrite;

pub(super) use cors::preflight;
pub(super) use rewrite::{protect, rewrite};
