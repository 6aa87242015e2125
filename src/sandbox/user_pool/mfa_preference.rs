//! SetUserMFAPreference: which second factors sign-in asks for.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{UserPool, account::Account};
use crate::sandbox::{
    answer::AwsError,
    people::{Medium, Mfa},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetUserMfaPreference {
    access_token: String,
    #[serde(rename = "SMSMfaSettings")]
    sms: Option<Preference>,
    #[serde(rename = "SoftwareTokenMfaSettings")]
    software_token: Option<Preference>,
    #[serde(rename = "EmailMfaSettings")]
    email: Option<Preference>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Preference {
    enabled: bool,
    preferred_mfa: bool,
}

/// A second factor that a preference names.
#[derive(Clone, Copy)]
enum Kind {
    Sms,
    SoftwareToken,
    Email,
}

impl UserPool {
    pub(super) fn set_user_mfa_preference(&self, request: &SetUserMfaPreference) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let given: Vec<(Kind, &Preference)> = [
            (Kind::Sms, &request.sms),
            (Kind::SoftwareToken, &request.software_token),
            (Kind::Email, &request.email),
        ]
        .into_iter()
        .filter_map(|(kind, preference)| Some((kind, preference.as_ref()?)))
        .collect();
        if given.iter().filter(|(_, preference)| preference.preferred_mfa).count() > 1 {
            return Err(AwsError::invalid_parameter("Only one MFA setting can be preferred."));
        }
        let now = self.clock.now();
        self.directory.try_update(&account.user.username, |account| {
            // All or nothing: a preference that cannot be set leaves the others as they were.
            let mut changed = account.clone();
            for (kind, preference) in given {
                changed.set_mfa_preference(kind, preference)?;
            }
            changed.modified = now;
            *account = changed;
            Ok(json!({}))
        })
    }
}

impl Account {
    fn set_mfa_preference(&mut self, kind: Kind, preference: &Preference) -> Result<(), AwsError> {
        let name = kind.name();
        if preference.preferred_mfa && !preference.enabled {
            let message = format!("{name} must be enabled to be the preferred MFA setting.");
            return Err(AwsError::invalid_parameter(message));
        }
        let mfa = if preference.enabled { Some(self.available(kind)?) } else { None };
        self.user.mfa.retain(|known| known.name() != name);
        self.user.mfa.extend(mfa);
        if preference.preferred_mfa {
            self.preferred_mfa = Some(name);
        } else if self.preferred_mfa == Some(name) {
            self.preferred_mfa = None;
        }
        Ok(())
    }

    /// The second factor, if the user has what it takes.
    fn available(&self, kind: Kind) -> Result<Mfa, AwsError> {
        let by_message = |medium, mfa| {
            let message = format!("User does not have delivery config set to turn on {}", kind.name());
            self.address(medium).map(|_| mfa).ok_or_else(|| AwsError::invalid_parameter(message))
        };
        match kind {
            Kind::Sms => by_message(Medium::Sms, Mfa::Sms),
            Kind::Email => by_message(Medium::Email, Mfa::Email),
            Kind::SoftwareToken => {
                let secret = self.authenticator.clone();
                let unverified = || AwsError::invalid_parameter("User has not verified software token mfa");
                Ok(Mfa::Authenticator { secret: secret.ok_or_else(unverified)? })
            }
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sms => "SMS_MFA",
            Self::SoftwareToken => "SOFTWARE_TOKEN_MFA",
            Self::Email => "EMAIL_OTP",
        }
    }
}
