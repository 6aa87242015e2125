//! Challenges that wait for an answer. Each expires, and only the latest of a sign-in is valid.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde::Serialize;

use super::{
    srp::{Handshake, Prover},
    triggers::Metadata,
};
use crate::sandbox::{
    answer::AwsError,
    people::{Flow, Medium},
};

/// How long a password claim may take.
const CLAIM_LIFETIME: Duration = Duration::from_secs(60);
/// How long every other answer may take, as an app client has it by default.
const SESSION_LIFETIME: Duration = Duration::from_secs(3 * 60);
/// How many invalid answers a session allows.
const FORGIVEN: u32 = 4;

/// Who is signing in, and how.
#[derive(Clone)]
pub(super) struct Attempt {
    /// The internal user name, or what was typed when nobody is called that.
    pub(super) username: String,
    pub(super) client_id: String,
    pub(super) flow: Flow,
    /// The device that the client says it is.
    pub(super) device_key: Option<String>,
    /// What the client tells the triggers.
    pub(super) metadata: Option<Metadata>,
    /// The challenges of CUSTOM_AUTH so far, as triggers get to know them.
    pub(super) challenge_results: Vec<ChallengeResult>,
    /// Where the tokens at the end come from.
    pub(super) tokens_for: TokenSource,
}

/// A challenge of CUSTOM_AUTH that has been answered.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChallengeResult {
    pub(super) challenge_name: &'static str,
    pub(super) challenge_result: bool,
    pub(super) challenge_metadata: Option<String>,
}

/// What leads to tokens, as the trigger before their generation names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// A sign-in by InitiateAuth.
    Authentication,
    /// A sign-in that has replaced a temporary password.
    NewPassword,
    /// A sign-in that a device has completed.
    Device,
    /// Managed login, where the token endpoint issues the tokens.
    Hosted,
    Refresh,
}

/// What the client has to answer.
pub(super) enum Step {
    /// PASSWORD_VERIFIER.
    PasswordVerifier { prover: Prover, handshake: Box<Handshake> },
    /// NEW_PASSWORD_REQUIRED.
    NewPassword { required_attributes: Vec<String> },
    /// SELECT_CHALLENGE.
    SelectChallenge,
    /// PASSWORD.
    Password,
    /// PASSWORD_SRP.
    PasswordSrp,
    /// WEB_AUTHN.
    Passkey,
    /// EMAIL_OTP, SMS_OTP or SMS_MFA.
    Code { medium: Medium, factor: Factor, code: String },
    /// SELECT_MFA_TYPE.
    SelectMfa,
    /// SOFTWARE_TOKEN_MFA.
    Authenticator { secret: SecretString },
    /// MFA_SETUP, with the secret that is being set up.
    MfaSetup { secret: Option<SecretString>, verified: bool },
    /// CUSTOM_CHALLENGE of a user who has questions, and how often it was answered wrongly.
    Custom { round: usize, wrong: u32 },
    /// CUSTOM_CHALLENGE of the triggers, with what only they get to see.
    Triggered { private_parameters: Metadata, challenge_metadata: Option<String> },
    /// DEVICE_SRP_AUTH.
    DeviceSrp { device_key: String },
    /// Nothing: the sign-up has just been confirmed, which a sign-in by USER_AUTH may follow.
    ConfirmedSignUp,
    /// DEVICE_PASSWORD_VERIFIER.
    DeviceVerifier { device_key: String, prover: Prover, handshake: Box<Handshake> },
}

/// The factor that a code proves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    First,
    Second,
}

/// A challenge that waits for its answer.
pub(super) struct Open {
    pub(super) attempt: Attempt,
    pub(super) step: Step,
    expires: SystemTime,
    unusable_answers: u32,
}

/// The open challenges, by Session; those of SRP by SECRET_BLOCK, as they may carry no Session.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Open>>);

impl Attempt {
    pub(super) fn new(username: &str, client_id: &str, flow: Flow) -> Self {
        Self {
            username: username.to_owned(),
            client_id: client_id.to_owned(),
            flow,
            device_key: None,
            metadata: None,
            challenge_results: Vec::new(),
            tokens_for: TokenSource::Authentication,
        }
    }
}

