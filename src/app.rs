//! The composition root: makes the parts, wires them, spawns the tasks and awaits their end.

mod announcement;
mod error;
mod gauges;
mod reload;
mod servers;

use std::{num::NonZeroUsize, sync::Arc};

use tokio::{sync::mpsc, task::JoinSet};
use tracing::{error, info, warn};

#[cfg(feature = "otlp")]
use crate::telemetry::spans::{self, Export};
use crate::{
    admin::{About, AboutRoute, Admin, Inspection, InspectorToken},
    aws_http,
    clock::Clock,
    credentials::{
        self,
        channel::{self, Publisher, Receiver},
        configured::Configured,
        provider::CredentialsProvider,
        refresher::Refresher,
    },
    downstream::{
        listener::{self, Listen, Listener, Passed},
        peer,
    },
    inspector::{self, Recorder},
    process,
    proxy::{self, AccessLogLayer, Budget, Proxy},
    shutdown::{Shutdown, Trigger},
    telemetry::metrics::Metrics,
};

use announcement::InspectorPage;
pub use error::StartError;
use gauges::Gauges;
use reload::LiveConfig;
pub use reload::Reload;

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
    /// What the inspector keeps.
    pub inspector: inspector::Settings,
    /// How the endpoints of AWS are reached.
    pub aws_http: aws_http::Settings,
    /// Where spans of requests are exported, if they are.
    #[cfg(feature = "otlp")]
    pub spans: Option<spans::Settings>,
    /// Threads that serve clients; `None` serves them on the runtime that runs the proxy.
    pub threads: Option<NonZeroUsize>,
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
    metrics: Arc<Metrics>,
    live: LiveConfig,
    recorder: Option<Recorder>,
    /// What the inspector's page presents.
    inspector_token: Arc<InspectorToken>,
    /// Sources with other secrets, for the refresher.
    secret_updates: (mpsc::UnboundedSender<Configured>, mpsc::UnboundedReceiver<Configured>),
}

impl App {
    /// Makes the parts and binds the addresses; nothing runs yet.
    ///
    /// # Errors
    /// When an address is taken or a file cannot be used.
    pub fn bind(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        Self::bind_or_take(settings, Passed::default(), clock)
    }

