//! Signing and sending, until there is an answer to pass on.

mod gateway_403;
mod recorded;
mod retry;
pub(super) mod send;

pub(super) use gateway_403::RefusalLogger;
