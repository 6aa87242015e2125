//! Signing and sending, until there is an answer to pass on.

mod gateway_403;
mod recorded;
pub(super) mod refusal_logger;
mod retry;
pub(super) mod send;
