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

/// Status, code and Proxy-Status error, as `Answer::problem` gives them.
fn problem(status: u16, code: &str, error: &str) -> (u16, String, String) {
    (status, code.to_owned(), error.to_owned())
}
