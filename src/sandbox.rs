//! AWS in one process, on loopback: a user pool, an identity pool and an API with IAM authorisation.
//!
//! `countersign sandbox` runs it for people, and the tests run against it. Passwords are proven by
//! SRP, tokens are signed, and the API verifies each signature by code that shares nothing with the
//! signer. It keeps everything in memory and is no place for real secrets.
//!
//! The paths of the API that answer with something other than an echo are listed at [`fixtures`].

mod answer;
mod api;
mod digest;
mod faults;
mod identity_pool;
mod json_protocol;
mod paced;
mod server;
mod settings;
mod skew;
mod tokens;
mod user_pool;
mod vault;

use std::{fmt, io, sync::Arc};

use secrecy::SecretString;

use self::{
    api::{Api, STAGE},
    identity_pool::IdentityPool,
    server::{Handler, Server},
    skew::Skew,
    user_pool::UserPool,
    vault::Vault,
};
pub use self::{
    api::{Received, Verdict, fixtures},
    faults::{Calls, Fault, Faults, INVOKE},
    paced::pattern,
    settings::{
        AppClient, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Flow, PUBLIC_CLIENT_ID, Ports,
        ROTATING_CLIENT_ID, Settings, User,
    },
};
use crate::clock::Clock;

/// A running sandbox. Dropping it closes its listeners and connections.
pub struct Sandbox {
    region: String,
    user: User,
    client: AppClient,
    clock: Clock,
    skew: Skew,
    faults: Faults,
    calls: Calls,
    vault: Arc<Vault>,
    identity_pool: Arc<IdentityPool>,
    api: Arc<Api>,
    servers: Servers,
}

/// One of the sandbox's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// cognito-idp.
    UserPool,
    /// cognito-identity.
    IdentityPool,
    /// The API.
    Api,
}

#[derive(Debug)]
struct Servers {
    user_pool: Server,
    identity_pool: Server,
    api: Server,
}

/// Starts a sandbox.
///
/// # Errors
///
/// When a port is taken, or when there is no user or no app client.
pub async fn start(settings: Settings) -> io::Result<Sandbox> {
    let (Some(user), Some(client)) = (settings.users.first(), settings.clients.first()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a sandbox needs a user and an app client"));
    };
    tokens::prepare().await;
    let skew = Skew::default();
    let clock = skew.applied_to(settings.clock.clone());
    let (faults, calls, vault) = (Faults::default(), Calls::default(), Arc::new(Vault::default()));
    let shared = || (clock.clone(), faults.clone(), calls.clone());

    let (time, plans, counts) = shared();
    let user_pool = Arc::new(UserPool::new(&settings, time, plans, counts));
    let (time, plans, counts) = shared();
    let identity_pool = Arc::new(IdentityPool::new(&settings, vault.clone(), time, plans, counts));
    let (time, plans, counts) = shared();
    let api = Arc::new(Api::new(&settings, vault.clone(), time, plans, counts));
    let servers =
        Servers::start(settings.ports, &clock, user_pool, identity_pool.clone(), api.clone()).await?;
    Ok(Sandbox {
        region: settings.region,
        user: user.clone(),
        client: client.clone(),
        clock,
        skew,
        faults,
        calls,
        vault,
        identity_pool,
        api,
        servers,
    })
}

impl Sandbox {
    /// The base URL of cognito-idp.
    #[must_use]
    pub fn user_pool_endpoint(&self) -> String {
        self.servers.user_pool.url()
    }

    /// The base URL of cognito-identity.
    #[must_use]
    pub fn identity_pool_endpoint(&self) -> String {
        self.servers.identity_pool.url()
    }

    /// The API with its stage, `http://127.0.0.1:PORT/prod`.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("{}/{STAGE}", self.servers.api.url())
    }

    /// The region of everything.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The user pool's id.
    #[must_use]
    pub fn user_pool_id(&self) -> String {
        user_pool::pool_id(&self.region)
    }

    /// The identity pool's id.
    #[must_use]
    pub fn identity_pool_id(&self) -> String {
        identity_pool::pool_id(&self.region)
    }

    /// The first app client, which by default has no secret.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client.id
    }

    /// The first user's name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.user.username
    }

    /// The first user's password.
    #[must_use]
    pub fn password(&self) -> &SecretString {
        &self.user.password
    }

    /// The time that the sandbox keeps, skew included.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Plans faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Counts of the operations that were asked for.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The latest requests that reached the API, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.api.recorded()
    }

    /// Forgets the requests that reached the API.
    pub fn clear_requests(&self) {
        self.api.forget_recorded();
    }

    /// Sets the sandbox's clock ahead by `millis`, or behind when negative, of the one it was given.
    pub fn set_clock_skew(&self, millis: i64) {
        self.skew.set(millis);
    }

    /// Lets time pass for the sandbox alone.
    pub fn advance_clock(&self, by: std::time::Duration) {
        self.skew.add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Makes the API not recognise the credentials issued so far.
    pub fn invalidate_credentials(&self) {
        self.vault.invalidate_all();
    }

    /// Makes the credentials issued so far expired, before their time.
    pub fn expire_credentials(&self) {
        self.vault.expire_all(self.clock.now());
    }

    /// Forgets an identity, as DeleteIdentities does.
    pub fn delete_identity(&self, identity_id: &str) {
        self.identity_pool.delete_identity(identity_id);
    }

    /// Closes a service's listener and connections, until [`Sandbox::restart`].
    pub async fn stop(&self, service: Service) {
        self.servers.of(service).stop().await;
    }

    /// Starts a stopped service on the port it had.
    ///
    /// # Errors
    ///
    /// When the port was taken in the meantime.
    pub async fn restart(&self, service: Service) -> io::Result<()> {
        self.servers.of(service).restart().await
    }

    /// Stops everything and waits for it.
    pub async fn shutdown(self) {
        for service in [Service::Api, Service::IdentityPool, Service::UserPool] {
            self.stop(service).await;
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Servers {
    async fn start(
        ports: Ports,
        clock: &Clock,
        user_pool: Arc<UserPool>,
        identity_pool: Arc<IdentityPool>,
        api: Arc<Api>,
    ) -> io::Result<Self> {
        let to_user_pool: Handler = Arc::new(move |request, _| {
            let user_pool = user_pool.clone();
            Box::pin(async move { user_pool.answer(request).await })
        });
        let to_identity_pool: Handler = Arc::new(move |request, _| {
            let identity_pool = identity_pool.clone();
            Box::pin(async move { identity_pool.answer(request).await })
        });
        let to_api: Handler = Arc::new(move |request, peer| {
            let api = api.clone();
            Box::pin(async move { api.answer(request, peer).await })
        });
        Ok(Self {
            user_pool: Server::start(ports.user_pool, clock.clone(), to_user_pool).await?,
            identity_pool: Server::start(ports.identity_pool, clock.clone(), to_identity_pool).await?,
            api: Server::start(ports.api, clock.clone(), to_api).await?,
        })
    }

    fn of(&self, service: Service) -> &Server {
        match service {
            Service::UserPool => &self.user_pool,
            Service::IdentityPool => &self.identity_pool,
            Service::Api => &self.api,
        }
    }
}
