//! The hooks that stand in for the Lambda functions of a user pool's triggers.

use http::Uri;

use crate::config::{reader::Reader, url, value::Parsed};

/// The hooks of the sandbox's triggers.
#[derive(Clone, Debug, Default)]
pub struct SandboxTriggers {
    /// The triggers that are set, each with the URL that gets its events.
    pub hooks: Vec<(SandboxTrigger, Uri)>,
    /// Whether events before token generation are of version 2, which changes access tokens as well.
    pub second_token_event: bool,
}

/// A trigger of the sandbox's user pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxTrigger {
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

/// The triggers with the settings that name their hooks.
const TRIGGERS: [(&str, SandboxTrigger); 8] = [
    ("pre-sign-up", SandboxTrigger::PreSignUp),
    ("post-confirmation", SandboxTrigger::PostConfirmation),
    ("pre-authentication", SandboxTrigger::PreAuthentication),
    ("post-authentication", SandboxTrigger::PostAuthentication),
    ("pre-token-generation", SandboxTrigger::PreTokenGeneration),
    ("define-auth-challenge", SandboxTrigger::DefineAuthChallenge),
    ("create-auth-challenge", SandboxTrigger::CreateAuthChallenge),
    ("verify-auth-challenge-response", SandboxTrigger::VerifyAuthChallengeResponse),
];

/// Settings that do nothing on their own, each with the trigger that it needs.
const NEEDED: [(&str, &str); 3] = [
    ("create-auth-challenge", "define-auth-challenge"),
    ("verify-auth-challenge-response", "define-auth-challenge"),
    ("pre-token-generation-version", "pre-token-generation"),
];

impl Reader<'_> {
    pub(super) fn sandbox_triggers(&mut self) -> Option<SandboxTriggers> {
        let mut hooks = Vec::new();
        for (name, trigger) in TRIGGERS {
            hooks.extend(self.value(name, url::hook).map(|url| (trigger, url)));
        }
        for (name, needed) in NEEDED {
            if self.explicit(needed).is_none()
                && let Some(given) = self.explicit(name)
            {
                self.problem(&given.origin, format!("has no effect without {needed}; set that as well"));
            }
        }
        let second_token_event = self.value("pre-token-generation-version", token_event)?;
        Some(SandboxTriggers { hooks, second_token_event })
    }
}

fn token_event(text: &str) -> Parsed<bool> {
    match text {
        "V1_0" => Ok(false),
        "V2_0" => Ok(true),
        _ => Err(format!("{text:?} is neither V1_0 nor V2_0")),
    }
}
