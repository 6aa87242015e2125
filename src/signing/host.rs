//! The host of a request on the wire.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue,
    uri::{Authority, InvalidUri},
};

/// The value of `Host` or `:authority`. Both have the same bytes and are parsed once for all requests of a route, which
/// share them.
#[derive(Clone, Debug)]
pub struct WireHost(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    value: HeaderValue,
    authority: Authority,
}

impl WireHost {
    /// The host `text`, with a port if it has one.
    ///
    /// # Errors
    /// When it is no authority.
    pub fn new(text: &str) -> Result<Self, InvalidUri> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let authority = Authority::from_maybe_shared(bytes.clone())?;
        let value = HeaderValue::from_maybe_shared(bytes).expect("an authority is visible ASCII");
        Ok(Self(Arc::new(Forms { value, authority })))
    }

    /// The value of `Host`.
    #[must_use]
    pub fn as_value(&self) -> &HeaderValue {
        &self.0.value
    }

    /// The value of `:authority`.
    #[must_use]
    pub fn as_authority(&self) -> &Authority {
        &self.0.authority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_the_same_bytes() {
        for text in ["a.example", "A.example:8443", "[::1]:80"] {
            let host = WireHost::new(text).expect(text);
            assert_eq!((host.as_value().as_bytes(), host.as_authority().as_str()), (text.as_bytes(), text));
        }
    }

    #[test]
    fn what_is_no_authority_is_no_host() {
        for text in ["", "a b", "a/b", "caf\u{e9}", "a\nb"] {
            assert!(WireHost::new(text).is_err(), "{text}");
        }
    }
}
