//! The inspector on the admin listener.

mod page;

use http::HeaderValue;

/// The page, and the value of its header `Content-Security-Policy`.
#[must_use]
pub fn page() -> (&'static str, HeaderValue) {
    (page::DOCUMENT.as_str(), page::POLICY.clone())
}
