//! How connections to the upstream come about: names, addresses, forward proxies, TLS.
#![cfg(feature = "sandbox")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod circles;
mod forward_proxies;
mod lifetime;
mod names;
mod tls_faults;

use support::http::problem;
