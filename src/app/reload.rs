//! Another configuration for a proxy that runs, from the next request on: what can change, and what stays.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::{Settings, StartError};
use crate::{
    admin::{About, AboutRoute, AdminGuard},
    clock::Clock,
    credentials::{self, configured::Configured},
    proxy::{self, Proxy, Timeouts, WorkerProxies},
};

/// What is in live, and can be replaced.
#[derive(Clone, Debug)]
pub(super) struct LiveConfig {
    pub(super) proxies: Arc<WorkerProxies>,
    pub(super) admin_guard: Arc<ArcSwap<AdminGuard>>,
    pub(super) about: Arc<ArcSwap<About>>,
}

impl LiveConfig {
    pub(super) fn new(settings: &Settings, proxy: Proxy, about: About) -> Self {
        let workers = settings.threads.map_or(1, std::num::NonZeroUsize::get);
        Self {
            proxies: Arc::new(WorkerProxies::new(proxy, workers)),
            admin_guard: Arc::new(ArcSwap::from_pointee(admin_guard(&settings.proxy))),
            about: Arc::new(ArcSwap::from_pointee(about)),
        }
    }
}

/// Puts other settings into live.
#[derive(Debug)]
pub struct Reload {
    /// As they are in live.
    settings: Settings,
    /// Whether the kernel is asked whose each connection is; decided at the start.
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

    /// Lets routes, headers, guard, largest body and the timeouts towards the upstream hold from the next request
    /// on, and the user's secrets from the next sign-in on. The rest stays as it is.
    ///
    /// Without a client token, the user id of each connection decides who may ask. Where it was not asked for at
    /// the start, the token stays, or the permission to do without one: the names of the settings of which that
    /// is so are returned.
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
        let about = self.live.about.load();
        let routes = AboutRoute::all(&proxy.routes);
        self.live.about.store(Arc::new(About { routes, ..About::clone(&about) }));
        // The keeper ends when the process does.
        let _ = self.sources.send(source);
        self.settings.credentials = credentials;
        self.settings.proxy = proxy;
        Ok(kept)
    }

    fn attainable(&self, mut proxy: proxy::Settings) -> (proxy::Settings, Vec<&'static str>) {
        let own = &self.settings.proxy;
        proxy.limits = proxy::Limits { max_body: proxy.limits.max_body, ..own.limits };
        // Lookups that hang go on, and are not begun again.
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

fn admin_guard(settings: &proxy::Settings) -> AdminGuard {
    AdminGuard::new(&settings.guard.allowed_hosts, settings.guard.admin_token.as_ref())
}
