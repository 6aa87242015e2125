//! A request on its way up: its route, what it becomes, its body.

pub(super) mod aws_chunked;
pub(super) mod body;
mod client_body;
mod payload_form;
pub(super) mod plan;
pub(super) mod route;
pub(super) mod streamed_body;
