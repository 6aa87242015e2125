//! A new configuration for a running proxy, from the next request on: which settings change, and which stay.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use secrecy::SecretString;
use tokio::sync::mpsc;

use super::{Settings, StartError};
use crate::{
    admin::{About, AboutRoute, AdminGuard},
    clock::Clock,
    credentials::{self, configured::Configured},
    proxy::{self, Proxy, Timeouts, WorkerProxies},
};

/// The configuration that requests read, and that a reload replaces.
#[derive(Clone, Debug)]
pub(super) struct LiveConfig {
    pub(super) proxies: Arc<WorkerProxies>,
    pub(super) admin_guard: Arc<ArcSwap<AdminGuard>>,
    pub(super) about: Arc<ArcSwap<About>>,
    /// The token that clients present, which a request needs that the inspector sends again.
    pub(super) client_token: Arc<ArcSwapOption<SecretString>>,
}

impl LiveConfig {
    pub(super) fn new(settings: &Settings, proxy: Proxy, about: About) -> Self {
        let workers = settings.threads.map_or(1, std::num::NonZeroUsize::get);
        Self {
            proxies: Arc::new(WorkerProxies::new(proxy, workers)),
            admin_guard: Arc::new(ArcSwap::from_pointee(admin_guard(&settings.proxy))),
            about: Arc::new(ArcSwap::from_pointee(about)),
            client_token: Arc::new(ArcSwapOption::new(client_token(&settings.proxy))),
        }
    }
}

/// Replaces the live configuration.
#[derive(Debug)]
pub struct Reload {
    /// The live ones.
    settings: Settings,
    /// Whether the user behind each connection is looked up. This is decided at the start.
    asks_for_users: bool,
    clock: Clock,
    live: LiveConfig,
    sources: mpsc::UnboundedSender<Configured>,
}

impl Reload {
    pub(super) fn new(
        settings: Settings,
        clock: Clock,
        live: LiveConfig,
        sources: mpsc::UnboundedSender<Configured>,
    ) -> Self {
        let asks_for_users = settings.proxy.guard.asks_for_users();
        Self { settings, asks_for_users, clock, live, sources }
    }

    /// Applies routes, headers, guard, `max-body` and the timeouts towards the upstream to the next request, and the
    /// user's secrets to the next sign-in. The rest stays as it is.
    ///
    /// Without a client token, the user behind each connection decides who may ask, and that user is looked up only
    /// when the connection is accepted. If the proxy was started without the lookup, the token or `allow-other-users`
    /// stays in force. Returns the names of the settings that were kept for that reason.
    ///
    /// # Errors
    /// When a file cannot be used; then nothing changes.
    pub fn apply(
        &mut self,
        proxy: proxy::Settings,
        credentials: &credentials::Settings,
    ) -> Result<Vec<&'static str>, StartError> {
        let (proxy, kept) = self.attainable(proxy);
        let credentials = self.settings.credentials.with_secrets_of(credentials);
        let source = super::source(&credentials, &self.settings.aws_http, &self.clock)?;
        self.live.proxies.replace(&proxy).map_err(StartError::Proxy)?;
        self.live.admin_guard.store(Arc::new(admin_guard(&proxy)));
        self.live.client_token.store(client_token(&proxy));
        let about = self.live.about.load();
        let routes = AboutRoute::all(&proxy.routes);
        self.live.about.store(Arc::new(About { routes, ..About::clone(&about) }));
        // The refresher ends when the process does.
        let _ = self.sources.send(source);
        self.settings.credentials = credentials;
        self.settings.proxy = proxy;
        Ok(kept)
    }

    fn attainable(&self, mut proxy: proxy::Settings) -> (proxy::Settings, Vec<&'static str>) {
        let own = &self.settings.proxy;
        proxy.limits = proxy::Limits { max_body: proxy.limits.max_body, ..own.limits };
        // The resolver stays: a lookup that hangs is then not started again.
        proxy.resolver.clone_from(&own.resolver);
        let Timeouts { idle, drain, .. } = own.timeouts;
        proxy.timeouts = Timeouts { idle, drain, ..proxy.timeouts };
        let mut kept = Vec::new();
        if proxy.guard.asks_for_users() && !self.asks_for_users {
            kept.push(if own.guard.bearer_token.is_some() {
                "bearer-token-file"
            } else {
                "allow-other-users"
            });
            proxy.guard.bearer_token.clone_from(&own.guard.bearer_token);
            proxy.guard.allow_other_users = own.guard.allow_other_users;
        }
        (proxy, kept)
    }
}

fn client_token(settings: &proxy::Settings) -> Option<Arc<SecretString>> {
    settings.guard.bearer_token.clone().map(Arc::new)
}

fn admin_guard(settings: &proxy::Settings) -> AdminGuard {
    AdminGuard::new(&settings.guard.allowed_hosts, settings.guard.admin_token.as_ref())
}
