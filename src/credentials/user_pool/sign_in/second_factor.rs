//! The second factor: one-time codes, and setting up an authenticator app.

use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Secret};

use super::{Challenge, SignIn};
use crate::credentials::user_pool::{
    answers::{Choice, Factor, Question},
    api::{AssociateSoftwareToken, AuthResponse, VerifySoftwareToken},
    error::Error,
    refusal::Cause,
};

const AUTHENTICATOR: &str = "SOFTWARE_TOKEN_MFA";

impl SignIn<'_> {
    pub(super) async fn send_code(
        &mut self,
        challenge: &Challenge,
        factor: Factor,
        parameter: &'static str,
    ) -> Result<AuthResponse, Error> {
        let destination = challenge.optional_parameter("CODE_DELIVERY_DESTINATION");
        let mut rejected = false;
        loop {
            let code = self.ask(Question::Code { factor, destination, rejected }).await?;
            let responses = self.parameters().with(parameter, code);
            match self.reply(challenge, responses).await {
                Err(error) if is_wrong_code(&error, factor) => rejected = true,
                other => return other,
            }
        }
    }

    pub(super) async fn choose_second_factor(
        &mut self,
        challenge: &Challenge,
    ) -> Result<AuthResponse, Error> {
        let options = challenge
            .list("MFAS_CAN_CHOOSE")
            .filter(|options| !options.is_empty())
            .ok_or(Error::Unintelligible("a choice without options"))?;
        let question = Question::Choice { between: Choice::SecondFactor, options: &options };
        let chosen = self.ask(question).await?;
        let responses = self.parameters().with("ANSWER", chosen);
        self.reply(challenge, responses).await
    }

    /// MFA_SETUP: shows the pool's new secret, verifies a code of the app, and continues the sign-in.
    pub(super) async fn set_up_authenticator(
        &mut self,
        challenge: &Challenge,
    ) -> Result<AuthResponse, Error> {
        let allowed = challenge.list("MFAS_CAN_SETUP").unwrap_or_else(|| vec![AUTHENTICATOR.to_owned()]);
        if !allowed.iter().any(|factor| factor == AUTHENTICATOR) {
            return Err(Error::UnknownChallenge(format!("MFA_SETUP of {}", allowed.join(", "))));
        }
        let token = self.api.call(&AssociateSoftwareToken { session: challenge.session.clone() }).await?;
        let secret = token.secret_code.ok_or(Error::Unintelligible("no authenticator secret"))?;
        let session = self.verify_authenticator(&secret, token.session).await?;
        let responses = self.parameters();
        self.reply_in(session, challenge, responses).await
    }

    async fn verify_authenticator(
        &mut self,
        secret: &SecretString,
        session: Option<SecretString>,
    ) -> Result<Option<SecretString>, Error> {
        let url = authenticator_url(secret, self.user.username)?;
        let mut rejected = false;
        loop {
            let code = self.ask(Question::AuthenticatorSetup { secret, url: &url, rejected }).await?;
            let request = VerifySoftwareToken { session: session.clone(), user_code: code.expose_secret() };
            match self.api.call(&request).await {
                Ok(verified) if verified.status.as_deref() == Some("SUCCESS") => return Ok(verified.session),
                Ok(_) => rejected = true,
                Err(error) if is_wrong_code(&error, Factor::Authenticator) => rejected = true,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether to ask for another code. Cognito calls the code of an authenticator expired when it was used before.
fn is_wrong_code(error: &Error, factor: Factor) -> bool {
    match error.cause() {
        Some(Cause::WrongCode) => true,
        Some(Cause::CodeExpired) => factor == Factor::Authenticator,
        _ => false,
    }
}

fn authenticator_url(secret: &SecretString, username: &str) -> Result<SecretString, Error> {
    const UNUSABLE: Error = Error::Unintelligible("an authenticator secret that is not base32");
    let secret = Secret::try_from_base32(secret.expose_secret()).map_err(|_| UNUSABLE)?;
    let url = Builder::new()
        .with_secret(secret)
        // A colon would end the issuer's name.
        .with_account_name(username.replace(':', " "))
        .with_issuer(Some("Cognito"))
        .build_noncompliant()
        .to_url();
    url.map(SecretString::from).map_err(|_| UNUSABLE)
}
