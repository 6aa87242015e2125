//! AWS in one process, on loopback: a user pool, an identity pool and an API with IAM authorisation.
//!
//! `countersign sandbox` runs it, and so do the tests. Passwords are proven by
//! SRP, tokens are signed, and the API verifies each signature by code that shares nothing with the
//! signer. Everything is kept in memory; it is not meant for real secrets.
//!
//! The paths of the API that answer with something other than an echo are listed at [`fixtures`].

mod answer;
mod api;
mod credential_store;
mod digest;
mod faults;
mod handle;
mod identity_pool;
mod json_protocol;
mod paced;
mod people;
mod percent;
mod pool_rules;
mod server;
mod settings;
mod skew;
mod tokens;
mod user_pool;
mod xml;

use std::{io, sync::Arc};

use crate::clock::Clock;
use api::Api;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use api::fuzzing;
pub use api::{NO_RESPONSE_FROM_BACKEND, Received, Verdict, fixtures};
use credential_store::CredentialStore;
pub use faults::{Calls, Fault, Faults, INVOKE};
pub use handle::Sandbox;
use identity_pool::IdentityPool;
pub use paced::pattern;
pub use people::{
    AppClient, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, CustomChallenge, Flow, Medium, Mfa,
    PUBLIC_CLIENT_ID, ROTATING_CLIENT_ID, User, UserState,
};
pub use pool_rules::{Group, Issuer, PasswordPolicy, PoolRules, Usernames};
use server::{Handler, Server};
pub use settings::{Ports, Settings};
use skew::Skew;
use user_pool::UserPool;
pub use user_pool::{Message, Purpose};

/// One of the sandbox's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// cognito-idp and managed login.
    UserPool,
    /// cognito-identity and STS.
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
    let (faults, calls, store) = (Faults::default(), Calls::default(), Arc::new(CredentialStore::default()));
    let shared = || (clock.clone(), faults.clone(), calls.clone());

    let (time, plans, counts) = shared();
    let user_pool = Arc::new(UserPool::new(&settings, time, plans, counts));
    let (time, plans, counts) = shared();
    let location = user_pool.location().clone();
    let identity_pool = Arc::new(IdentityPool::new(&settings, location, store.clone(), time, plans, counts));
    let (time, plans, counts) = shared();
    let api = Arc::new(Api::new(&settings, store.clone(), time, plans, counts));
    let servers = Servers::start(settings.ports, &clock, &user_pool, &identity_pool, &api).await?;
    user_pool.location().set_base(servers.user_pool.url());
    Ok(Sandbox {
        user: user.clone(),
        client: client.clone(),
        region: settings.region,
        clock,
        skew,
        faults,
        calls,
        store,
        user_pool,
        identity_pool,
        api,
        servers,
    })
}

impl Servers {
    async fn start(
        ports: Ports,
        clock: &Clock,
        user_pool: &Arc<UserPool>,
        identity_pool: &Arc<IdentityPool>,
        api: &Arc<Api>,
    ) -> io::Result<Self> {
        let user_pool = user_pool.clone();
        let to_user_pool: Handler = Arc::new(move |request, _| {
            let user_pool = user_pool.clone();
            Box::pin(async move { user_pool.answer(request).await })
        });
        let identity_pool = identity_pool.clone();
        let to_identity_pool: Handler = Arc::new(move |request, _| {
            let identity_pool = identity_pool.clone();
            Box::pin(async move { identity_pool.answer(request).await })
        });
        let api = api.clone();
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
