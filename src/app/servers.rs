//! What listens: for clients, and for those who watch over the process.

use std::{future::Future, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tower::Layer;

use super::{Settings, reload::Effect};
use crate::{
    admin::{self, Admin},
    listener::Listener,
    metrics::Metrics,
    proxy::{self, AccountingLayer, AdminGuard, Forward},
    server::{self, Admission, Crew},
    shutdown::Shutdown,
};

/// Connections of probes and scrapers at the same time.
const ADMIN_CONNECTIONS: usize = 64;

/// For the last probe to get its answer, and for a scraper to take its own.
const ADMIN_PATIENCE: Duration = Duration::from_secs(5);

/// How much of a body is read after a refusal at least, in bytes: many clients send all of it before they read the
/// answer, and those that send more than `max-body` are the ones that should learn of it.
const MIN_DISCARD: u64 = 64 * 1024 * 1024;

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
    let seats = effect.proxies.seats();
    let admission = seats.first().filter(|_| guard.asks_for_users()).cloned();
    let server = server::Settings {
        max_connections: limits.max_connections,
        are_answers_short: false,
        drain: timeouts.drain,
        write: timeouts.idle,
        discard: limits.max_body.max(MIN_DISCARD),
        admission: admission.map(|seat| Admission::new(move |owner| seat.proxy().admit_owner(owner))),
        full: proxy::no_room(),
        metrics: Some(metrics),
    };
    let mut services = seats.into_iter().map(|seat| {
        let accounting = accounting.clone();
        move |endpoints, end| {
            accounting.clone().on_connection(end).layer(Forward::new(seat.clone(), endpoints))
        }
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
    guard: Arc<ArcSwap<AdminGuard>>,
    shutdown: Shutdown,
) -> impl Future<Output = ()> {
    let server = server::Settings {
        max_connections: ADMIN_CONNECTIONS,
        are_answers_short: true,
        drain: ADMIN_PATIENCE,
        write: ADMIN_PATIENCE,
        discard: MIN_DISCARD,
        // Whom it is, each route asks for itself.
        admission: Some(Admission::new(|_| Ok(()))),
        full: proxy::no_room(),
        metrics: None,
    };
    let service = move |endpoints, _| admin::router(admin.clone(), &guard, endpoints);
    async move {
        server::serve(listeners, server, shutdown, Crew::Here(service)).await.expect("no thread is needed");
    }
}
