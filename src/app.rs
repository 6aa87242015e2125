//! The composition root: makes the parts, wires them, spawns what runs, and sees it end.

use std::{error::Error, fmt, future::Future, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::JoinSet;
use tower::Layer;
use tracing::info;

use crate::{
    admin::{self, About, AboutRoute, Admin},
    clock::Clock,
    credentials::{
        self, aws_http,
        channel::{self, Publisher, Receiver},
        configured::Configured,
        keeper::Keeper,
        source::Source,
        user_pool::InvalidTotpSecret,
    },
    listener::{self, BindError, Listen, Listener},
    metrics::{Gauges, Metrics},
    proxy::{self, AccountingLayer, Budget, Forward, Guard, Proxy},
    server,
    shutdown::{Shutdown, Trigger},
};

/// Connections of probes and scrapers at the same time.
const ADMIN_CONNECTIONS: usize = 64;

/// For the last probe to get its answer, and for a scraper to take its own.
const ADMIN_PATIENCE: Duration = Duration::from_secs(5);

/// Everything that a running proxy is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect.
    pub listen: Listen,
    /// The admin listener, unless it is off.
    pub admin_listen: Option<Listen>,
    /// Who signs.
    pub credentials: credentials::Settings,
    /// The data path.
    pub proxy: proxy::Settings,
    /// PEM files with more trusted roots for the endpoints of AWS.
    pub aws_ca_files: Vec<PathBuf>,
}

/// Why the proxy does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be bound.
    Bind(BindError),
    /// The data path cannot be built.
    Proxy(proxy::BuildError),
    /// The endpoints of AWS cannot be trusted.
    Trust(aws_http::TrustError),
    /// The source of credentials cannot be used as configured.
    Credentials(InvalidTotpSecret),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the proxy cannot start")
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Proxy(error) => Some(error),
            Self::Trust(error) => Some(error),
            Self::Credentials(error) => Some(error),
        }
    }
}

/// A proxy that is bound to its addresses and has not begun.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    clock: Clock,
    source: Configured,
    publisher: Publisher,
    credentials: Receiver,
    data: Vec<Listener>,
    admin: Vec<Listener>,
}

impl App {
    /// Makes the parts and binds the addresses; nothing runs yet.
    ///
    /// # Errors
    /// When an address is taken or a file cannot be used.
    pub fn bind(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let source = source(&settings.credentials, &settings.aws_ca_files, &clock)?;
        let data = listener::bind(&settings.listen).map_err(StartError::Bind)?;
        let admin = match &settings.admin_listen {
            Some(listen) => listener::bind(listen).map_err(StartError::Bind)?,
            None => Vec::new(),
        };
        let (publisher, credentials) = channel::channel(clock.clone());
        Ok(Self { settings, clock, source, publisher, credentials, data, admin })
    }

    /// What requests are signed with, once it is running.
    #[must_use]
    pub fn credentials(&self) -> Receiver {
        self.credentials.clone()
    }

    /// Where clients connect, with the port that was chosen.
    #[must_use]
    pub fn data_listen(&self) -> Listen {
        let port = self.data.first().and_then(Listener::local_address).map(|address| address.port());
        match (&self.settings.listen, port) {
            (Listen::Localhost(_), Some(port)) => Listen::Localhost(port),
            (Listen::Address(address), Some(port)) => Listen::Address((address.ip(), port).into()),
            (listen, _) => listen.clone(),
        }
    }

    /// How clients reach the proxy, with the port that was chosen.
    #[must_use]
    pub fn url(&self) -> String {
        listener::url(&self.settings.listen, &self.data)
    }

    /// How probes reach the admin listener, if there is one.
    #[must_use]
    pub fn admin_url(&self) -> Option<String> {
        self.settings.admin_listen.as_ref().map(|listen| listener::url(listen, &self.admin))
    }