impl TokenSource {
    pub(super) fn trigger_source(self) -> &'static str {
        match self {
            Self::Authentication => "TokenGeneration_Authentication",
            Self::NewPassword => "TokenGeneration_NewPasswordChallenge",
            Self::Device => "TokenGeneration_AuthenticateDevice",
            Self::Hosted => "TokenGeneration_HostedAuth",
            Self::Refresh => "TokenGeneration_RefreshTokens",
        }
    }
}

impl Step {
    pub(super) fn challenge_name(&self) -> &'static str {
        match self {
            Self::PasswordVerifier { .. } => "PASSWORD_VERIFIER",
            Self::NewPassword { .. } => "NEW_PASSWORD_REQUIRED",
            Self::SelectChallenge => "SELECT_CHALLENGE",
            Self::Password => "PASSWORD",
            Self::PasswordSrp => "PASSWORD_SRP",
            Self::Passkey => "WEB_AUTHN",
            Self::Code { medium: Medium::Email, .. } => "EMAIL_OTP",
            Self::Code { medium: Medium::Sms, factor: Factor::First, .. } => "SMS_OTP",
            Self::Code { medium: Medium::Sms, factor: Factor::Second, .. } => "SMS_MFA",
            Self::SelectMfa => "SELECT_MFA_TYPE",
            Self::Authenticator { .. } => "SOFTWARE_TOKEN_MFA",
            Self::MfaSetup { .. } => "MFA_SETUP",
            Self::Custom { .. } | Self::Triggered { .. } => "CUSTOM_CHALLENGE",
            Self::DeviceSrp { .. } => "DEVICE_SRP_AUTH",
            Self::ConfirmedSignUp => "CONFIRM_SIGN_UP",
            Self::DeviceVerifier { .. } => "DEVICE_PASSWORD_VERIFIER",
        }
    }
}

impl Sessions {
    /// Opens a challenge and returns its Session.
    pub(super) fn open(&self, attempt: Attempt, step: Step, now: SystemTime) -> String {
        self.insert(random_id(), attempt, step, now, SESSION_LIFETIME)
    }

    /// Opens a password claim and returns its SECRET_BLOCK.
    pub(super) fn open_claim(&self, attempt: Attempt, step: Step, now: SystemTime) -> String {
        self.insert(random_id(), attempt, step, now, CLAIM_LIFETIME)
    }

    /// Removes a challenge, which can be answered again only if it is put back.
    pub(super) fn take(&self, id: &str, now: SystemTime) -> Result<Open, AwsError> {
        let open = self.lock().remove(id).ok_or_else(invalid_session)?;
        if now >= open.expires {
            let message = "Invalid session for the user, session is expired.";
            return Err(AwsError::not_authorized(message));
        }
        Ok(open)
    }

    /// The Session of a device's challenge, for clients that name only the device.
    pub(super) fn of_device(&self, device_key: &str) -> Option<String> {
        let sessions = self.lock();
        let mut of_device = sessions.iter().filter(
            |(_, open)| matches!(&open.step, Step::DeviceSrp { device_key: known } if known == device_key),
        );
        of_device.next().map(|(id, _)| id.clone())
    }

    /// Allows another answer after an invalid one, a few times.
    pub(super) fn put_back(&self, id: &str, mut open: Open) {
        open.unusable_answers += 1;
        if open.unusable_answers <= FORGIVEN {
            self.lock().insert(id.to_owned(), open);
        }
    }

    /// Whether a challenge waits under this id.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Closes the challenges of a user who is gone.
    pub(super) fn forget(&self, username: &str) {
        self.lock().retain(|_, open| open.attempt.username != username);
    }

    fn insert(
        &self,
        id: String,
        attempt: Attempt,
        step: Step,
        now: SystemTime,
        lifetime: Duration,
    ) -> String {
        let mut sessions = self.lock();
        sessions.retain(|_, open| now < open.expires + SESSION_LIFETIME);
        let open = Open { attempt, step, expires: now + lifetime, unusable_answers: 0 };
        sessions.insert(id.clone(), open);
        id
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn invalid_session() -> AwsError {
    AwsError::not_authorized("Invalid session for the user.")
}

fn random_id() -> String {
    STANDARD.encode(rand::random::<[u8; 384]>())
}