    /// The same, with sockets that were passed in place of addresses to bind.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_or_take(mut settings: Settings, passed: Passed, clock: Clock) -> Result<Self, StartError> {
        let limits = &mut settings.proxy.limits;
        limits.max_connections = attainable_connections(limits.max_connections);
        let source = source(&settings.credentials, &settings.aws_http, &clock)?;
        let (data, listen) = listeners(passed.data, Some(settings.listen.clone()))?;
        let (admin, admin_listen) = listeners(passed.admin, settings.admin_listen.take())?;
        settings.listen = listen.unwrap_or(settings.listen);
        if settings.proxy.guard.asks_for_users() {
            warn_of_unknown_owners(&data);
        }
        settings.admin_listen = admin_listen;
        let (publisher, credentials) = channel::channel(clock.clone());
        let limits = settings.proxy.limits;
        let budget = Budget::new(limits.body_memory, limits.max_body);
        let mut metrics = Metrics::default();
        metrics.collect(Gauges::new(credentials.clone(), clock.clone(), budget.clone()));
        let metrics = Arc::new(metrics);
        let proxy =
            Proxy::new(&settings.proxy, budget, credentials.clone(), clock.clone(), Arc::clone(&metrics))
                .map_err(StartError::Proxy)?;
        // Nothing but the admin listener shows it.
        let recorder =
            if admin.is_empty() { None } else { Recorder::new(&settings.inspector, clock.clone()) };
        let live = LiveConfig::new(&settings, proxy, about(&settings, &data, &admin));
        let secret_updates = mpsc::unbounded_channel();
        Ok(Self {
            settings,
            clock,
            source,
            publisher,
            credentials,
            data,
            admin,
            metrics,
            live,
            recorder,
            inspector_token: Arc::new(InspectorToken::random()),
            secret_updates,
        })
    }

    /// The means to replace the configuration while the proxy runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        let sources = self.secret_updates.0.clone();
        Reload::new(self.settings.clone(), self.clock.clone(), self.live.clone(), sources)
    }

    /// Where clients connect, address by address.
    #[must_use]
    pub fn addresses(&self) -> Vec<Listen> {
        self.data.iter().filter_map(Listener::listen).collect()
    }

    /// Where the admin listener is asked, address by address.
    #[must_use]
    pub fn admin_addresses(&self) -> Vec<Listen> {
        self.admin.iter().filter_map(Listener::listen).collect()
    }

    /// All addresses that this process listens on. A request that was sent there would go in a circle.
    #[must_use]
    pub fn own_addresses(&self) -> Vec<Listen> {
        [self.addresses(), self.admin_addresses()].concat()
    }

    /// The credentials that requests are signed with, once the proxy runs.
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

    /// The inspector's page, with the token that it needs in the fragment, if there is one that a browser can open.
    #[must_use]
    pub fn inspector_url(&self) -> Option<String> {
        let page = self.inspector_page()?;
        Some(format!("{page}#{}", self.inspector_token.expose()))
    }

    /// The same without the token.
    fn inspector_page(&self) -> Option<String> {
        self.recorder.as_ref()?;
        let url = self.admin_url().filter(|url| url.starts_with("http://"))?;
        Some(format!("{url}/inspect"))
    }

    /// Runs until `shutdown`, and then until every request has ended or `drain-timeout` has elapsed.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub async fn run(self, trigger: Trigger, shutdown: Shutdown) -> Result<(), StartError> {
        #[cfg(feature = "otlp")]
        let export = self.export();
        let access_log = AccessLogLayer::new(Arc::clone(&self.metrics));
        #[cfg(feature = "otlp")]
        let access_log = access_log.with_spans(export.as_ref().map(Export::spans));
        let access_log = access_log.with_recorder(self.recorder.clone());
        let page = InspectorPage { secret: self.inspector_url(), public: self.inspector_page() };
        let data = self.data_listen();
        let (credentials, live) = (self.credentials, self.live);
        let mut background = JoinSet::new();
        let refresher = Refresher::new(self.source, self.publisher, self.clock.clone())
            .with_secret_updates(self.secret_updates.1);
        background.spawn(keep(refresher, shutdown.clone()));
        background.spawn(announcement::ready(
            live.about.load_full(),
            page,
            credentials.clone(),
            self.clock.clone(),
        ));
        let drain = self.settings.proxy.timeouts.drain;
        background.spawn(announcement::waiting(shutdown.clone(), Arc::clone(&self.metrics), drain));
        let (ended, data_ended) = crate::shutdown::channel();
        if let Some(recorder) = self.recorder.clone() {
            background.spawn(redact(recorder, data_ended.clone()));
        }
        let (watch, quit) = (watch(background, trigger.clone()), trigger.clone());
        let inspection = self.recorder.map(|recorder| Inspection {
            recorder,
            token: self.inspector_token,
            data,
            client_token: Arc::clone(&live.client_token),
            about: Arc::clone(&live.about),
            ended: data_ended.clone(),
        });
        let admin = Admin {
            credentials,
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            shutdown: shutdown.clone(),
            trigger,
            about: Arc::clone(&live.about),
            inspection,
        };
        let admin_server = servers::admin(self.admin, admin, Arc::clone(&live.admin_guard), data_ended);
        let data_server =
            servers::data(self.data, &live, &access_log, self.metrics, &self.settings, shutdown);
        // The admin server ends last: probes have to see "draining" for as long as it lasts.
        let (served, (), watched) = tokio::join!(
            async move {
                let served = data_server.await;
                // If the server has failed, the other tasks have to end as well.
                quit.request();
                ended.request();
                served
            },
            admin_server,
            watch
        );
        #[cfg(feature = "otlp")]
        if let Some(export) = export {
            export.end().await;
        }
        served.map_err(StartError::Threads)?;
        watched
    }

    /// Starts the export of spans if it is configured. Requests do not need it, so a failure is only logged.
    #[cfg(feature = "otlp")]
    fn export(&self) -> Option<Export> {
        let settings = self.settings.spans.as_ref()?;
        match Export::start(settings, &self.url(), self.clock.clone()) {
            Ok(export) => Some(export),
            Err(error) => {
                let cause = crate::telemetry::causes(&error);
                warn!(%error, cause, "no spans are exported");
                None
            }
        }
    }
}

