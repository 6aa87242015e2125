//! The data path: admission, forwarding and the answers of the proxy itself.

mod accounting;
mod body;
mod budget;
mod current;
mod error;
mod forward;
mod guard;
mod headers;
mod outcome;
mod payload_form;
mod pipeline;
mod portions;
mod refusal;
mod response;
mod retry;
mod route;
mod service;
mod trace;
mod upstream;

use std::{collections::HashMap, error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, header::InvalidHeaderValue, uri::Scheme};
use secrecy::SecretString;
use tokio::sync::Semaphore;

pub use accounting::{Accounting, AccountingLayer};
pub use body::Body;
pub use budget::Budget;
pub use current::{Current, Seat};
pub use error::ProxyError;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use guard::fuzzing;
pub use guard::{Access, AdminGuard, Guard};
pub use pipeline::{Pipeline, Plan, Ready, Sent};
use route::{Route, Routes};
pub use service::Forward;
use upstream::{Connector, Trust, Upstream, Ways};
pub use upstream::{Resolver, TrustError};

use crate::{
    clock::Clock,
    credentials::channel::Receiver,
    forward_proxy::ForwardProxies,
    metrics::{Limit, Metrics},
};

/// Everything that the requests of all clients share.
#[derive(Debug)]
pub struct Proxy {
    guard: Arc<Guard>,
    pipeline: Pipeline,
    budget: Budget,
    /// For requests that wait for the upstream's answer.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Why there is no proxy.
#[derive(Debug)]
pub enum BuildError {
    /// The trusted roots cannot be used.
    Trust(TrustError),
    /// A host to sign is no header value.
    Host(InvalidHeaderValue),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trust(_) => "upstreams cannot be trusted",
            Self::Host(_) => "a host to sign is not a host name",
        })
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Trust(error) => Some(error),
            Self::Host(error) => Some(error),
        }
    }
}

impl Proxy {
    /// A proxy as `settings` describe it, which signs with what `credentials` gives.
    ///
    /// # Errors
    /// When trusted roots are missing or cannot be read.
    pub fn new(
        settings: &Settings,
        budget: Budget,
        credentials: Receiver,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            guard: Arc::new(Guard::new(&settings.guard)),
            pipeline: Pipeline::new(settings, credentials, clock, Arc::clone(&metrics))?,
            budget,
            places: Arc::new(Semaphore::new(settings.limits.max_in_flight.min(Semaphore::MAX_PERMITS))),
            metrics,
        })
    }

    /// A proxy as other `settings` describe it, within the limits of this one: only `max_body` is taken anew.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    fn renewed(&self, settings: &Settings) -> Result<Self, BuildError> {
        Ok(Self {
            guard: Arc::new(Guard::new(&settings.guard)),
            pipeline: self.pipeline.renewed(settings)?,
            budget: self.budget.with_max_body(settings.limits.max_body),
            places: Arc::clone(&self.places),
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// The same proxy for the thread of `previous`, which it follows and whose upstream connections it goes on with.
    fn successor(&self, previous: &Self) -> Self {
        let mut successor = self.sibling();
        successor.pipeline.keep_connections_of(&previous.pipeline);
        successor
    }

    /// The same proxy, within the same limits, with upstream connections of its own: those of another thread.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self {
            guard: Arc::clone(&self.guard),
            pipeline: self.pipeline.sibling(),
            budget: self.budget.clone(),
            places: Arc::clone(&self.places),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// The whole answer to a connection for which there is no room, head included.
#[must_use]
pub fn no_room() -> Bytes {
    ProxyError::Overloaded(Limit::Connections).whole_answer()
}

/// Routes to one origin share its connections.
fn build_routes(settings: &Settings) -> Result<Routes, BuildError> {
    let secure = |route: &RouteSettings| route.upstream.scheme() != Some(&Scheme::HTTP);
    let trust = if settings.routes.iter().any(secure) {
        Some(Trust::load(&settings.ca_files).map_err(BuildError::Trust)?)
    } else {
        None
    };
    let mut upstreams: HashMap<String, Arc<Upstream>> = HashMap::new();
    let mut routes = Vec::with_capacity(settings.routes.len());
    for route in &settings.routes {
        let origin = format!("{:?}://{:?}", route.upstream.scheme(), route.upstream.authority());
        let upstream = match upstreams.get(&origin) {
            Some(upstream) => Arc::clone(upstream),
            None => {
                let ways = Ways {
                    trust: trust.as_ref(),
                    proxies: &settings.forward_proxies,
                    resolver: &settings.resolver,
                    time: settings.timeouts.connect,
                };
                let connector = Connector::new(&route.upstream, ways).map_err(BuildError::Trust)?;
                let upstream = Arc::new(Upstream::new(connector, settings.timeouts));
                upstreams.insert(origin, Arc::clone(&upstream));
                upstream
            }
        };
        routes.push(Route::new(route, upstream).map_err(BuildError::Host)?);
    }
    Ok(Routes::new(routes))
}

/// What the data path needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may ask.
    pub guard: GuardSettings,
    /// How much is taken on.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Where requests go, at least one; paths are distinct.
    pub routes: Vec<RouteSettings>,
    /// Headers removed on the way up.
    pub strip_headers: Vec<HeaderName>,
    /// PEM file with more trusted roots for the upstream.
    pub ca_files: Vec<PathBuf>,
    /// Which upstreams are reached through a forward proxy.
    pub forward_proxies: ForwardProxies,
    /// How the names of upstreams are looked up.
    pub resolver: Resolver,
}

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct GuardSettings {
    /// Exact origins of pages that may call the proxy from a browser, `http://localhost:5173`.
    pub allowed_origins: Vec<String>,
    /// Further names under which clients may address the proxy, lower case, without port.
    pub allowed_hosts: Vec<String>,
    /// The token that clients must present.
    pub bearer_token: Option<SecretString>,
    /// The token that opens the rest of the admin listener to others than this user and root.
    pub admin_token: Option<SecretString>,
    /// Whether other users of this machine may ask without the token.
    pub allow_other_users: bool,
    /// Whether pages that the API serves may run scripts on the proxy's origin.
    pub trust_documents: bool,
}

impl GuardSettings {
    /// Whether it matters whose a client is, so that the kernel is asked.
    #[must_use]
    pub fn asks_for_users(&self) -> bool {
        self.bearer_token.is_none() && !self.allow_other_users
    }
}

/// How much is taken on at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// All buffered bodies together, in bytes.
    pub body_memory: u64,
    /// Connections of clients.
    pub max_connections: usize,
    /// Requests that wait for the upstream's answer.
    pub max_in_flight: usize,
}

/// How long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to the upstream, TLS included.
    pub connect: Duration,
    /// From the last byte of the request to the response head.
    pub response: Duration,
    /// Between two chunks of a streaming body, either way; towards the upstream, also before the response head.
    pub idle: Duration,
    /// For requests in flight at shutdown.
    pub drain: Duration,
}

/// Where the requests below one path go.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// The path prefix that selects this route, `/` or `/orders`.
    pub path: String,
    /// Base URL, with stage and path prefix.
    pub upstream: Uri,
    /// The region in the signature's scope.
    pub region: String,
    /// The service in the signature's scope, `execute-api`.
    pub service: String,
    /// The Host to sign and send, when it is not the upstream's.
    pub sign_host: Option<String>,
    /// What is removed from the front of a request's path.
    pub strip_prefix: Option<String>,
    /// Headers set on the way up.
    pub set_headers: Vec<(HeaderName, HeaderValue)>,
}
