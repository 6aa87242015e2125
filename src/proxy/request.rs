//! A request on its way up: its route, what it becomes, its body.

pub(super) mod aws_chunked;
pub(super) mod body;
pub(super) mod bucket_host;
mod client_body;
mod content_length;
mod destination;
mod payload_form;
pub(super) mod plan;
pub(super) mod route;
pub(super) mod streamed_body;
