//! The inspector on the admin listener: its page, and what the page asks for.
//!
//! The page itself is for anyone who reaches the listener, since nothing is in it. Everything else is for operators, as
//! `/status` is, and needs a token as well: a browser runs pages of every site as the same user.

mod answer;
mod feed;
mod page;
mod replay;
mod token;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{About, Admin, AdminGuard};
use crate::{
    downstream::listener::Listen,
    inspector::{Client, Hello, Recorder, har},
    shutdown::Shutdown,
};
use answer::{Pieces, problem};
use feed::FeedBody;

pub use token::InspectorToken;

/// The inspector of a running proxy.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What is shown.
    pub recorder: Recorder,
    /// What the page presents.
    pub token: Arc<InspectorToken>,
    /// Where clients connect, and where a request is sent again.
    pub data: Listen,
    /// The token that clients of the data listener present.
    pub client_token: Arc<ArcSwapOption<SecretString>>,
    /// What follows from the configuration.
    pub about: Arc<ArcSwap<About>>,
    /// Tells that the last request has ended.
    pub ended: Shutdown,
}

/// The page.
pub(super) fn page() -> Router<Admin> {
    let page = || async {
        let policy = (header::CONTENT_SECURITY_POLICY, page::POLICY.clone());
        (
            [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")), policy],
            page::DOCUMENT.as_str(),
        )
    };
    Router::new().route("/inspect", get(page)).layer(middleware::map_response(protected))
}

/// How a command of the same user learns the token.
pub(super) fn token(inspection: Inspection) -> Router<Admin> {
    let routes = Router::new().route("/inspect/token", post(tell_token));
    routes.layer(middleware::map_response(protected)).with_state(inspection)
}

/// What the page asks for, with the token of `inspection` or that of operators.
pub(super) fn interface(inspection: Inspection, guard: &Arc<ArcSwap<AdminGuard>>) -> Router<Admin> {
    let (token, guard) = (Arc::clone(&inspection.token), Arc::clone(guard));
    let presents_token = middleware::from_fn(move |request: Request, next: Next| {
        let is_known = token.is_in(request.headers()) || guard.load().is_operator(request.headers());
        async move { if is_known { next.run(request).await } else { token_missing() } }
    });
    Router::new()
        .route("/inspect/feed", get(follow))
        .route("/inspect/exchanges/{id}", get(detail))
        .route("/inspect/replay", post(replay::replay))
        .route("/inspect/har", get(all_as_har))
        .route("/inspect/har/{id}", get(one_as_har))
        .route("/inspect/clear", post(clear))
        .layer(presents_token)
        .layer(middleware::map_response(protected))
        .with_state(inspection)
}

fn token_missing() -> Response {
    problem(
        StatusCode::UNAUTHORIZED,
        "token-required",
        "The inspector needs its token. Open the URL that `countersign inspect` prints.",
    )
}

/// No other page may use the answer, and no cache may keep it.
async fn protected(mut response: Response) -> Response {
    const PROTECTION: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in PROTECTION {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Browsers cannot ask: each of their requests of this method has an `Origin`, and the newer ones describe themselves.
async fn tell_token(State(inspection): State<Inspection>, parts: Parts) -> Response {
    let is_browser =
        parts.headers.keys().any(|name| *name == header::ORIGIN || name.as_str().starts_with("sec-"));
    if is_browser {
        return problem(
            StatusCode::FORBIDDEN,
            "cross-site",
            "The token is for commands, and this request is a page's.",
        );
    }
    Json(json!({ "token": inspection.token.expose() })).into_response()
}

async fn follow(State(inspection): State<Inspection>) -> Response {
    let about = inspection.about.load();
    let route = about.routes.first();
    let hello = Hello {
        version: about.version,
        proxy: about.listen.clone(),
        region: route.and_then(|route| route.region.clone().or_else(|| route.region_set.clone())),
        service: route.map(|route| route.service.clone()),
    };
    let Some(feed) = inspection.recorder.feed(hello) else {
        let detail = "Eight viewers follow the inspector already. Close one of them and try again.";
        return problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
    };
    let body = FeedBody::new(feed, inspection.ended.clone());
    ([(header::CONTENT_TYPE, "application/x-ndjson")], axum::body::Body::new(body)).into_response()
}

fn unknown(id: &str) -> Response {
    let detail = format!("No exchange {id:?} is kept; it may have made room for later ones.");
    problem(StatusCode::NOT_FOUND, "not-found", &detail)
}

async fn detail(State(inspection): State<Inspection>, Path(id): Path<String>) -> Response {
    let Some((mut exchange, request)) = inspection.recorder.detail(&id) else { return unknown(&id) };
    for (name, text) in request.command_lines(&inspection.client()) {
        exchange.insert(name.to_owned(), Value::String(text));
    }
    Json(exchange).into_response()
}

async fn all_as_har(State(inspection): State<Inspection>) -> Response {
    as_har(&inspection, None, "countersign")
}

async fn one_as_har(State(inspection): State<Inspection>, Path(id): Path<String>) -> Response {
    as_har(&inspection, Some(&id), &format!("countersign-{id}"))
}

fn as_har(inspection: &Inspection, id: Option<&str>, name: &str) -> Response {
    let url = inspection.about.load().listen.clone();
    let Some(pieces) = har(&inspection.recorder, id, &url) else { return unknown(id.unwrap_or_default()) };
    // The id of an exchange that is kept has letters that a header may have.
    let disposition = format!("attachment; filename=\"{name}.har\"");
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_DISPOSITION, disposition.as_str())];
    (headers, axum::body::Body::new(Pieces(pieces))).into_response()
}

async fn clear(State(inspection): State<Inspection>) -> StatusCode {
    inspection.recorder.clear();
    StatusCode::NO_CONTENT
}

impl Inspection {
    fn client(&self) -> Client {
        let socket = match &self.data {
            Listen::Unix(path) => Some(path.display().to_string()),
            Listen::Localhost(_) | Listen::Address(_) => None,
        };
        let url =
            if socket.is_some() { "http://localhost".to_owned() } else { self.about.load().listen.clone() };
        Client { url, socket, needs_token: self.client_token.load().is_some() }
    }
}
