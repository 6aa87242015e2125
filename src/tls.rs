//! What all TLS clients of the process share: trusted roots, and descriptions of failures.

pub(crate) mod fault;
pub(crate) mod roots;
