//! The servers: for clients, and for probes, scrapers and people.

use std::{future::Future, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tower::Layer;

use super::{Settings, reload::LiveConfig};
use crate::{
    admin::{self, Admin, AdminGuard},
    downstream::{self, Admission, Workers, listener::Listener},
    proxy::{self, AccessLogLayer, FuturePool},
    shutdown::Shutdown,
    telemetry::metrics::Metrics,
};

/// Connections of probes and scrapers at the same time.
const ADMIN_CONNECTIONS: usize = 64;

/// How long the admin server drains, and how long a scraper may take nothing of its answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of a body is read after a refusal at least, in bytes: many clients send all of it before they read the
/// answer, and those that send more than `max-body` are the ones that should learn of it.
const MIN_DISCARD: u64 = 64 * 1024 * 1024;

/// Serves clients by the proxies of the live configuration.
pub(super) fn data(
    listeners: Vec<Listener>,
    live: &LiveConfig,
    access_log: &AccessLogLayer,
    metrics: Arc<Metrics>,
    settings: &Settings,
    shutdown: Shutdown,
) -> impl Future<Output = io::Result<()>> + use<> {
    let proxy::Settings { limits, timeouts, guard, .. } = &settings.proxy;
    let handles = live.proxies.handles();
    let admission = handles.first().filter(|_| guard.asks_for_users()).cloned();
    let server = downstream::Settings {
        max_connections: limits.max_connections,
        are_answers_short: false,
        drain: timeouts.drain,
        write: timeouts.idle,
        discard: limits.max_body.max(MIN_DISCARD),
        admission: admission.map(|handle| Admission::new(move |owner| handle.current().admit_owner(owner))),
        full: proxy::no_room(),
        metrics: Some(metrics),
    };
    let mut services = handles.into_iter().map(|handle| {
        let (access_log, futures) = (access_log.clone(), FuturePool::default());
        move |endpoints, end| {
            let forward = proxy::forward(handle.clone(), endpoints);
            access_log.clone().on_connection(end).layer(futures.layer(forward))
        }
    });
    let workers = match settings.threads {
        None => Workers::Here(services.next().expect("there is one worker at least")),
        Some(_) => Workers::Threads(services.collect()),
    };
    downstream::serve(listeners, server, shutdown, workers)
}

/// Serves probes, scrapers and people.
pub(super) fn admin(
    listeners: Vec<Listener>,
    admin: Admin,
    guard: Arc<ArcSwap<AdminGuard>>,
    shutdown: Shutdown,
) -> impl Future<Output = ()> {
    let server = downstream::Settings {
        max_connections: ADMIN_CONNECTIONS,
        are_answers_short: true,
        drain: ADMIN_TIMEOUT,
        write: ADMIN_TIMEOUT,
        discard: MIN_DISCARD,
        // Every client may connect: each route checks the client itself.
        admission: Some(Admission::new(|_| Ok(()))),
        full: proxy::no_room(),
        metrics: None,
    };
    let service = move |endpoints, _| admin::router(admin.clone(), &guard, endpoints);
    async move {
        downstream::serve(listeners, server, shutdown, Workers::Here(service))
            .await
            .expect("no thread is needed");
    }
}
