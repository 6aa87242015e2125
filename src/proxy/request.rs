//! A request on its way up: its route, what it becomes, its body.

pub(super) mod body;
pub(super) mod bucket_host;
mod destination;
mod payload_form;
pub(super) mod plan;
pub(super) mod route;
