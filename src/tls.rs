//! What every TLS client of the process needs: trusted roots, and words for a failed handshake.

pub(crate) mod fault;
pub(crate) mod roots;