/// The passed sockets, else those that `listen` asks for; and the address that describes them.
fn listeners(
    passed: Vec<Listener>,
    listen: Option<Listen>,
) -> Result<(Vec<Listener>, Option<Listen>), StartError> {
    if passed.is_empty() {
        let bound = listen.as_ref().map(listener::bind).transpose().map_err(StartError::Bind)?;
        return Ok((bound.unwrap_or_default(), listen));
    }
    let described = listener::described(&passed);
    Ok((passed, described))
}

/// Open files beside those of clients: 64 connections of probes; for clients and probes each 64 connections that wait
/// and 128 that are turned away; the listeners, Cognito, session files, the log, and the runtimes' own.
const OWN_FILES: u64 = 512;

/// How many connections of clients the limit on open files allows, at most `wanted`: each may need one to the upstream
/// for as long as its answer streams.
fn attainable_connections(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_mul(2).saturating_add(OWN_FILES);
    let limit = process::raise_open_files(needed);
    if limit >= needed {
        return wanted;
    }
    // With a low limit, the process's own files get half of it.
    let left = limit - OWN_FILES.min(limit / 2);
    let connections = usize::try_from(left / 2).unwrap_or(usize::MAX).clamp(1, wanted);
    warn!(
        open_files = limit,
        connections,
        max_connections = wanted,
        "the limit on open files allows fewer connections than max-connections: raise it to {needed} (ulimit -n, \
         LimitNOFILE of systemd)"
    );
    connections
}

/// Says where nobody knows which user a connection belongs to. Where the kernel could say and does not, every client is
/// refused without a client token.
fn warn_of_unknown_owners(data: &[Listener]) {
    let asks_the_kernel = data.iter().any(|listener| matches!(listener, Listener::Tcp(_)));
    if asks_the_kernel && !peer::TELLS_OWNERS {
        info!(
            "this system does not say which user a connection belongs to: programs of all users of this machine may \
             use the proxy; set bearer-token-file to admit those that present a token"
        );
    } else if asks_the_kernel && !peer::kernel_tells_owners().unwrap_or(false) {
        warn!(
            "this system does not say which user a connection belongs to: all clients are refused unless \
             bearer-token-file or allow-other-users is set, or listen is a unix socket"
        );
    }
}

fn about(settings: &Settings, data: &[Listener], admin: &[Listener]) -> About {
    let admin_listen = settings.admin_listen.as_ref().map(|listen| listener::url(listen, admin));
    About {
        version: env!("CARGO_PKG_VERSION"),
        listen: listener::url(&settings.listen, data),
        admin_listen: admin_listen.unwrap_or_else(|| "off".to_owned()),
        routes: AboutRoute::all(&settings.proxy.routes),
    }
}

/// The source of credentials that `settings` describe.
///
/// # Errors
/// When a file cannot be used.
pub fn source(
    settings: &credentials::Settings,
    http: &aws_http::Settings,
    clock: &Clock,
) -> Result<Configured, StartError> {
    let connector = aws_http::connector(http, clock.clone()).map_err(StartError::Trust)?;
    Configured::new(settings, connector, clock.clone()).map_err(StartError::Credentials)
}

/// Waits for the background tasks, which end with the process. A panic in one of them ends the process. Its message
/// is not logged, since it may quote a client.
async fn watch(mut background: JoinSet<()>, trigger: Trigger) -> Result<(), StartError> {
    let mut watched = Ok(());
    while let Some(ended) = background.join_next().await {
        if ended.is_err() {
            error!("a task exited unexpectedly, draining");
            trigger.request();
            watched = Err(StartError::Task);
        }
    }
    watched
}

async fn keep(refresher: Refresher<impl CredentialsProvider>, mut shutdown: Shutdown) {
    refresher.run(async move { shutdown.requested().await }).await;
}

async fn redact(recorder: Recorder, mut ended: Shutdown) {
    recorder.redact_until(async move { ended.requested().await }).await;
}
