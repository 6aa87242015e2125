//! Clients that mean harm: malformed requests, smuggled ones, slow ones, large ones.
#![cfg(feature = "sandbox")]

mod mutations;
mod smuggling;
#[path = "../support/mod.rs"]
mod support;
mod uploads;
