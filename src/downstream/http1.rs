//! HTTP/1.1 as clients send it: heads, bodies, and the phase of a connection.

mod chunked;
pub(super) mod filter;
pub(super) mod head;
mod input_stage;
mod linger;
pub(super) mod phase;
pub(super) mod refused_head;
pub(super) mod serialize;
