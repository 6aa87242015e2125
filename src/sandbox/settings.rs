//! What the sandbox is made of: users, app clients, lifetimes, ports.

use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;

/// The default app client, which has no secret.
pub const PUBLIC_CLIENT_ID: &str = "5sandboxpublicclient0000001";
/// The default app client that has a secret.
pub const CONFIDENTIAL_CLIENT_ID: &str = "5sandboxconfidential0000002";
/// The secret of [`CONFIDENTIAL_CLIENT_ID`].
pub const CONFIDENTIAL_CLIENT_SECRET: &str = "sandbox-client-secret-0123456789abcdefghijklmnopqrs";
/// The default app client that rotates refresh tokens.
pub const ROTATING_CLIENT_ID: &str = "5sandboxrotatingclient00003";

/// A whole sandbox, as data.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region of everything in it.
    pub region: String,
    /// The user pool's users; the first is the one that [`Sandbox::username`] names.
    ///
    /// [`Sandbox::username`]: super::Sandbox::username
    pub users: Vec<User>,
    /// The user pool's app clients; the first is the one that [`Sandbox::client_id`] names.
    ///
    /// [`Sandbox::client_id`]: super::Sandbox::client_id
    pub clients: Vec<AppClient>,
    /// How long the identity pool's credentials last.
    pub credentials_lifetime: Duration,
    /// How long ID and access tokens last.
    pub token_lifetime: Duration,
    /// How long refresh tokens last.
    pub refresh_token_lifetime: Duration,
    /// Whether the identity pool gives credentials without a login.
    pub guests: bool,
    /// The time that the sandbox keeps, before any skew set at run time.
    pub clock: Clock,
    /// The ports on 127.0.0.1; zero picks one.
    pub ports: Ports,
    /// Where verified requests are forwarded to, instead of being echoed.
    pub backend: Option<http::Uri>,
    /// How many of the latest requests to the API are kept for inspection, bodies included.
    pub recorded_requests: usize,
}

/// One port for each service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The user pool, managed login included.
    pub user_pool: u16,
    /// The identity pool and STS.
    pub identity_pool: u16,
    /// The API.
    pub api: u16,
}

/// A user of the user pool.
#[derive(Clone, Debug)]
pub struct User {
    /// The internal user name: USER_ID_FOR_SRP and `cognito:username`.
    pub username: String,
    /// What else the user may sign in as, an e-mail address for example.
    pub aliases: Vec<String>,
    /// The password.
    pub password: SecretString,
    /// The roles that the ID token allows, the preferred one first; empty for the pool's default.
    pub roles: Vec<String>,
}

/// An app client of the user pool.
#[derive(Clone, Debug)]
pub struct AppClient {
    /// The client id.
    pub id: String,
    /// The client secret, if it has one.
    pub secret: Option<SecretString>,
    /// The grace period of refresh token rotation, if the client rotates.
    pub rotation: Option<Duration>,
    /// The flows that InitiateAuth may name, besides the refresh ones.
    pub flows: Vec<Flow>,
}

/// A value of `AuthFlow` that starts a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// USER_SRP_AUTH.
    UserSrp,
    /// USER_PASSWORD_AUTH.
    UserPassword,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "eu-west-1".to_owned(),
            users: vec![User::new("demo", "Sandbox-password-1")],
            clients: vec![
                AppClient::new(PUBLIC_CLIENT_ID),
                AppClient {
                    secret: Some(CONFIDENTIAL_CLIENT_SECRET.into()),
                    ..AppClient::new(CONFIDENTIAL_CLIENT_ID)
                },
                AppClient { rotation: Some(Duration::ZERO), ..AppClient::new(ROTATING_CLIENT_ID) },
            ],
            credentials_lifetime: Duration::from_secs(3600),
            token_lifetime: Duration::from_secs(3600),
            refresh_token_lifetime: Duration::from_secs(30 * 24 * 3600),
            guests: true,
            clock: Clock::system(),
            ports: Ports::default(),
            backend: None,
            recorded_requests: 1000,
        }
    }
}

impl User {
    /// A confirmed user with a password and nothing else.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            aliases: Vec::new(),
            password: password.into(),
            roles: Vec::new(),
        }
    }
}

impl AppClient {
    /// A client without a secret, with every flow and without rotation.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: None,
            rotation: None,
            flows: vec![Flow::UserSrp, Flow::UserPassword],
        }
    }
}

impl Flow {
    /// The name that `AuthFlow` carries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserSrp => "USER_SRP_AUTH",
            Self::UserPassword => "USER_PASSWORD_AUTH",
        }
    }
}
