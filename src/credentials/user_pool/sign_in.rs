//! The sequence of challenges that leads from a user name to tokens.

mod challenge;
mod device_proof;
mod first_factor;
mod new_password;
mod second_factor;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{
    Device, User,
    answers::{Answers, Question},
    api::{Api, AuthResponse, AuthenticationResult, InitiateAuth, Parameters, RespondToAuthChallenge},
    error::Error,
    refusal::Cause,
    srp::{self, Handshake, Identity, ServerValues},
};
use crate::credentials::{AuthFlow, UserPool};

use challenge::Challenge;

/// How many challenges are answered in a row. No pool asks as many.
const MAX_CHALLENGES: usize = 20;

/// How often a sign-in starts over when it took too long or its device was refused.
const MAX_RESTARTS: usize = 2;

/// One sign-in at the user pool.
pub(super) struct SignIn<'a> {
    api: &'a Api,
    pool: &'a UserPool,
    user: &'a User<'a>,
    answers: &'a mut dyn Answers,
    /// The name that the pool expects: first the alias that the user typed, then the pool's internal name.
    username: String,
    device: Option<&'a Device>,
    handshake: Option<Handshake>,
    password: Option<SecretString>,
}

/// The result of a sign-in.
pub(super) struct Outcome<'a> {
    pub(super) result: AuthenticationResult,
    /// The remembered device, unless the pool does not know it any more.
    pub(super) device: Option<&'a Device>,
}

/// The proof of a user's or a device's password.
struct Proof {
    secret_block: String,
    signature: String,
    timestamp: String,
}

impl<'a> SignIn<'a> {
    pub(super) fn new(
        api: &'a Api,
        pool: &'a UserPool,
        user: &'a User<'a>,
        answers: &'a mut dyn Answers,
    ) -> Self {
        Self {
            api,
            pool,
            user,
            answers,
            username: user.username.to_owned(),
            device: user.device,
            handshake: None,
            password: None,
        }
    }

