//! Systems without systemd: no one is told.

pub(super) const IS_AVAILABLE: bool = false;

pub(super) fn ready(_: Option<&str>) {}

pub(super) fn reloading() {}

pub(super) fn stopping() {}
