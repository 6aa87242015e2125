//! Device tracking: keys for new devices, ConfirmDevice, and sign-in by a device's own password.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::{Account, Device, timestamp},
    directory::wrong_password,
    first_factor::{claim_is_right, invalid_srp_a, public_values},
    grants::{Grant, invalid_refresh_token},
    parameters::Parameters,
    sessions::{Attempt, Step, TokenSource},
    srp::{Handshake, Prover, Verifier},
};
use crate::sandbox::answer::AwsError;

/// Devices on one page.
const MAX_LISTED: usize = 60;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfirmDevice {
    access_token: String,
    device_key: String,
    device_name: Option<String>,
    device_secret_verifier_config: DeviceSecretVerifierConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListDevices {
    access_token: String,
    limit: Option<usize>,
    pagination_token: Option<String>,
}

/// GetDevice and ForgetDevice.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfDevice {
    access_token: Option<String>,
    device_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateDeviceStatus {
    access_token: String,
    device_key: String,
    device_remembered_status: Option<RememberedStatus>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RememberedStatus {
    Remembered,
    NotRemembered,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeviceSecretVerifierConfig {
    salt: String,
    password_verifier: String,
}

impl UserPool {
    /// NewDeviceMetadata, for a sign-in without a device where the pool tracks them.
    pub(super) fn register_device(&self, attempt: &Attempt, account: &Account) -> Option<Value> {
        if !self.device_tracking || attempt.device_key.is_some() {
            return None;
        }
        let key = format!("{}_{}", self.region, uuid::Uuid::new_v4());
        let group_key = format!("-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let now = self.clock.now();
        let device = Device {
            group_key: group_key.clone(),
            verifier: None,
            name: None,
            remembered: false,
            created: now,
            modified: now,
            authenticated: now,
        };
        self.directory.update(&account.user.username, |account| {
            account.devices.insert(key.clone(), device);
        });
        Some(json!({ "DeviceKey": key, "DeviceGroupKey": group_key }))
    }

    pub(super) fn confirm_device(&self, request: &ConfirmDevice) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let config = &request.device_secret_verifier_config;
        let invalid = |what: &str| AwsError::invalid_parameter(format!("Invalid device {what}"));
        let salt = STANDARD.decode(&config.salt).map_err(|_| invalid("salt"))?;
        let verifier = STANDARD.decode(&config.password_verifier).map_err(|_| invalid("verifier"))?;
        let verifier = Verifier::from_parts(&salt, &verifier)
            .ok_or_else(|| AwsError::invalid_parameter("negative value passed for salt/verifier"))?;
        let now = self.clock.now();
        self.directory.try_update(&account.user.username, |account| {
            let device = account.devices.get_mut(&request.device_key).ok_or_else(no_such_device)?;
            device.verifier = Some(verifier);
            device.name.clone_from(&request.device_name);
            device.remembered = true;
            device.modified = now;
            Ok(json!({ "UserConfirmationNecessary": false }))
        })
    }

    /// The devices that were confirmed.
    pub(super) fn list_devices(&self, request: &ListDevices) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let limit = request.limit.filter(|limit| *limit > 0).unwrap_or(MAX_LISTED).min(MAX_LISTED);
        let after = request.pagination_token.as_deref().unwrap_or_default();
        let mut rest =
            account.devices.iter().filter(|(key, device)| device.verifier.is_some() && key.as_str() > after);
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let mut answer = json!({
            "Devices": page.iter().map(|(key, device)| device.described(key)).collect::<Vec<_>>(),
        });
        if let (Some(_), Some((last, _))) = (rest.next(), page.last()) {
            answer["PaginationToken"] = (*last).clone().into();
        }
        Ok(answer)
    }

    pub(super) fn get_device(&self, request: &OfDevice) -> Result<Value, AwsError> {
        let account = self.authorized(request.access_token()?)?;
        let device = account.devices.get(&request.device_key).ok_or_else(no_such_device)?;
        Ok(json!({ "Device": device.described(&request.device_key) }))
    }

    /// Ends the sign-ins of the device as well.
    pub(super) fn forget_device(&self, request: &OfDevice) -> Result<Value, AwsError> {
        let account = self.authorized(request.access_token()?)?;
        self.directory.try_update(&account.user.username, |account| {
            account.devices.remove(&request.device_key).map(|_| Value::Null).ok_or_else(no_such_device)
        })
    }

    pub(super) fn update_device_status(&self, request: &UpdateDeviceStatus) -> Result<Value, AwsError> {
        let account = self.authorized(&request.access_token)?;
        let now = self.clock.now();
        self.directory.try_update(&account.user.username, |account| {
            let device = account.devices.get_mut(&request.device_key).ok_or_else(no_such_device)?;
            if let Some(status) = request.device_remembered_status {
                device.remembered = status == RememberedStatus::Remembered;
            }
            device.modified = now;
            Ok(json!({}))
        })
    }

    /// Refuses a device that the user does not have, before a challenge is used up.
    pub(super) fn require_known_device(&self, attempt: &Attempt) -> Result<(), AwsError> {
        let Some(key) = attempt.device_key.as_ref().filter(|_| self.device_tracking) else { return Ok(()) };
        match self.directory.account(&attempt.username) {
            Some(account) if !account.devices.contains_key(key) => Err(no_such_device()),
            _ => Ok(()),
        }
    }

    /// DEVICE_SRP_AUTH, for a sign-in from a confirmed device.
    pub(super) fn challenge_device(
        &self,
        attempt: &Attempt,
        account: &Account,
    ) -> Result<Option<Value>, AwsError> {
        let Some(key) = attempt.device_key.as_ref().filter(|_| self.device_tracking) else {
            return Ok(None);
        };
        let device = account.devices.get(key).ok_or_else(no_such_device)?;
        if device.verifier.is_none() {
            return Ok(None);
        }
        let parameters = json!({ "DEVICE_KEY": key, "USERNAME": account.user.username });
        let step = Step::DeviceSrp { device_key: key.clone() };
        Ok(Some(self.challenge(attempt.clone(), step, &parameters)))
    }

    /// What follows a first factor that counts as both.
    pub(super) async fn after_first_factor_without_mfa(
        &self,
        attempt: &Attempt,
        account: &Account,
    ) -> Result<Value, AwsError> {
        match self.challenge_device(attempt, account)? {
            Some(challenge) => Ok(challenge),
            None => self.complete(attempt).await,
        }
    }

    pub(super) fn begin_device_claim(
        &self,
        attempt: Attempt,
        responses: &Parameters,
        device_key: &str,
    ) -> Result<Value, AwsError> {
        let account = self.directory.existing(&attempt.username)?;
        if responses.required("DEVICE_KEY")? != device_key {
            return Err(no_such_device());
        }
        let device = account.devices.get(device_key).ok_or_else(no_such_device)?;
        let verifier = device.verifier.clone().ok_or_else(no_such_device)?;
        let handshake =
            Handshake::start(verifier, responses.required("SRP_A")?).map_err(|_| invalid_srp_a())?;
        let mut parameters = public_values(&handshake);
        parameters["DEVICE_KEY"] = device_key.into();
        parameters["USERNAME"] = account.user.username.into();
        let step = Step::DeviceVerifier {
            device_key: device_key.to_owned(),
            prover: Prover { group: device.group_key.clone(), id: device_key.to_owned() },
            handshake: Box::new(handshake),
        };
        let name = step.challenge_name();
        let secret_block = self.sessions.open_claim(attempt, step, self.clock.now());
        parameters["SECRET_BLOCK"] = secret_block.into();
        Ok(json!({ "ChallengeName": name, "ChallengeParameters": parameters }))
    }

    pub(super) async fn check_device_claim(
        &self,
        attempt: &Attempt,
        responses: &Parameters,
        device_key: &str,
        prover: &Prover,
        handshake: &Handshake,
    ) -> Result<Value, AwsError> {
        let same_device = responses.required("DEVICE_KEY")? == device_key;
        if !same_device || !claim_is_right(responses, prover, handshake)? {
            return Err(wrong_password());
        }
        let now = self.clock.now();
        self.directory.update(&attempt.username, |account| {
            if let Some(device) = account.devices.get_mut(device_key) {
                device.authenticated = now;
            }
        });
        let tokens_for = match attempt.tokens_for {
            TokenSource::Hosted => TokenSource::Hosted,
            _ => TokenSource::Device,
        };
        self.complete(&Attempt { tokens_for, ..attempt.clone() }).await
    }

    /// Whether the device of a sign-in allows a refresh: it must be confirmed, and be named.
    pub(super) fn require_device_of(
        &self,
        grant: &Grant,
        account: &Account,
        given: Option<&str>,
    ) -> Result<(), AwsError> {
        let Some(key) = &grant.device_key else { return Ok(()) };
        let confirmed = account.devices.get(key).is_some_and(|device| device.verifier.is_some());
        if confirmed && given == Some(key) { Ok(()) } else { Err(invalid_refresh_token()) }
    }
}

impl OfDevice {
    fn access_token(&self) -> Result<&str, AwsError> {
        let missing = || AwsError::invalid_parameter("Missing required parameter AccessToken");
        self.access_token.as_deref().ok_or_else(missing)
    }
}

impl Device {
    fn described(&self, key: &str) -> Value {
        let name = self.name.as_ref().map(|name| json!({ "Name": "device_name", "Value": name }));
        let status = if self.remembered { "remembered" } else { "not_remembered" };
        let status = json!({ "Name": "device_status", "Value": status });
        let attributes: Vec<Value> = std::iter::once(status).chain(name).collect();
        json!({
            "DeviceKey": key,
            "DeviceAttributes": attributes,
            "DeviceCreateDate": timestamp(self.created),
            "DeviceLastModifiedDate": timestamp(self.modified),
            "DeviceLastAuthenticatedDate": timestamp(self.authenticated),
        })
    }
}

fn no_such_device() -> AwsError {
    AwsError::not_found("Device does not exist.")
}