    /// Asks for tokens and answers challenges until they come.
    pub(super) async fn run(mut self) -> Result<Outcome<'a>, Error> {
        let mut restarts = 0;
        loop {
            let named_device = self.device.is_some();
            match self.attempt().await {
                Ok(result) => return Ok(Outcome { result, device: self.device }),
                Err(error) if restarts < MAX_RESTARTS && is_expired(&error) => {
                    tracing::info!("sign-in took too long, starting over");
                }
                Err(error) if named_device && error.cause() == Some(Cause::DeviceUnknown) => {
                    tracing::info!("remembered device is not accepted, signing in without it");
                    self.device = None;
                }
                Err(error) => return Err(error),
            }
            restarts += 1;
        }
    }

    async fn attempt(&mut self) -> Result<AuthenticationResult, Error> {
        self.user.username.clone_into(&mut self.username);
        let mut answer = self.begin().await?;
        for _ in 0..MAX_CHALLENGES {
            if let Some(result) = answer.authentication_result {
                return Ok(result);
            }
            let challenge = Challenge::new(answer)?;
            if let Some(name) = challenge.internal_username() {
                name.clone_into(&mut self.username);
            }
            answer = self.respond(&challenge).await?;
        }
        Err(Error::TooManyChallenges)
    }

    async fn begin(&mut self) -> Result<AuthResponse, Error> {
        let parameters = self.parameters();
        let has_password = self.user.password.is_some();
        let (auth_flow, auth_parameters) = match self.pool.auth_flow {
            AuthFlow::Srp => ("USER_SRP_AUTH", parameters.with("SRP_A", self.start_password_proof().await?)),
            AuthFlow::Password => ("USER_PASSWORD_AUTH", parameters.with("PASSWORD", self.password().await?)),
            AuthFlow::Custom if has_password => (
                "CUSTOM_AUTH",
                parameters.with("CHALLENGE_NAME", "SRP_A").with("SRP_A", self.start_password_proof().await?),
            ),
            AuthFlow::Custom => ("CUSTOM_AUTH", parameters),
            AuthFlow::UserAuth if has_password => (
                "USER_AUTH",
                parameters
                    .with("PREFERRED_CHALLENGE", "PASSWORD_SRP")
                    .with("SRP_A", self.start_password_proof().await?),
            ),
            AuthFlow::UserAuth => ("USER_AUTH", parameters),
        };
        let client_id = &self.pool.client_id;
        self.api.call(&InitiateAuth { auth_flow, client_id, auth_parameters, session: None }).await
    }

    async fn reply(&mut self, challenge: &Challenge, responses: Parameters) -> Result<AuthResponse, Error> {
        self.reply_in(challenge.session.clone(), challenge, responses).await
    }

    async fn reply_in(
        &mut self,
        session: Option<SecretString>,
        challenge: &Challenge,
        challenge_responses: Parameters,
    ) -> Result<AuthResponse, Error> {
        let (client_id, challenge_name) = (&self.pool.client_id, &challenge.name);
        let request = RespondToAuthChallenge { client_id, challenge_name, session, challenge_responses };
        self.api.call(&request).await
    }

    async fn ask(&mut self, question: Question<'_>) -> Result<SecretString, Error> {
        let now = self.api.exchange().clock().now();
        Ok(self.answers.answer(question, now).await?)
    }

    /// The parameters of every step.
    fn parameters(&self) -> Parameters {
        Parameters::default()
            .with("USERNAME", self.username.as_str())
            .with_some("SECRET_HASH", self.pool.secret_hash(&self.username))
            .with_some("DEVICE_KEY", self.device.map(|device| device.key.as_str()))
    }

    /// Starts the proof of the user's password; returns `SRP_A`.
    ///
    /// Asks for the password first: the pool waits only a few seconds for the next step.
    async fn start_password_proof(&mut self) -> Result<String, Error> {
        self.password().await?;
        Ok(self.start_handshake())
    }

    /// Starts an SRP handshake; returns `SRP_A`.
    fn start_handshake(&mut self) -> String {
        let mut secret = Zeroizing::new([0; srp::SECRET_BYTES]);
        rand::fill(secret.as_mut_slice());
        self.handshake.insert(Handshake::new(&secret)).public()
    }

    /// Computes the proof. Takes the handshake, since its secret exponent must not be used twice.
    fn proof(
        &self,
        handshake: Option<Handshake>,
        challenge: &Challenge,
        identity: Identity<'_>,
    ) -> Result<Proof, Error> {
        let handshake =
            handshake.ok_or(Error::Unintelligible("a proof is asked for before SRP_A was sent"))?;
        let server = ServerValues {
            salt: challenge.parameter("SALT")?,
            public: challenge.parameter("SRP_B")?,
            secret_block: challenge.parameter("SECRET_BLOCK")?,
        };
        let timestamp = srp::timestamp(self.api.exchange().clock().now());
        let signature = handshake.prove(identity, server, &timestamp)?;
        Ok(Proof { secret_block: server.secret_block.to_owned(), signature, timestamp })
    }

    async fn password(&mut self) -> Result<SecretString, Error> {
        if let Some(password) = self.user.password.or(self.password.as_ref()) {
            return Ok(password.clone());
        }
        let password = self.ask(Question::Password).await?;
        Ok(self.password.insert(password).clone())
    }
}

impl Proof {
    fn add_to(&self, parameters: Parameters) -> Parameters {
        parameters
            .with("PASSWORD_CLAIM_SECRET_BLOCK", self.secret_block.as_str())
            .with("PASSWORD_CLAIM_SIGNATURE", self.signature.as_str())
            .with("TIMESTAMP", self.timestamp.as_str())
    }
}

/// Whether the session of the sign-in, or a code, has expired.
fn is_expired(error: &Error) -> bool {
    matches!(error.cause(), Some(Cause::SignInExpired | Cause::CodeExpired))
}