    /// Runs until `shutdown`, and then until what is under way has ended or the drain timeout is over.
    ///
    /// # Errors
    /// When the data path cannot be built.
    pub async fn run(self, trigger: Trigger, shutdown: Shutdown) -> Result<(), StartError> {
        let about = Arc::new(self.about());
        let credentials = self.credentials;
        let limits = self.settings.proxy.limits;
        let budget = Budget::new(limits.body_memory, limits.max_body);
        let mut metrics = Metrics::default();
        metrics.collect(Gauges::new(credentials.clone(), self.clock.clone(), budget.clone()));
        let metrics = Arc::new(metrics);
        let proxy = Proxy::new(
            &self.settings.proxy,
            budget,
            credentials.clone(),
            self.clock.clone(),
            Arc::clone(&metrics),
        )
        .map_err(StartError::Proxy)?;

        let mut background = JoinSet::new();
        let keeper = Keeper::new(self.source, self.publisher, self.clock.clone());
        background.spawn(keep(keeper, shutdown.clone()));
        background.spawn(announce(Arc::clone(&about), credentials.clone(), self.clock.clone()));
        let guard = Arc::new(Guard::local(&self.settings.proxy.guard.allowed_hosts));
        let admin = Admin {
            credentials,
            metrics: Arc::clone(&metrics),
            clock: self.clock.clone(),
            shutdown: shutdown.clone(),
            trigger,
            about,
        };
        let (ended, data_ended) = crate::shutdown::channel();
        let admin_server = admin_server(self.admin, admin, guard, data_ended);
        let data_server = data_server(self.data, Arc::new(proxy), metrics, &self.settings.proxy, shutdown);
        // Probes must hear that the process drains for as long as it does.
        tokio::join!(
            async move {
                data_server.await;
                ended.request();
            },
            admin_server
        );
        background.shutdown().await;
        Ok(())
    }

    fn about(&self) -> About {
        let route = |route: &proxy::RouteSettings| AboutRoute {
            path: route.path.clone(),
            upstream: route.upstream.to_string(),
            region: route.region.clone(),
            service: route.service.clone(),
        };
        About {
            version: env!("CARGO_PKG_VERSION"),
            listen: self.url(),
            admin_listen: self.admin_url().unwrap_or_else(|| "off".to_owned()),
            routes: self.settings.proxy.routes.iter().map(route).collect(),
        }
    }
}

/// The source of credentials that `settings` describe.
///
/// # Errors
/// When a file cannot be used.
pub fn source(
    settings: &credentials::Settings,
    ca_files: &[PathBuf],
    clock: &Clock,
) -> Result<Configured, StartError> {
    let connector = aws_http::connector(ca_files, clock.clone()).map_err(StartError::Trust)?;
    Configured::new(settings, connector, clock.clone()).map_err(StartError::Credentials)
}

async fn keep(keeper: Keeper<impl Source>, mut shutdown: Shutdown) {
    keeper.run(async move { shutdown.requested().await }).await;
}

fn data_server(
    listeners: Vec<Listener>,
    proxy: Arc<Proxy>,
    metrics: Arc<Metrics>,
    settings: &proxy::Settings,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + use<> {
    let server = server::Settings {
        max_connections: settings.limits.max_connections,
        drain: settings.timeouts.drain,
        write: settings.timeouts.idle,
        identifies_peers: settings.guard.bearer_token.is_none() && !settings.guard.allow_other_users,
        full: proxy::no_room(),
        metrics: Some(Arc::clone(&metrics)),
    };
    let accounting = AccountingLayer::new(metrics);
    server::serve(listeners, server, shutdown, move |endpoints| {
        accounting.layer(Forward::new(Arc::clone(&proxy), endpoints))
    })
}

fn admin_server(
    listeners: Vec<Listener>,
    admin: Admin,
    guard: Arc<Guard>,
    shutdown: Shutdown,
) -> impl Future<Output = ()> {
    let server = server::Settings {
        max_connections: ADMIN_CONNECTIONS,
        drain: ADMIN_PATIENCE,
        write: ADMIN_PATIENCE,
        identifies_peers: false,
        full: Bytes::new(),
        metrics: None,
    };
    server::serve(listeners, server, shutdown, move |endpoints| {
        admin::router(admin.clone(), Arc::clone(&guard), endpoints)
    })
}

/// Logs one line when requests can be signed for the first time.
async fn announce(about: Arc<About>, mut credentials: Receiver, clock: Clock) {
    loop {
        if let Some(issued) = credentials.state().issued {
            let expires_in = issued.expiry.and_then(|expiry| expiry.duration_since(clock.now()).ok());
            let route = about.routes.first();
            info!(
                url = about.listen,
                admin = about.admin_listen,
                upstream = route.map(|route| route.upstream.as_str()),
                region = route.map(|route| route.region.as_str()),
                service = route.map(|route| route.service.as_str()),
                identity = %issued.identity,
                expires_in = expires_in.map(|left| left.as_secs()),
                "ready"
            );
            return;
        }
        if !credentials.changed().await {
            return;
        }
    }
}
