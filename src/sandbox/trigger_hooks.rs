//! The triggers of the user pool: HTTP hooks that get the events which Cognito sends to Lambda functions.

use std::{collections::BTreeMap, fmt};

use http::Uri;

/// The hooks of the user pool's triggers.
#[derive(Clone, Debug, Default)]
pub struct TriggerHooks {
    /// Where the event of each trigger is posted to. A trigger without a URL is not configured.
    pub urls: BTreeMap<Trigger, Uri>,
    /// The version of the event before tokens are generated.
    pub token_event: TokenEventVersion,
}

/// A trigger of the user pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// Before a user is created.
    PreSignUp,
    /// After a sign-up or a new password has been confirmed.
    PostConfirmation,
    /// Before a sign-in begins.
    PreAuthentication,
    /// After a sign-in, before its tokens.
    PostAuthentication,
    /// Before ID and access tokens are signed.
    PreTokenGeneration,
    /// What CUSTOM_AUTH asks next.
    DefineAuthChallenge,
    /// What a custom challenge shows.
    CreateAuthChallenge,
    /// Whether the answer to a custom challenge is right.
    VerifyAuthChallengeResponse,
}

/// The version of the event before tokens are generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenEventVersion {
    /// `claimsOverrideDetails`, for the ID token.
    #[default]
    V1,
    /// `claimsAndScopeOverrideDetails`, for both tokens.
    V2,
}

impl fmt::Display for Trigger {
    /// The name in Cognito's errors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
