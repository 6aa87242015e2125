//! A request on its way up: its route, what it becomes, its body.

pub(super) mod body;
mod payload_form;
pub(super) mod plan;
pub(super) mod route;
