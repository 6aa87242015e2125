//! The log lines about the process as a whole: that it is ready, and what it waits for at the end.

use std::{sync::Arc, time::Duration};

use tracing::info;

use crate::{
    admin::About,
    clock::Clock,
    credentials::channel::Receiver,
    shutdown::Shutdown,
    telemetry::{self, READY, metrics::Metrics},
};

/// The URL of the inspector's page, if it has one.
pub(super) struct InspectorPage {
    /// With the token.
    pub(super) secret: Option<String>,
    pub(super) public: Option<String>,
}

impl InspectorPage {
    /// What the log has of it: the token goes to a person at a terminal, and never into a file.
    fn shown(&self) -> Option<String> {
        if telemetry::is_for_a_person() { self.secret.clone() } else { self.public.clone() }
    }
}

/// Logs that the proxy is ready when the first credentials have arrived.
pub(super) async fn ready(about: Arc<About>, page: InspectorPage, mut credentials: Receiver, clock: Clock) {
    loop {
        if let Some(issued) = credentials.state().issued {
            let expires_in = issued.expiry.and_then(|expiry| expiry.duration_since(clock.now()).ok());
            let route = about.routes.first();
            info!(
                target: READY,
                {
                url = about.listen,
                admin = about.admin_listen,
                inspector = page.shown(),
                upstream = route.map(|route| route.upstream.as_str()),
                region = route.and_then(|route| route.region.as_deref()),
                region_set = route.and_then(|route| route.region_set.as_deref()),
                service = route.map(|route| route.service.as_str()),
                identity = %issued.identity,
                expires_in = expires_in.map(|left| left.as_secs()),
                },
                "ready"
            );
            return;
        }
        if !credentials.changed().await {
            return;
        }
    }
}

/// Says to a person who has pressed Ctrl-C what the process waits for.
pub(super) async fn waiting(mut shutdown: Shutdown, metrics: Arc<Metrics>, drain: Duration) {
    shutdown.requested().await;
    let requests = metrics.requests_in_flight();
    if shutdown.is_interactive() && requests > 0 {
        let noun = if requests == 1 { "request" } else { "requests" };
        let seconds = drain.as_secs_f64().ceil();
        info!("Waiting for {requests} {noun} (up to {seconds} s). Ctrl-C again to quit now.");
    }
}
