//! HTTP/1.1 as clients send it: heads, bodies, and whose move it is.

mod chunked;
pub(super) mod filter;
pub(super) mod head;
mod linger;
pub(super) mod phase;
pub(super) mod refused_head;
pub(super) mod serialize;
