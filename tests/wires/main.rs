//! The wire towards the upstream: connections that are kept, bodies that break off, and upstreams that do everything
//! they should not.
#![cfg(feature = "sandbox")]

mod bodies;
mod connections;
mod matrix;
mod random;
mod separation;
#[path = "../support/mod.rs"]
mod support;
mod uploads;
mod upstream;
