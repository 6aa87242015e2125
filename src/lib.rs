//! A local reverse proxy that signs each request with AWS Signature Version 4 as an Amazon Cognito user.
//!
//! The binary is the product; the library exists so that tests and the sandbox use the same parts.
//! `ARCHITECTURE.md` has the code map and the walk of one request and of one refresh.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod endpoint;
pub mod forward_proxy;
pub mod listener;
pub mod metrics;
mod peer;
pub mod process;
pub mod proxy;
mod regular_file;
mod roots;
mod runtime_thread;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod server;
pub mod service_manager;
pub mod shutdown;
pub mod signing;
#[cfg(feature = "otlp")]
pub mod spans;
pub mod telemetry;
mod tls_fault;
