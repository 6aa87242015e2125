//! A sandbox with the user pool client that signs users in there.

use std::time::{Duration, SystemTime};

use countersign::{
    aws_http,
    clock::Clock,
    credentials::{
        AuthFlow, UserPool,
        user_pool::{
            AnswerFuture, Answers, Device, Error, Question, SignedIn, Unattended, User, UserPoolClient,
        },
    },
    sandbox::{self, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Sandbox, Settings},
};
use secrecy::SecretString;

/// The right password of the sandbox's users.
pub(crate) const PASSWORD: &str = "Sandbox-password-1";

/// A sandbox and what a client of its user pool is configured with.
pub(crate) struct Pool {
    pub(crate) sandbox: Sandbox,
    pub(crate) settings: UserPool,
    pub(crate) clock: Clock,
}

impl Pool {
    /// The default sandbox and its public client.
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let sandbox = sandbox::start(settings).await.expect("free ports");
        let settings = UserPool {
            id: sandbox.user_pool_id().parse().expect("an id"),
            client_id: sandbox.client_id().to_owned(),
            client_secret: None,
            username: None,
            password: None,
            auth_flow: AuthFlow::Srp,
            totp_secret: None,
            endpoint: sandbox.user_pool_endpoint(),
            domain: None,
            redirect_port: 0,
            state_dir: None,
            login_provider: None,
        };
        // Not the sandbox's own: what the client learns must not move the sandbox's time.
        Self { sandbox, settings, clock: Clock::system() }
    }

    pub(crate) fn flow(mut self, auth_flow: AuthFlow) -> Self {
        self.settings.auth_flow = auth_flow;
        self
    }

    pub(crate) fn client_id(mut self, client_id: &str) -> Self {
        client_id.clone_into(&mut self.settings.client_id);
        self
    }

    /// Uses the app client with a secret.
    pub(crate) fn confidential(mut self) -> Self {
        self.settings.client_secret = Some(CONFIDENTIAL_CLIENT_SECRET.into());
        self.client_id(CONFIDENTIAL_CLIENT_ID)
    }

    pub(crate) fn client(&self) -> UserPoolClient {
        // The clock is set on the way, by the connector.
        let connector =
            aws_http::connector(&aws_http::Settings::default(), self.clock.clone()).expect("no files");
        UserPoolClient::new(self.settings.clone(), connector, self.clock.clone())
    }

    /// Signs `username` in with `password` and nobody who answers questions.
    pub(crate) async fn sign_in(&self, username: &str, password: &str) -> Result<SignedIn, Error> {
        self.converse(username, Some(password), None, &mut Unattended::default()).await
    }

    pub(crate) async fn converse(
        &self,
        username: &str,
        password: Option<&str>,
        device: Option<&Device>,
        answers: &mut dyn Answers,
    ) -> Result<SignedIn, Error> {
        let password = password.map(SecretString::from);
        let user = User { username, password: password.as_ref(), device };
        let sign_in = async { self.client().sign_in(&user, answers).await };
        tokio::time::timeout(Duration::from_secs(60), sign_in).await.expect("an end")
    }
}

/// Somebody who answers questions out of a function; no answer ends the sign-in.
pub(crate) struct Person<F>(pub(crate) F);

impl<F: FnMut(Question<'_>, SystemTime) -> Option<String> + Send> Answers for Person<F> {
    fn answer<'a>(&'a mut self, question: Question<'a>, now: SystemTime) -> AnswerFuture<'a> {
        let answer = (self.0)(question, now).map(SecretString::from);
        Box::pin(async move { answer.ok_or_else(|| question.unanswered()) })
    }
}
