//! The conversation that turns a user name and a password into tokens.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{
    User,
    answers::{Answers, Factor, Question},
    api::{Api, AuthAnswer, AuthenticationResult, InitiateAuth, Parameters, RespondToAuthChallenge},
    error::Error,
    refusal::Cause,
    srp::{self, Handshake, Identity, ServerValues},
};
use crate::credentials::{AuthFlow, UserPool};

/// More challenges than any pool asks in a row.
const MOST_CHALLENGES: usize = 20;

/// One conversation with the user pool.
pub(super) struct SignIn<'a> {
    api: &'a Api,
    pool: &'a UserPool,
    user: &'a User<'a>,
    answers: &'a mut dyn Answers,
    /// The name that the pool expects from now on: the alias typed at first, then its own.
    username: String,
    device_key: Option<&'a str>,
    handshake: Option<Handshake>,
    password: Option<SecretString>,
}

/// What the pool asks before it hands out tokens.
pub(super) struct Challenge {
    name: String,
    parameters: BTreeMap<String, String>,
    session: Option<SecretString>,
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
            device_key: user.device.map(|device| device.key.as_str()),
            handshake: None,
            password: None,
        }
    }

    /// Asks for tokens and answers challenges until they come.
    pub(super) async fn run(mut self) -> Result<AuthenticationResult, Error> {
        let mut answer = self.begin().await?;
        for _ in 0..MOST_CHALLENGES {
            let challenge = match answer {
                AuthAnswer { authentication_result: Some(result), .. } => return Ok(result),
                AuthAnswer { challenge_name: Some(name), challenge_parameters, session, .. } => {
                    Challenge { name, parameters: challenge_parameters.unwrap_or_default(), session }
                }
                _ => return Err(Error::Unintelligible("neither tokens nor a challenge")),
            };
            if let Some(name) = challenge.internal_username() {
                name.clone_into(&mut self.username);
            }
            answer = self.respond(&challenge).await?;
        }
        Err(Error::TooManyChallenges)
    }

    async fn begin(&mut self) -> Result<AuthAnswer, Error> {
        let parameters = self.parameters(true);
        let (auth_flow, auth_parameters) = match self.pool.auth_flow {
            AuthFlow::Password => ("USER_PASSWORD_AUTH", parameters.with("PASSWORD", self.password().await?)),
            AuthFlow::Srp | AuthFlow::Custom | AuthFlow::UserAuth => {
                ("USER_SRP_AUTH", parameters.with("SRP_A", self.shake_hands()))
            }
        };
        let client_id = &self.pool.client_id;
        self.api.call(&InitiateAuth { auth_flow, client_id, auth_parameters, session: None }).await
    }

    async fn respond(&mut self, challenge: &Challenge) -> Result<AuthAnswer, Error> {
        match challenge.name.as_str() {
            "PASSWORD_VERIFIER" => self.prove_password(challenge).await,
            "SMS_MFA" => self.send_code(challenge, Factor::Sms, "SMS_MFA_CODE").await,
            "SOFTWARE_TOKEN_MFA" => {
                self.send_code(challenge, Factor::Authenticator, "SOFTWARE_TOKEN_MFA_CODE").await
            }
            _ => Err(Error::UnknownChallenge(challenge.name.clone())),
        }
    }

    async fn prove_password(&mut self, challenge: &Challenge) -> Result<AuthAnswer, Error> {
        let password = self.password().await?;
        let handshake =
            self.handshake.take().ok_or(Error::Unintelligible("a password proof before SRP_A was sent"))?;
        let identity =
            Identity { scope: self.pool.id.name(), name: &self.username, password: password.expose_secret() };
        let proof = self.proof(&handshake, challenge, identity)?;
        let responses = proof.parameters(self.parameters(true));
        match self.reply(challenge, responses).await {
            Err(error) if error.cause() == Some(Cause::DeviceUnknown) && self.device_key.is_some() => {
                self.device_key = None;
                let responses = proof.parameters(self.parameters(true));
                self.reply(challenge, responses).await
            }
            other => other,
        }
    }

    fn proof(
        &self,
        handshake: &Handshake,
        challenge: &Challenge,
        identity: Identity<'_>,
    ) -> Result<Proof, Error> {
        let server = ServerValues {
            salt: challenge.parameter("SALT")?,
            public: challenge.parameter("SRP_B")?,
            secret_block: challenge.parameter("SECRET_BLOCK")?,
        };
        let timestamp = srp::timestamp(self.api.exchange().clock().now());
        let signature = handshake.prove(identity, server, &timestamp)?;
        Ok(Proof { secret_block: server.secret_block.to_owned(), signature, timestamp })
    }

    async fn send_code(
        &mut self,
        challenge: &Challenge,
        factor: Factor,
        parameter: &'static str,
    ) -> Result<AuthAnswer, Error> {
        let destination = challenge.parameters.get("CODE_DELIVERY_DESTINATION").map(String::as_str);
        let mut rejected = false;
        loop {
            let question = Question::Code { factor, destination, rejected };
            let now = self.api.exchange().clock().now();
            let code = self.answers.answer(question, now).await?;
            let responses = self.parameters(true).with(parameter, code);
            match self.reply(challenge, responses).await {
                Err(error) if error.cause() == Some(Cause::WrongCode) => rejected = true,
                other => return other,
            }
        }
    }

    async fn reply(&mut self, challenge: &Challenge, responses: Parameters) -> Result<AuthAnswer, Error> {
        let request = RespondToAuthChallenge {
            client_id: &self.pool.client_id,
            challenge_name: &challenge.name,
            session: challenge.session.clone(),
            challenge_responses: responses,
        };
        self.api.call(&request).await
    }

    /// The parameters that every step has.
    fn parameters(&self, with_device: bool) -> Parameters {
        let device_key = self.device_key.filter(|_| with_device);
        Parameters::default()
            .with("USERNAME", self.username.as_str())
            .with_some("SECRET_HASH", self.pool.secret_hash(&self.username))
            .with_some("DEVICE_KEY", device_key)
    }

    /// Starts a password proof; gives `SRP_A`.
    fn shake_hands(&mut self) -> String {
        let mut secret = Zeroizing::new([0; srp::SECRET_BYTES]);
        rand::fill(secret.as_mut_slice());
        self.handshake.insert(Handshake::new(&secret)).public()
    }

    async fn password(&mut self) -> Result<SecretString, Error> {
        if let Some(password) = self.user.password.or(self.password.as_ref()) {
            return Ok(password.clone());
        }
        let now = self.api.exchange().clock().now();
        let password = self.answers.answer(Question::Password, now).await?;
        Ok(self.password.insert(password).clone())
    }
}

impl Challenge {
    fn parameter(&self, name: &'static str) -> Result<&str, Error> {
        let value = self.parameters.get(name).map(String::as_str);
        value.ok_or(Error::Unintelligible("a challenge without a parameter that it must have"))
    }

    /// The pool's own name of the user, which SECRET_HASH covers from here on.
    fn internal_username(&self) -> Option<&str> {
        self.parameters.get("USER_ID_FOR_SRP").or_else(|| self.parameters.get("USERNAME")).map(String::as_str)
    }
}

/// What proves a user's or a device's password.
struct Proof {
    secret_block: String,
    signature: String,
    timestamp: String,
}

impl Proof {
    fn parameters(&self, parameters: Parameters) -> Parameters {
        parameters
            .with("PASSWORD_CLAIM_SECRET_BLOCK", self.secret_block.as_str())
            .with("PASSWORD_CLAIM_SIGNATURE", self.signature.as_str())
            .with("TIMESTAMP", self.timestamp.as_str())
    }
}
