//! The first factor: the password, or what the user has chosen instead.

use secrecy::ExposeSecret;

use super::{Challenge, Identity, SignIn};
use crate::credentials::user_pool::{
    answers::{Choice, Question},
    api::AuthResponse,
    error::Error,
    refusal::Cause,
};

impl SignIn<'_> {
    pub(super) async fn prove_password(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        let password = self.password().await?;
        let handshake = self.handshake.take();
        let identity =
            Identity { scope: self.pool.id.name(), name: &self.username, password: password.expose_secret() };
        let proof = self.proof(handshake, challenge, identity)?;
        let responses = proof.add_to(self.parameters());
        match self.reply(challenge, responses).await {
            // The proof does not cover the device, so that it can be sent again without it.
            Err(error) if error.cause() == Some(Cause::DeviceUnknown) && self.device.is_some() => {
                self.device = None;
                let responses = proof.add_to(self.parameters());
                self.reply(challenge, responses).await
            }
            other => other,
        }
    }

    pub(super) async fn send_password(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        let responses = self.parameters().with("PASSWORD", self.password().await?);
        self.reply(challenge, responses).await
    }

    pub(super) async fn start_proof(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        let responses = self.parameters().with("SRP_A", self.start_password_proof().await?);
        self.reply(challenge, responses).await
    }

    /// SELECT_CHALLENGE: uses the password if it is known, else the only option, else asks the user.
    pub(super) async fn choose_first_factor(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        let mut options = challenge.available.clone();
        options.retain(|option| option != "WEB_AUTHN");
        let has = |name| options.iter().any(|option| option == name);
        let chosen = match options.as_slice() {
            [] => return Err(Error::PasskeyNeeded),
            _ if self.user.password.is_some() && has("PASSWORD_SRP") => "PASSWORD_SRP".to_owned(),
            _ if self.user.password.is_some() && has("PASSWORD") => "PASSWORD".to_owned(),
            [only] => only.clone(),
            _ => {
                let question = Question::Choice { between: Choice::FirstFactor, options: &options };
                self.ask(question).await?.expose_secret().to_owned()
            }
        };
        let responses = self.parameters().with("ANSWER", chosen.as_str());
        let responses = match chosen.as_str() {
            "PASSWORD" => responses.with("PASSWORD", self.password().await?),
            "PASSWORD_SRP" => responses.with("SRP_A", self.start_password_proof().await?),
            _ => responses,
        };
        self.reply(challenge, responses).await
    }

    pub(super) async fn answer_custom(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        let answer = self.ask(Question::Custom(&challenge.parameters)).await?;
        let responses = self.parameters().with("ANSWER", answer);
        self.reply(challenge, responses).await
    }
}
