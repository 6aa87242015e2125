//! The cache of a signer: inputs and buffers that one request leaves for the next.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use aws_credential_types::Credentials;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::{
    Scope, SigningError,
    canonical::{self, Selected},
    key::{SigningKey, Timestamp, Token},
    percent::hex_digits,
    spare_headers::SpareHeaders,
};

/// How many bytes are allocated for header values at a time. The values of several requests share one allocation.
const BUFFER_SIZE: usize = 8 * 1024;

/// A lock, since `Signer` is shared; it is uncontended, because each thread has its own signer.
#[derive(Default)]
pub(super) struct SigningCache(Mutex<SigningState>);

/// The contents of a [`SigningCache`].
#[derive(Default)]
pub(super) struct SigningState {
    timestamp: Option<Timestamp>,
    key: Option<SigningKey>,
    token: Option<Token>,
    pub(super) canonical_request: Vec<u8>,
    pub(super) string_to_sign: Vec<u8>,
    pub(super) spare_headers: SpareHeaders,
    header_values: BytesMut,
}

/// The values that go into headers before signing.
pub(super) struct TimeAndToken<'a> {
    pub(super) timestamp: &'a Timestamp,
    pub(super) token: Option<&'a Token>,
}

impl SigningCache {
    pub(super) fn state(&self) -> MutexGuard<'_, SigningState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SigningState {
    /// Replaces what does not match these credentials or this time.
    ///
    /// # Errors
    /// When they cannot be written into headers.
    pub(super) fn prepare(
        &mut self,
        scope: &Scope,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<TimeAndToken<'_>, SigningError> {
        if !self.timestamp.as_ref().is_some_and(|timestamp| timestamp.matches(time)) {
            self.timestamp = Some(Timestamp::new(time).ok_or(SigningError::TimeOutOfRange)?);
        }
        let timestamp = self.timestamp.as_ref().ok_or(SigningError::TimeOutOfRange)?;
        if !self.key.as_ref().is_some_and(|key| key.matches(credentials, timestamp)) {
            self.key = None;
        }
        self.key.get_or_insert_with(|| SigningKey::new(scope, credentials, timestamp));
        let token = match credentials.session_token() {
            None => None,
            Some(text) => {
                if !self.token.as_ref().is_some_and(|token| token.matches(text)) {
                    self.token = Some(Token::new(text)?);
                }
                self.token.as_ref()
            }
        };
        Ok(TimeAndToken { timestamp, token })
    }

    /// Computes the string to sign for the canonical request in the buffer, and the value of `Authorization`.
    ///
    /// # Errors
    /// When nothing has been prepared.
    pub(super) fn authorize(
        &mut self,
        credentials: &Credentials,
        selected: &Selected<'_>,
    ) -> Result<Bytes, SigningError> {
        self.write_string_to_sign()?;
        let key = self.key.as_ref().ok_or(SigningError::TimeOutOfRange)?;
        let pieces = [
            key.algorithm(),
            " Credential=",
            credentials.access_key_id(),
            "/",
            key.scope(),
            ", SignedHeaders=",
        ];
        // 512 bytes for the names and the signature. A longer value only costs another allocation.
        if self.header_values.capacity() < pieces.iter().map(|piece| piece.len()).sum::<usize>() + 512 {
            self.header_values.reserve(BUFFER_SIZE);
        }
        pieces.iter().for_each(|piece| self.header_values.extend_from_slice(piece.as_bytes()));
        canonical::signed_names(selected)
            .for_each(|piece| self.header_values.extend_from_slice(piece.as_bytes()));
        self.header_values.extend_from_slice(b", Signature=");
        key.push_signature(&mut self.header_values, &self.string_to_sign);
        // Splits the value off without a copy and leaves the rest of the allocation to the next request.
        Ok(self.header_values.split().freeze())
    }

    /// Computes the string to sign for the canonical request in the buffer, and its signature.
    ///
    /// # Errors
    /// When nothing has been prepared.
    pub(super) fn signature(&mut self) -> Result<Bytes, SigningError> {
        self.write_string_to_sign()?;
        let (_, key) = self.prepared()?;
        let mut signature = BytesMut::new();
        key.push_signature(&mut signature, &self.string_to_sign);
        Ok(signature.freeze())
    }

    /// The time and the key of [`prepare`](Self::prepare).
    ///
    /// # Errors
    /// When nothing has been prepared.
    pub(super) fn prepared(&self) -> Result<(&Timestamp, &SigningKey), SigningError> {
        self.timestamp.as_ref().zip(self.key.as_ref()).ok_or(SigningError::TimeOutOfRange)
    }

    fn write_string_to_sign(&mut self) -> Result<(), SigningError> {
        let digest = hex_digits(&Sha256::digest(&self.canonical_request).into());
        let (timestamp, key) =
            self.timestamp.as_ref().zip(self.key.as_ref()).ok_or(SigningError::TimeOutOfRange)?;
        self.string_to_sign.clear();
        for line in [key.algorithm(), timestamp.date_time(), key.scope()] {
            self.string_to_sign.extend(line.as_bytes());
            self.string_to_sign.push(b'\n');
        }
        self.string_to_sign.extend(digest);
        Ok(())
    }
}

impl fmt::Debug for SigningCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningCache")
    }
}
