//! How signing fails.

use std::fmt;

/// Why a request could not be signed.
#[derive(Debug, PartialEq, Eq)]
pub enum SigningError {
    /// The access key id or the session token is not a header value.
    CredentialsNotPrintable,
    /// The time is before 1970 or after 9999.
    TimeOutOfRange,
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CredentialsNotPrintable => "the credentials contain bytes that a header cannot carry",
            Self::TimeOutOfRange => "the signing time is outside the years 1970 to 9999",
        })
    }
}

impl std::error::Error for SigningError {}
