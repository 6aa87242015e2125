//! AWS in one process, on loopback: a user pool, an identity pool and an API with IAM authorisation.
//!
//! `countersign sandbox` runs it, and so do the tests. Passwords are proven by
//! SRP, tokens are signed, and the API verifies each signature by code that shares nothing with the
//! signer. Everything is kept in memory, unless there is a folder for [`Settings::state_dir`]; it is not meant for
//! real secrets.
//!
//! The paths of the API that answer with something other than an echo are listed at [`fixtures`].

mod answer;
mod api;
mod control;
mod cors;
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
mod seed;
mod server;
mod settings;
mod skew;
mod state;
mod token_key;
mod tokens;
mod trigger_hooks;
mod user_pool;
mod xml;

use std::{io, net::SocketAddr, sync::Arc};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::clock::Clock;
use answer::Body;
use api::Api;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use api::fuzzing;
pub use api::{
    ApiRoute, Authorization, GatewayError, NO_RESPONSE_FROM_BACKEND, Received, Verdict, WebSocketLimits,
    fixtures,
};
use control::Control;
use cors::Cors;
use credential_store::CredentialStore;
pub use faults::{CONNECT, Calls, Fault, Faults, INVOKE};
pub use handle::Sandbox;
use identity_pool::IdentityPool;
use paced::Hangup;
pub use paced::pattern;
pub use people::{
    AppClient, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, CustomChallenge, Flow, Medium, Mfa,
    PUBLIC_CLIENT_ID, ROTATING_CLIENT_ID, User, UserState,
};
pub use pool_rules::{AttributeKind, CustomAttribute, Group, Issuer, PasswordPolicy, PoolRules, Usernames};
pub use seed::Seed;
pub use server::PortTaken;
use server::{Handler, Server};
pub use settings::{Ports, Settings};
use skew::Skew;
use state::{State, Stored};
pub use trigger_hooks::{TokenEventVersion, Trigger, TriggerHooks};
use user_pool::UserPool;
pub use user_pool::{Message, Purpose};

/// One of the sandbox's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// cognito-idp and managed login.
    UserPool,
    /// cognito-identity and STS.
    IdentityPool,
    /// The API.
    Api,
}

impl Service {
    /// The name in words for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserPool => "user-pool",
            Self::IdentityPool => "identity-pool",
            Self::Api => "api",
        }
    }
}

#[derive(Debug)]
struct Servers {
    user_pool: Server,
    identity_pool: Server,
    api: Server,
}

/// The services, which the handlers share.
#[derive(Clone)]
struct Services {
    user_pool: Arc<UserPool>,
    identity_pool: Arc<IdentityPool>,
    api: Arc<Api>,
    control: Arc<Control>,
    seed: Seed,
    state: Option<Arc<State>>,
}

/// Starts a sandbox.
///
/// # Errors
///
/// When a port is taken ([`PortTaken`] is the source), when the state cannot be read or is another sandbox's, or when
/// there is no user or no app client.
pub async fn start(mut settings: Settings) -> io::Result<Sandbox> {
    let (Some(user), Some(client)) = (settings.users.first().cloned(), settings.clients.first().cloned())
    else {
        return Err(invalid("a sandbox needs a user and an app client"));
    };
    let (state, stored) = open_state(&mut settings)?;
    token_key::prepare(settings.seed()).await?;
    let skew = Skew::default();
    let clock = skew.applied_to(settings.clock.clone());
    let (faults, calls, store) = (Faults::default(), Calls::default(), Arc::new(CredentialStore::default()));
    let shared = |service| (clock.clone(), faults.of(service), calls.clone());

    let (time, plans, counts) = shared(Service::UserPool);
    let user_pool = Arc::new(UserPool::new(&settings, time, plans, counts));
    let location = user_pool.location().clone();
    let (time, plans, counts) = shared(Service::IdentityPool);
    let identity_pool =
        Arc::new(IdentityPool::new(&settings, location.clone(), store.clone(), time, plans, counts));
    let (time, plans, counts) = shared(Service::Api);
    let api = Arc::new(Api::new(&settings, location.clone(), store.clone(), time, plans, counts));
    if let Some(stored) = stored {
        user_pool.restore(stored.user_pool);
        identity_pool.restore(stored.identities, stored.credentials);
    }
    let control = Control { user_pool: user_pool.clone(), faults: faults.clone(), skew: skew.clone() };
    let services =
        Services { user_pool, identity_pool, api, control: Arc::new(control), seed: settings.seed(), state };
    let servers = Servers::start(settings.ports, &clock, &services).await?;
    location.set_base(servers.user_pool.url());
    services.save().await?;
    Ok(Sandbox {
        // The password may have changed in an earlier run.
        user: services.user_pool.user(&user.username).unwrap_or(user),
        client,
        region: settings.region,
        clock,
        skew,
        faults,
        calls,
        store,
        services,
        servers,
    })
}

/// Opens the folder of the state, if there is one, and takes the seed of what is stored there.
fn open_state(settings: &mut Settings) -> io::Result<(Option<Arc<State>>, Option<Stored>)> {
    let Some(folder) = &settings.state_dir else { return Ok((None, None)) };
    let (state, stored) = State::open(folder)?;
    if let Some(stored) = &stored {
        let seed = stored.seed();
        if settings.seed.as_ref().is_some_and(|wanted| *wanted != seed) {
            return Err(invalid("the stored state has another seed"));
        }
        settings.seed = Some(seed);
    }
    Ok((Some(Arc::new(state)), stored))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl Services {
    /// What a service answers, with CORS, and after what the answer changes has been stored.
    async fn answer(
        &self,
        service: Service,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Hangup> {
        if service == Service::UserPool && Control::is_for(request.uri()) {
            return self.control.answer(request).await;
        }
        let cors = Cors::of(service, &request);
        if let Some(preflight) = cors.and_then(|cors| cors.preflight(&request)) {
            return Ok(preflight);
        }
        let answered = match service {
            Service::UserPool => self.user_pool.answer(request).await,
            Service::IdentityPool => self.identity_pool.answer(request).await,
            Service::Api => self.api.answer(request, peer).await,
        };
        if service != Service::Api
            && let Err(error) = self.save().await
        {
            tracing::warn!(%error, "sandbox state not saved; the next change is saved with it");
        }
        let mut response = answered?;
        // A 101 is no answer that a page reads.
        if let Some(cors) = cors
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            cors.mark(response.headers_mut());
        }
        Ok(response)
    }

    /// Writes what has changed, on a thread that may wait for the disk.
    async fn save(&self) -> io::Result<()> {
        let Some(state) = self.state.clone() else { return Ok(()) };
        let services = self.clone();
        let saved = tokio::task::spawn_blocking(move || {
            state.save(|| {
                Stored::new(
                    &services.seed,
                    services.user_pool.stored(),
                    services.identity_pool.known_identities(),
                    services.identity_pool.stored_credentials(),
                )
            })
        });
        saved.await.map_err(io::Error::other)?
    }
}

impl Servers {
    async fn start(ports: Ports, clock: &Clock, services: &Services) -> io::Result<Self> {
        let start = |service, port| {
            let services = services.clone();
            let handler: Handler = Arc::new(move |request, peer| {
                let services = services.clone();
                Box::pin(async move { services.answer(service, request, peer).await })
            });
            Server::start(service, port, clock.clone(), handler)
        };
        Ok(Self {
            user_pool: start(Service::UserPool, ports.user_pool).await?,
            identity_pool: start(Service::IdentityPool, ports.identity_pool).await?,
            api: start(Service::Api, ports.api).await?,
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
