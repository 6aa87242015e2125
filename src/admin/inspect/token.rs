//! The token of the inspector's page.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use crate::proxy::Token;

/// A random token, made when the proxy starts and known to nobody before.
pub struct InspectorToken {
    text: SecretString,
    digest: Token,
}

impl InspectorToken {
    /// A new token of 32 random bytes.
    #[must_use]
    pub fn random() -> Self {
        let text = SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        Self { digest: Token::new(&text), text }
    }

    /// Whether a request presents it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        self.digest.check(headers).is_ok()
    }

    /// The text, for the fragment of the page's URL.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for InspectorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InspectorToken")
    }
}
