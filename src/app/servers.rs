//! What listens: for clients, and for those who watch over the process.

use std::{future::Future, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tower::Layer;

use super::{Settings, reload::Effect};
use crate::{
    admin::{self, Admin},
    listener::Listener,
    metrics::Metrics,
    proxy::{self, AccountingLayer, Forward, Guard},
    server::{self, Crew},
    shutdown::Shutdown,
};

/// Connections of probes and scrapers at the same time.
const ADMIN_CONNECTIONS: usize = 64;

/// For the last probe to get its answer, and for a scraper to take its own.
const ADMIN_PATIENCE: Duration = Duration::from_secs(5);

/// Serves clients by the proxies that are in effect.
pub(super) fn data(
    listeners: Vec<Listener>,
    effect: &Effect,
    accounting: &AccountingLayer,
    metrics: Arc<Metrics>,
    settings: &Settings,
    shutdown: Shutdown,
) -> impl Future<Output = io::Result<()>> + use<> {
    let proxy::Settings { limits, timeouts, guard, .. } = &settings.proxy;
    let server = server::Settings {
        max_connections: limits.max_connections,
        drain: timeouts.drain,
        write: timeouts.idle,
        identifies_peers: guard.asks_for_users(),
        full: proxy::no_room(),
        metrics: Some(metrics),
    };
    let mut services = effect.proxies.seats().into_iter().map(|seat| {
        let accounting = accounting.clone();
        move |endpoints| accounting.layer(Forward::new(seat.clone(), endpoints))
    });
    let crew = match settings.threads {
        None => Crew::Here(services.next().expect("there is one worker at least")),
        Some(_) => Crew::Threads(services.collect()),
    };
    server::serve(listeners, server, shutdown, crew)
}

/// Serves probes, scrapers and people.
pub(super) fn admin(
    listeners: Vec<Listener>,
    admin: Admin,
    guard: Arc<ArcSwap<Guard>>,
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
    let service = move |endpoints| admin::router(admin.clone(), Arc::clone(&guard), endpoints);
    async move {
        server::serve(listeners, server, shutdown, Crew::Here(service)).await.expect("no thread is needed");
    }
}
