//! The inspector on the admin listener.

pub mod page;
