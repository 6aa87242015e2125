//! The token that clients present.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Refusal;
use crate::proxy::headers::X_COUNTERSIGN_TOKEN;

/// The digest of the token. Digests have one length, so that a comparison does not reveal the token's.
pub struct Token([u8; 32]);

impl Token {
    /// Takes the digest of `token`.
    #[must_use]
    pub fn new(token: &SecretString) -> Self {
        Self(Sha256::digest(token.expose_secret()).into())
    }

    /// Looks for the token in `x-countersign-token` and `authorization`.
    ///
    /// # Errors
    /// When it is in neither.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let header = headers.get(X_COUNTERSIGN_TOKEN).is_some_and(|value| self.is(value.as_bytes()));
        let authorization =
            headers.get(header::AUTHORIZATION).is_some_and(|value| self.is_in(value.as_bytes()));
        if header | authorization { Ok(()) } else { Err(Refusal::TokenRequired) }
    }

    fn is_in(&self, authorization: &[u8]) -> bool {
        let Some(at) = authorization.iter().position(|&byte| byte == b' ') else { return false };
        let (scheme, rest) = (&authorization[..at], authorization[at..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return self.is(rest);
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return false;
        }
        let Ok(pair) = BASE64_STANDARD.decode(rest).map(Zeroizing::new) else { return false };
        pair.iter().position(|&byte| byte == b':').is_some_and(|colon| self.is(&pair[colon + 1..]))
    }

    fn is(&self, presented: &[u8]) -> bool {
        Sha256::digest(presented).as_slice().ct_eq(&self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
