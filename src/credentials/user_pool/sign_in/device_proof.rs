//! Proves that this is the device that the pool has remembered.

use secrecy::ExposeSecret;

use super::{Challenge, Identity, SignIn};
use crate::credentials::user_pool::{Device, api::AuthResponse, error::Error, refusal::Cause};

impl<'a> SignIn<'a> {
    pub(super) async fn start_device_proof(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        self.remembered_device()?;
        let responses = self.parameters().with("SRP_A", self.start_handshake());
        self.reply(challenge, responses).await.map_err(into_device_error)
    }

    pub(super) async fn prove_device(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        let device = self.remembered_device()?;
        let handshake = self.handshake.take();
        let identity = Identity {
            scope: &device.group_key,
            name: &device.key,
            password: device.password.expose_secret(),
        };
        let responses = self.proof(handshake, challenge, identity)?.add_to(self.parameters());
        self.reply(challenge, responses).await.map_err(into_device_error)
    }

    fn remembered_device(&self) -> Result<&'a Device, Error> {
        self.device.ok_or(Error::Unintelligible("a device is to be proven, but none was named"))
    }
}

/// Marks a refused device password as the device's: it says nothing about the user's password, and the sign-in
/// continues without the device.
fn into_device_error(error: Error) -> Error {
    match error {
        Error::Refused(mut refusal)
            if matches!(refusal.cause, Cause::WrongPassword | Cause::NotAuthorized) =>
        {
            refusal.cause = Cause::DeviceUnknown;
            Error::Refused(refusal)
        }
        other => other,
    }
}
