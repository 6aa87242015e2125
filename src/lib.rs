//! A local reverse proxy that signs each request with AWS Signature Version 4 as an Amazon Cognito user.
//!
//! The binary is the product; the library exists so that tests and the sandbox use the same parts.
//! `ARCHITECTURE.md` has the code map and follows one request and one refresh through it.

pub mod admin;
pub mod app;
pub mod aws_http;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
mod cooperative_yield;
pub mod credentials;
pub mod downstream;
pub mod endpoint;
mod file_system;
pub mod forward_proxy;
pub mod inspector;
pub mod process;
pub mod proxy;
mod regular_file;
pub mod request_target;
mod rfc3339;
mod runtime_thread;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod service_manager;
pub mod shutdown;
pub mod signing;
pub mod telemetry;
mod tls;
pub mod upstream;
