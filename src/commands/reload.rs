//! SIGHUP while `serve` runs: the configuration is read again, and put into effect if it is valid.

use std::io;

use tracing::{error, info, warn};

use crate::{
    app::{App, Reload},
    config::{Arguments, Config, Effective, Environment},
    downstream::listener::Listen,
    service_manager,
    shutdown::ReloadRequests,
    telemetry::causes,
};

/// What stays as it is until the process is started anew.
const UNTIL_RESTART: &[&str] = &[
    "admin-listen",
    "amplify-outputs",
    "auth-flow",
    "body-memory",
    "classic-flow-role-arn",
    "client-id",
    "credentials",
    "custom-role-arn",
    "drain-timeout",
    "exit-zero-on-sigterm",
    "id-token-file",
    "identity-pool-id",
    "idle-timeout",
    "inspect",
    "inspect-redact",
    "listen",
    "log-format",
    "log-level",
    "login-provider",
    "max-connections",
    "max-in-flight",
    "max-tunnels",
    "user-pool-id",
    "username",
];

/// Reads the configuration again when SIGHUP asks for it.
pub(super) struct Reloader<'a> {
    arguments: &'a Arguments,
    environment: &'a Environment,
    /// The configuration at the start.
    started: Effective,
    addresses: Vec<Listen>,
    /// These, and the admin listener's.
    own_addresses: Vec<Listen>,
    reload: Reload,
    requests: ReloadRequests,
}

impl<'a> Reloader<'a> {
    /// Hears SIGHUP from this moment on, unless the process was started to ignore it.
    ///
    /// # Errors
    /// When the system does not let it.
    pub(super) fn new(
        app: &App,
        started: Effective,
        arguments: &'a Arguments,
        environment: &'a Environment,
    ) -> io::Result<Self> {
        let requests = ReloadRequests::listen()?;
        let (addresses, own_addresses, reload) = (app.addresses(), app.own_addresses(), app.reload());
        Ok(Self { arguments, environment, started, addresses, own_addresses, reload, requests })
    }

    /// Reloads until the terminal is gone from which the process was started, if ever.
    pub(super) async fn run(mut self) {
        while let Some(()) = self.requests.next().await {
            service_manager::reloading();
            self.reload();
            service_manager::reloaded();
        }
    }

    fn reload(&mut self) {
        let config = Config::for_serve(self.arguments, self.environment)
            .and_then(|config| config.admits_clients_at(&self.addresses).map(|()| config))
            .and_then(|config| config.leads_away_from(&self.own_addresses).map(|()| config));
        let config = match config {
            Ok(config) => config,
            Err(mistakes) => {
                for problem in mistakes.problems() {
                    error!(mistake = %problem, "the configuration is not valid");
                }
                error!("keeping the previous configuration, since the new one has mistakes");
                return;
            }
        };
        for warning in &config.warnings {
            warn!("{warning}");
        }
        let mut unchanged = self.started.differing(&config.effective, UNTIL_RESTART);
        match self.reload.apply(config.proxy, &config.credentials) {
            Ok(kept) => {
                unchanged.extend(kept);
                info!("configuration reloaded");
                if !unchanged.is_empty() {
                    info!("needs a restart: {}", unchanged.join(", "));
                }
            }
            Err(error) => error!(error = causes(&error), "keeping the previous configuration"),
        }
    }
}
