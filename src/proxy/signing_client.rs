//! Plan, sign, send: the part of an exchange that needs no client connection. The listener uses it behind its guard,
//! and commands such as `call` use it alone.

use std::{sync::Arc, time::SystemTime};

use aws_credential_types::Credentials;
use http::{HeaderMap, Method};

use super::{
    attempt::send::{Sender, Sent},
    error::ProxyError,
    outcome::Outcome,
    request::{
        plan::{Plan, Planner, Ready},
        route::BuildError,
    },
    settings::Settings,
};
use crate::{
    clock::Clock,
    credentials::channel::Receiver,
    signing::{Explanation, SignedRequest},
    telemetry::metrics::Metrics,
};

/// Plans, signs and sends requests.
#[derive(Debug)]
pub struct SigningClient {
    pub(super) planner: Planner,
    pub(super) sender: Sender,
}

impl SigningClient {
    /// A pipeline as `settings` describe it, which signs with what `credentials` gives.
    ///
    /// # Errors
    /// When trusted roots are missing or cannot be read.
    pub fn new(
        settings: &Settings,
        credentials: Receiver,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        let sender = Sender::new(settings.timeouts.idle, credentials, clock, metrics);
        Ok(Self { planner: Planner::new(settings)?, sender })
    }

    /// A pipeline as other `settings` describe it, with the connections to upstreams that are reached as before.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn renewed(&self, settings: &Settings) -> Result<Self, BuildError> {
        let sender = self.sender.with_idle_timeout(settings.timeouts.idle);
        let mut renewed = Self { planner: Planner::new(settings)?, sender };
        renewed.keep_connections_of(self);
        Ok(renewed)
    }

    /// Takes over the connections of `previous` to upstreams that are reached in the same way.
    pub(super) fn keep_connections_of(&mut self, previous: &Self) {
        self.planner.routes.keep_connections_of(&previous.planner.routes);
    }

    /// The same pipeline with upstream connections of its own.
    pub(super) fn sibling(&self) -> Self {
        Self { planner: self.planner.sibling(), sender: self.sender.clone() }
    }

    /// Decides where a request goes, and which of its headers go along.
    ///
    /// # Errors
    /// When it cannot go anywhere.
    pub fn plan(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Plan<'_>, ProxyError> {
        self.planner.plan(method, path, query, headers)
    }

    /// Signs and sends one request that came through no listener, with the attempts that those of a listener get.
    ///
    /// # Errors
    /// When there are no credentials, or the upstream does not answer.
    pub async fn call(&self, ready: &Ready<'_>) -> Result<Sent, ProxyError> {
        self.sender.send(ready, &mut Outcome::default()).await
    }

    /// Signs without sending, and returns what was signed.
    ///
    /// # Errors
    /// As [`Signer::sign`](crate::signing::Signer::sign).
    pub fn explain(
        &self,
        ready: &Ready<'_>,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<(SignedRequest, Explanation), ProxyError> {
        ready.explain(credentials, time)
    }
}
