//! The admin listener: liveness, readiness, metrics, status. It never shares the data port.

mod guard;
mod inspect;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::json;

pub use guard::{Access, AdminGuard};
pub use inspect::{Inspection, InspectorToken};

use crate::{
    clock::Clock,
    credentials::channel::{Receiver, State as CredentialsState},
    downstream::listener::Endpoints,
    proxy::RouteSettings,
    rfc3339,
    shutdown::{Shutdown, Trigger},
    telemetry::metrics::Metrics,
};

/// What the admin listener looks at.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The state of the credentials.
    pub credentials: Receiver,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The clock whose offset is shown.
    pub clock: Clock,
    /// Whether the process is draining.
    pub shutdown: Shutdown,
    /// Ends the process.
    pub trigger: Trigger,
    /// What follows from the configuration.
    pub about: Arc<ArcSwap<About>>,
    /// The inspector, unless nothing is recorded.
    pub inspection: Option<Inspection>,
}

/// What follows from the configuration.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The version of the program.
    pub version: &'static str,
    /// Where clients connect.
    pub listen: String,
    /// Where this listener is.
    pub admin_listen: String,
    /// Where requests go.
    pub routes: Vec<AboutRoute>,
}

/// A route as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct AboutRoute {
    /// The path prefix.
    pub path: String,
    /// The base URL.
    pub upstream: String,
    /// The region in the signature's scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The regions that SigV4A signs for, in place of the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_set: Option<String>,
    /// The service in the signature's scope.
    pub service: String,
}

impl AboutRoute {
    /// What is shown of `routes`.
    #[must_use]
    pub fn all(routes: &[RouteSettings]) -> Vec<Self> {
        let shown = |route: &RouteSettings| Self {
            path: route.path.clone(),
            upstream: route.upstream.to_string(),
            region: route.region.one().map(str::to_owned),
            region_set: route.region.set().map(str::to_owned),
            service: route.service.clone(),
        };
        routes.iter().map(shown).collect()
    }
}

/// The routes, for a connection between `endpoints`.
pub fn router(admin: Admin, guard: &Arc<ArcSwap<AdminGuard>>, endpoints: Endpoints) -> Router {
    let watched = guarded(watched(), Arc::clone(guard), endpoints, Access::Anyone);
    let operated = guarded(operated(), Arc::clone(guard), endpoints, Access::Operators);
    let routes = match &admin.inspection {
        Some(inspection) => {
            let guarded = |router, access| guarded(router, Arc::clone(guard), endpoints, access);
            let interface = inspect::interface(inspection.clone(), guard);
            operated
                .merge(guarded(inspect::page(), Access::Anyone))
                .merge(guarded(inspect::token(inspection.clone()), Access::Operators))
                .merge(guarded(interface, Access::Operators))
        }
        None => operated,
    };
    watched.merge(routes).with_state(admin)
}

/// Routes for probes and scrapers, and the answer for unknown paths.
fn watched() -> Router<Admin> {
    let ready = get(readyz);
    let live = get(livez);
    let started = get(startupz);
    Router::new()
        .route("/livez", live.clone())
        .route("/liveness", live.clone())
        .route("/healthz", live)
        .route("/readyz", ready.clone())
        .route("/readiness", ready)
        .route("/startupz", started.clone())
        .route("/startup", started)
        .route("/metrics", get(metrics))
        .fallback(|| async { StatusCode::NOT_FOUND })
}

/// Routes for operators: they show the user, or end the process.
fn operated() -> Router<Admin> {
    Router::new().route("/status", get(status)).route("/quitquitquit", post(quit))
}

fn guarded(
    router: Router<Admin>,
    guard: Arc<ArcSwap<AdminGuard>>,
    endpoints: Endpoints,
    access: Access,
) -> Router<Admin> {
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let (parts, body) = request.into_parts();
        let refused = guard.load().refuse(&parts, &endpoints, access);
        async move {
            match refused {
                Some(response) => response.map(axum::body::Body::new),
                None => next.run(Request::from_parts(parts, body)).await,
            }
        }
    }))
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let mut reasons = Vec::new();
    if admin.shutdown.is_requested() {
        reasons.push(json!({ "code": "draining", "detail": "The process is shutting down." }));
    }
    if !admin.credentials.is_usable() {
        reasons.push(credentials_reason(&admin.credentials.state()));
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, no_store(), Json(json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

fn credentials_reason(state: &CredentialsState) -> serde_json::Value {
    match state.problem.as_deref() {
        Some(problem) => match &problem.remedy {
            Some(remedy) => json!({ "code": "login-required", "detail": remedy }),
            None => {
                json!({ "code": "credentials-unavailable", "detail": "Refreshing fails for the moment." })
            }
        },
        None => json!({ "code": "credentials-pending", "detail": "No credentials have been obtained yet." }),
    }
}

async fn startupz(State(admin): State<Admin>) -> Response {
    let started = admin.credentials.state().issued.is_some();
    let status = if started { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, no_store(), Json(json!({ "started": started }))).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let (media_type, text) = admin.metrics.exposition();
    ([(header::CONTENT_TYPE, media_type)], text).into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    let state = admin.credentials.state();
    let now = admin.clock.now();
    let issued = state.issued.as_deref();
    let expiry = issued.and_then(|issued| issued.expiry);
    let identity = issued.map(|issued| {
        json!({
            "username": issued.identity.username,
            "subject": issued.identity.subject,
            "identity_id": issued.identity.identity_id,
            "access_key_id": last_four(issued.credentials.access_key_id()),
        })
    });
    let about = admin.about.load();
    let body = json!({
        "version": about.version,
        "listen": about.listen,
        "admin_listen": about.admin_listen,
        "routes": about.routes,
        "ready": admin.credentials.is_usable() && !admin.shutdown.is_requested(),
        "draining": admin.shutdown.is_requested(),
        "identity": identity,
        "credentials": {
            "expiry": expiry.and_then(rfc3339::seconds),
            "expires_in": expiry.and_then(|expiry| expiry.duration_since(now).ok()).map(|left| left.as_secs()),
            "last_refresh": state.refreshed_at.and_then(rfc3339::seconds),
            "refreshes": state.refreshes,
            "failures": state.failures,
            "last_error": state.problem.as_deref().map(|problem| json!({
                "at": rfc3339::seconds(problem.at),
                "message": problem.message,
                "remedy": problem.remedy,
            })),
        },
        "clock_offset_seconds": Duration::from_millis(admin.clock.offset_millis().unsigned_abs()).as_secs_f64()
            * if admin.clock.offset_millis() < 0 { -1.0 } else { 1.0 },
        "in_flight_requests": admin.metrics.requests_in_flight(),
    });
    (no_store(), Json(body)).into_response()
}

async fn quit(State(admin): State<Admin>) -> &'static str {
    admin.trigger.request();
    "draining\n"
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

fn last_four(key: &str) -> String {
    let from = key.len().saturating_sub(4);
    format!("…{}", key.get(from..).unwrap_or_default())
}
