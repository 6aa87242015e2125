//! The operations of the user pool API that a sign-in uses.

use std::fmt;

/// A call of the user pool API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// InitiateAuth with a password or towards a challenge.
    InitiateAuth,
    /// InitiateAuth with REFRESH_TOKEN_AUTH.
    RefreshTokenAuth,
    /// RespondToAuthChallenge.
    RespondToAuthChallenge,
    /// GetTokensFromRefreshToken.
    GetTokensFromRefreshToken,
    /// RevokeToken.
    RevokeToken,
    /// ConfirmDevice.
    ConfirmDevice,
    /// AssociateSoftwareToken.
    AssociateSoftwareToken,
    /// VerifySoftwareToken.
    VerifySoftwareToken,
}

impl Operation {
    /// Whether the call exchanges a refresh token, so that its refusal may mean that the token is no longer good.
    pub(super) fn renews_tokens(self) -> bool {
        matches!(self, Self::RefreshTokenAuth | Self::GetTokensFromRefreshToken)
    }

    /// The name in the API reference.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InitiateAuth | Self::RefreshTokenAuth => "InitiateAuth",
            Self::RespondToAuthChallenge => "RespondToAuthChallenge",
            Self::GetTokensFromRefreshToken => "GetTokensFromRefreshToken",
            Self::RevokeToken => "RevokeToken",
            Self::ConfirmDevice => "ConfirmDevice",
            Self::AssociateSoftwareToken => "AssociateSoftwareToken",
            Self::VerifySoftwareToken => "VerifySoftwareToken",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
