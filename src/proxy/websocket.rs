//! WebSockets: what passes behind a handshake (RFC 6455).

pub(in crate::proxy) mod close_code;
pub(in crate::proxy) mod close_frame;
pub(in crate::proxy) mod frame_reader;
pub(in crate::proxy) mod tunnel_log;
